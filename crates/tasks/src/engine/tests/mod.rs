//! The engine with a real file, and clients that are calls.

mod crons;
mod life;
mod sight;
mod store;
mod storms;

use crate::{
    Answer, Ask, ClientId, CronEntry, Engine, Filter, Frame, Incoming, Millis, NewTask, Outgoing, Shown,
    State, Store, TaskId, TaskOptions,
};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex},
};

/// A queue and its clients.
struct Site {
    directory: tempfile::TempDir,
    engine: Option<Engine>,
    now: Millis,
    /// Processes that live, by their locks.
    alive: Arc<Mutex<BTreeSet<i64>>>,
    next: u64,
}

/// A task that a worker was given.
#[derive(Clone, Debug, PartialEq)]
struct Given {
    id: TaskId,
    attempt: u32,
    name: String,
    arguments: Vec<u8>,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut site =
            Self { directory, engine: None, now: 1_700_000_000_000, alive: Arc::default(), next: 0 };
        site.open();
        site
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("queue.db")
    }

    /// Begins with what is in the file.
    fn open(&mut self) {
        let alive = Arc::clone(&self.alive);
        let store = Store::open(&self.file()).unwrap();
        let is_alive = move |owner: i64| alive.lock().unwrap().contains(&owner);
        self.engine = Some(Engine::new(store, 7, is_alive).unwrap());
    }

    /// The process is killed, and another one begins.
    fn kill_keeper(&mut self) {
        #[expect(clippy::mem_forget, reason = "a killed process closes nothing")]
        std::mem::forget(self.engine.take());
        self.open();
    }

    fn turn(&mut self, incoming: Vec<Incoming>) -> Vec<Outgoing> {
        let turn = self.engine.as_mut().unwrap().turn(self.now, incoming);
        assert!(turn.failed.is_none(), "{:?}", turn.failed);
        let (promises, failed) = self.engine.as_mut().unwrap().settle(self.now);
        assert!(failed.is_none(), "{failed:?}");
        turn.out.into_iter().chain(promises).collect()
    }

    fn wait(&mut self, millis: Millis) -> Vec<Outgoing> {
        self.now += millis;
        self.turn(vec![])
    }

    fn client(&mut self) -> ClientId {
        self.next += 1;
        ClientId(self.next)
    }

    fn say(&mut self, client: ClientId, message: Ask) -> Vec<Outgoing> {
        self.turn(vec![asked(client, message)])
    }

    /// A worker that lives, and knows these tasks.
    fn worker(&mut self, names: &[&str]) -> (ClientId, i64) {
        let client = self.client();
        let owner = i64::try_from(client.0).unwrap();
        self.alive.lock().unwrap().insert(owner);
        self.say(client, work(owner, names, &[]));
        (client, owner)
    }

    fn gone(&mut self, client: ClientId) -> Vec<Outgoing> {
        self.turn(vec![Incoming::Gone(client)])
    }

    /// The process and its connection end.
    fn kill_worker(&mut self, (client, owner): (ClientId, i64)) -> Vec<Outgoing> {
        self.alive.lock().unwrap().remove(&owner);
        self.gone(client)
    }

    fn enqueue(&mut self, task: NewTask) -> TaskId {
        let client = self.client();
        let out = self.turn(vec![Incoming::Asked(
            client,
            Frame { message: Ask::Enqueue { n: 1, task }, body: b"[1]".to_vec() },
        )]);
        match &out.iter().find(|it| it.to == client).unwrap().frame.message {
            Answer::Accepted { id, .. } => *id,
            other => panic!("{other:?}"),
        }
    }

    /// The next task of an idle worker, if there is one; after that it takes no more.
    fn take(&mut self, client: ClientId) -> Option<Given> {
        let given = given(&self.ready(client, 1), client).pop();
        if given.is_some() {
            self.say(client, Ask::Leave);
        }
        given
    }

    /// A worker has room for so many more.
    fn ready(&mut self, client: ClientId, more: u32) -> Vec<Outgoing> {
        let has = self.engine.as_ref().unwrap().live.workers[&client].given.len();
        self.say(client, Ask::Ready { slots: u32::try_from(has).unwrap() + more, ahead: 0 })
    }

    fn shown(&mut self, id: TaskId) -> Option<Shown> {
        self.result(id).map(|(task, _)| task)
    }

    fn result(&mut self, id: TaskId) -> Option<(Shown, Vec<u8>)> {
        let client = self.client();
        match self.say(client, Ask::Result { n: 1, id, wait: false }).pop().unwrap().frame {
            Frame { message: Answer::Result { task, .. }, body } => Some((task, body)),
            Frame { message: Answer::Refused { .. }, .. } => None,
            other => panic!("{other:?}"),
        }
    }

    fn state(&mut self, id: TaskId) -> Option<State> {
        self.shown(id).map(|task| task.state)
    }
}

fn asked(client: ClientId, message: Ask) -> Incoming {
    Incoming::Asked(client, Frame { message, body: vec![] })
}

fn work(owner: i64, names: &[&str], running: &[(TaskId, u32)]) -> Ask {
    let names = names.iter().map(ToString::to_string).collect();
    Ask::Work { owner, queues: vec![], names, running: running.to_vec(), pid: Some(7), timeout: 0 }
}

fn done(task: &Given) -> Ask {
    Ask::Done { id: task.id, attempt: task.attempt }
}

fn failed(task: &Given) -> Ask {
    Ask::Failed { id: task.id, attempt: task.attempt, error: "{}".into(), again: true, after: None }
}

fn given(out: &[Outgoing], to: ClientId) -> Vec<Given> {
    let its = out.iter().filter(|it| it.to == to);
    its.filter_map(|it| match &it.frame.message {
        Answer::Task { id, attempt, name, .. } => {
            Some(Given { id: *id, attempt: *attempt, name: name.clone(), arguments: it.frame.body.clone() })
        }
        _ => None,
    })
    .collect()
}

fn task(number: u128, name: &str) -> NewTask {
    NewTask {
        id: TaskId(number.to_be_bytes()),
        name: name.into(),
        queue: "default".into(),
        priority: 0,
        due: None,
        expires: None,
        key: None,
        options: TaskOptions::default(),
    }
}

fn cron(name: &str, expression: &str) -> CronEntry {
    CronEntry {
        name: name.into(),
        expression: expression.into(),
        zone: "UTC".into(),
        task: "tick".into(),
        queue: "default".into(),
        priority: 0,
        options: TaskOptions::default(),
    }
}
