//! A round: a server, a plan, and what came of it.

use crate::{
    Environment,
    ask::Ask,
    audit,
    client::{self, Record},
    clock::Clock,
    events::Hand,
    oracle::{self, Cause, Verdict},
    plan::{Client, Does, Plan, Reader, Talk, Way},
    server::Server,
    world::{History, World},
};
use anyhow::Result;
use nix::sys::signal::Signal;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
};

/// What came of a round.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) responses: usize,
    pub(crate) excused: BTreeMap<Cause, usize>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) history: History,
    pub(crate) log: String,
    pub(crate) millis: u64,
}

impl Outcome {
    /// A round that could not be played.
    pub(crate) fn failed(error: &anyhow::Error) -> Self {
        Self { failures: vec![Failure { client: None, what: format!("{error:#}") }], ..Self::default() }
    }
}

/// What should not have been.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The client that saw it; none if it is about the server as a whole.
    pub(crate) client: Option<usize>,
    pub(crate) what: String,
}

impl Failure {
    /// What it is about, without numbers: the same for two failures of a kind.
    pub(crate) fn kind(&self) -> String {
        self.what.chars().filter(|letter| !letter.is_ascii_digit()).take(60).collect()
    }
}

/// Numbers that tell servers apart.
static ROUNDS: AtomicU64 = AtomicU64::new(0);

/// A name for a server that no other has.
pub(crate) fn name() -> String {
    format!("torture-{}-{}", std::process::id(), ROUNDS.fetch_add(1, Relaxed))
}

/// Plays a plan.
pub(crate) fn play(plan: &Plan, environment: &Environment) -> Result<Outcome> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(&plan.setup, environment, dir.path(), name())?;
    let mut outcome = Outcome::default();
    let clock = Clock::start();
    probe(&server, clock, &mut outcome.failures);
    let before = audit::inventory(&server);

    let (world, failures) = (World::default(), Mutex::default());
    let clock = Clock::start();
    let hand = Hand { server: &server, world: &world, clock, failures };
    let records = Mutex::new(Vec::new());
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| world.watch(&server, clock, &ends));
        let clients: Vec<_> = plan
            .clients
            .iter()
            .map(|client| {
                let (records, server) = (&records, &server);
                scope.spawn(move || {
                    let record = client::run(client, &server.addresses, clock);
                    records.lock().expect("no thread panics").push(record);
                })
            })
            .collect();
        hand.run(&plan.events);
        clients.into_iter().for_each(|client| drop(client.join()));
        ends.store(true, Relaxed);
    });
    outcome.history = world.history();
    let records = records.into_inner().expect("no thread panics");
    judge(plan, &records, &mut outcome);
    let whole = |what| Failure { client: None, what };
    outcome.failures.extend(hand.failures.into_inner().expect("no thread panics").into_iter().map(whole));
    audit::restore_workers(&server, plan.setup.workers);
    let left = audit::settle(&server, &before);
    outcome.failures.extend(left.into_iter().map(|what| whole(format!("left over: {what}"))));
    outcome.failures.extend(audit::certificate(&server).map(whole));
    probe(&server, clock, &mut outcome.failures);
    outcome.failures.extend(server.stop(Signal::SIGTERM).map(whole));
    let files = server.leftovers().into_iter().map(|file| whole(format!("a file is left: {file}")));
    outcome.failures.extend(files);
    let violations = server.violations().into_iter().map(|what| whole(format!("the application saw {what}")));
    outcome.failures.extend(violations);
    outcome.log = server.log.tail(60);
    outcome.millis = clock.now();
    Ok(outcome)
}

fn judge(plan: &Plan, records: &[Record], outcome: &mut Outcome) {
    for client in &plan.clients {
        let Some(record) = records.iter().find(|record| record.client == client.id) else {
            let what = "the client's thread panicked".into();
            outcome.failures.push(Failure { client: Some(client.id), what });
            continue;
        };
        outcome.responses += record.responses.len();
        match oracle::judge(&plan.setup, client, record, &outcome.history) {
            Verdict::Good => {}
            Verdict::Excused(cause) => *outcome.excused.entry(cause).or_default() += 1,
            Verdict::Failed(what) => outcome.failures.push(Failure { client: Some(client.id), what }),
        }
    }
}

/// Some plain requests to an idle server.
fn probe(server: &Server, clock: Clock, failures: &mut Vec<Failure>) {
    for number in 0..12 {
        let asks = (0..3).map(|place| Ask::new(1_000_000 + number * 3 + place, 3_000)).collect();
        let does = Does::Talk(Talk::simple(asks, Reader::Fast));
        let way = if server.only_tls() || number % 3 == 2 { Way::Tls } else { Way::Tcp };
        let way = if server.has_tls() { way } else { Way::Tcp };
        let client = Client { id: usize::MAX, begins: 0, way, manner: "probe", does };
        let record = client::run(&client, &server.addresses, clock);
        if record.responses.len() != 3 || record.fault.is_some() {
            let what = format!("a plain request to an idle server: {:?} {:?}", record.end, record.fault);
            return failures.push(Failure { client: None, what });
        }
        // Before and after the load there are no clients.
        if let Some(response) = record.responses.iter().find(|response| response.sockets > 0) {
            let what = format!("left over: {} WebSockets in an application", response.sockets);
            return failures.push(Failure { client: None, what });
        }
    }
}
