//! Random schedules: clients, workers and keepers that come, go and are killed at any step. No accepted task is lost; none runs in two
//! living workers at once, or more often than its errors, deaths and returns explain.

use super::*;
use proptest::prelude::*;
use std::{collections::BTreeMap, fs};

/// What is known from outside.
#[derive(Default)]
struct Model {
    accepted: BTreeSet<TaskId>,
    /// Who runs what, by what workers were told and have said.
    running: BTreeMap<TaskId, i64>,
    /// How often each may have been started.
    explained: BTreeMap<TaskId, u32>,
    started: BTreeMap<TaskId, u32>,
    succeeded: BTreeSet<TaskId>,
    cancelled: BTreeSet<TaskId>,
    expires: BTreeMap<TaskId, Millis>,
}

struct Storm {
    site: Site,
    model: Model,
    workers: Vec<Running>,
    random: u64,
    number: u128,
}

struct Running {
    client: ClientId,
    owner: i64,
    tasks: Vec<Given>,
}

impl Storm {
    fn new(seed: u64) -> Self {
        Self { site: Site::new(), model: Model::default(), workers: vec![], random: seed, number: 0 }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        usize::try_from(hostler_sys::random::mix(self.random) % limit.max(1) as u64).unwrap()
    }

    fn worker(&mut self) -> Option<usize> {
        (!self.workers.is_empty()).then(|| self.below(self.workers.len()))
    }

    /// Workers take what they were sent; nothing else may have been.
    fn hear(&mut self, out: Vec<Outgoing>) {
        for worker in &mut self.workers {
            for given in given(&out, worker.client) {
                let runs = self.model.running.insert(given.id, worker.owner);
                assert_eq!(runs, None, "{given:?} runs already");
                assert!(!self.model.cancelled.contains(&given.id), "{given:?} was cancelled");
                let expires = self.model.expires.get(&given.id);
                assert!(expires.is_none_or(|expires| self.site.now < *expires), "{given:?} is too old");
                *self.model.started.entry(given.id).or_default() += 1;
                worker.tasks.push(given);
            }
            worker.tasks.retain(|task| {
                let lost = out
                    .iter()
                    .any(|it| it.to == worker.client && it.frame.message == Answer::Lost { id: task.id });
                assert!(!lost, "{task:?} was taken from a worker that lives");
                true
            });
        }
    }

    fn explain(&mut self, id: TaskId) {
        *self.model.explained.entry(id).or_default() += 1;
    }

    fn step(&mut self) {
        match self.below(14) {
            0..=3 => self.enqueue(),
            4 => {
                let (client, owner) = self.site.worker(&["a", "b"]);
                self.workers.push(Running { client, owner, tasks: vec![] });
            }
            5..=6 => self.ready(),
            7 => self.report(),
            8 => self.report(),
            9 => self.kill(),
            10 => {
                let millis = [1, 50, 1000, 60_000][self.below(4)];
                let out = self.site.wait(millis);
                self.hear(out);
            }
            11 => self.reconnect(),
            12 => self.cancel(),
            _ => self.kill_keeper(),
        }
    }

    fn enqueue(&mut self) {
        let now = self.site.now;
        let count = 1 + self.below(5);
        let mut asks = vec![];
        let client = self.site.client();
        for _ in 0..count {
            self.number += 1;
            let name = ["a", "b"][self.below(2)];
            let options =
                TaskOptions { retries: u32::try_from(self.below(3)).unwrap(), ..TaskOptions::default() };
            let due = (self.below(4) == 0).then(|| now + 500);
            let priority = i32::try_from(self.below(3)).unwrap();
            let expires = (self.below(8) == 0).then(|| now + 1000);
            let task = NewTask { due, expires, priority, options, ..task(self.number, name) };
            self.model.accepted.insert(task.id);
            self.model.expires.extend(expires.map(|expires| (task.id, expires)));
            asks.push(asked(client, Ask::Enqueue { n: 1, task }));
        }
        let out = self.site.turn(asks);
        assert_eq!(
            out.iter().filter(|it| matches!(it.frame.message, Answer::Accepted { new: true, .. })).count(),
            count
        );
        self.hear(out);
    }

    fn ready(&mut self) {
        let Some(index) = self.worker() else { return };
        let [slots, ahead] = [3, 6].map(|most| u32::try_from(self.below(most)).unwrap());
        let out = self.site.say(self.workers[index].client, Ask::Ready { slots, ahead });
        self.hear(out);
    }

    fn cancel(&mut self) {
        let all = self.model.accepted.len();
        let at = self.below(all);
        let Some(id) = self.model.accepted.iter().nth(at).copied() else { return };
        let client = self.site.client();
        let out = self.site.say(client, Ask::Cancel { n: 1, id });
        let Some(Answer::Cancelled { state, .. }) =
            out.iter().find(|it| it.to == client).map(|it| &it.frame.message)
        else {
            panic!("{out:?}")
        };
        if matches!(state, State::Cancelled | State::Running) {
            self.model.cancelled.insert(id);
        }
        self.hear(out);
    }

    /// A worker says what has become of one of its tasks.
    fn report(&mut self) {
        let Some(index) = self.worker() else { return };
        let worker = &mut self.workers[index];
        let Some(task) = worker.tasks.pop() else { return };
        let client = worker.client;
        self.model.running.remove(&task.id);
        let message = match self.below(4) {
            0 => {
                self.explain(task.id);
                failed(&task)
            }
            1 => {
                self.explain(task.id);
                Ask::GiveBack { id: task.id, attempt: task.attempt }
            }
            _ => {
                assert!(self.model.succeeded.insert(task.id), "{task:?} succeeds twice");
                done(&task)
            }
        };
        let out = self.site.say(client, message);
        self.hear(out);
    }

    fn kill(&mut self) {
        let Some(index) = self.worker() else { return };
        let dead = self.workers.remove(index);
        for task in &dead.tasks {
            self.model.running.remove(&task.id);
            self.explain(task.id);
        }
        let out = self.site.kill_worker((dead.client, dead.owner));
        self.hear(out);
    }

    /// A connection breaks, and its worker connects again.
    fn reconnect(&mut self) {
        let Some(index) = self.worker() else { return };
        let out = self.site.gone(self.workers[index].client);
        self.hear(out);
        self.connect(index);
    }

    fn connect(&mut self, index: usize) {
        let client = self.site.client();
        let worker = &mut self.workers[index];
        worker.client = client;
        let running: Vec<_> = worker.tasks.iter().map(|task| (task.id, task.attempt)).collect();
        let out = self.site.say(client, work(worker.owner, &["a", "b"], &running));
        self.hear(out);
    }

    fn kill_keeper(&mut self) {
        self.site.kill_keeper();
        for index in 0..self.workers.len() {
            self.connect(index);
        }
    }

    /// Power fails: only what reached the disk is there, and no process.
    fn power_loss(&mut self, durable: (u64, u64)) {
        let (file, log) = (self.site.file(), self.site.directory.path().join("queue.db-wal"));
        let lost = self.site.directory.path().join("after");
        fs::create_dir(&lost).unwrap();
        fs::copy(&file, lost.join("queue.db")).unwrap();
        fs::copy(&log, lost.join("queue.db-wal")).unwrap();
        let length = fs::metadata(&log).unwrap().len();
        let kept = durable.1 + self.below(usize::try_from(length - durable.1).unwrap() + 1) as u64;
        fs::File::options().write(true).open(lost.join("queue.db-wal")).unwrap().set_len(kept).unwrap();
        #[expect(clippy::mem_forget, reason = "nothing is closed")]
        std::mem::forget(self.site.engine.take());
        for name in ["queue.db", "queue.db-wal"] {
            fs::rename(lost.join(name), self.site.directory.path().join(name)).unwrap();
        }
        fs::remove_file(self.site.directory.path().join("queue.db-shm")).unwrap();
        self.site.alive.lock().unwrap().clear();
        self.workers.clear();
        self.model.running.clear();
        self.site.open();
    }

    fn lengths(&self) -> (u64, u64) {
        let length =
            |name: &str| fs::metadata(self.site.directory.path().join(name)).map_or(0, |it| it.len());
        (length("queue.db"), length("queue.db-wal"))
    }

    /// Everything is let run to its end.
    fn finish(&mut self) {
        for worker in std::mem::take(&mut self.workers) {
            worker.tasks.iter().for_each(|task| self.explain(task.id));
            self.site.kill_worker((worker.client, worker.owner));
        }
        self.model.running.clear();
        let (client, owner) = self.site.worker(&["a", "b"]);
        self.workers.push(Running { client, owner, tasks: vec![] });
        for _ in 0..20 {
            let out = self.site.wait(3_600_000);
            self.hear(out);
            let out = self.site.ready(client, 1000);
            self.hear(out);
            for task in std::mem::take(&mut self.workers[0].tasks) {
                self.model.running.remove(&task.id);
                let out = self.site.say(client, done(&task));
                self.hear(out);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_task_is_lost_or_runs_without_a_reason(seed: u64) {
        let mut storm = Storm::new(seed);
        for _ in 0..150 {
            storm.step();
        }
        storm.finish();
        for id in storm.model.accepted.clone() {
            let shown = storm.site.shown(id).expect("it was accepted");
            prop_assert!(shown.state.is_final(), "{shown:?}");
            if storm.model.cancelled.contains(&id) {
                let may_be = [State::Cancelled, State::Succeeded];
                prop_assert!(may_be.contains(&shown.state), "{shown:?} was cancelled");
            }
            let (started, explained) = (storm.model.started.get(&id), storm.model.explained.get(&id));
            let most = 1 + explained.copied().unwrap_or(0);
            prop_assert!(started.copied().unwrap_or(0) <= most, "{shown:?} started {started:?} times");
        }
        let counted = storm.site.engine.as_ref().unwrap();
        let again = super::super::Counts::of(counted.store.counts().unwrap());
        prop_assert_eq!(&counted.live.counts, &again);
    }

    #[test]
    fn what_was_accepted_is_there_after_power_loss(seed: u64) {
        let mut storm = Storm::new(seed);
        let mut durable = (0, 0);
        for _ in 0..60 {
            let promised = |model: &Model| model.accepted.len() + model.cancelled.len();
            let before = promised(&storm.model);
            storm.step();
            if promised(&storm.model) > before {
                durable = storm.lengths();
            }
        }
        let accepted = storm.model.accepted.clone();
        if durable.1 == 0 || storm.lengths().1 < durable.1 {
            return Ok(());
        }
        storm.power_loss(durable);
        storm.finish();
        for id in accepted {
            let shown = storm.site.shown(id).expect("it was accepted");
            prop_assert!(shown.state.is_final(), "{shown:?}");
        }
    }
}
