//! A round for the task queue: tasks are enqueued over HTTP while workers, keepers, molds and masters are killed, frozen, reloaded and
//! upgraded. Each task that was accepted has its result in the end, and none ran more often than what was done to it explains.

use crate::{
    Environment,
    clock::{Clock, wait_for},
    dice::Dice,
    plan::{Interface, Setup},
    proc::Role,
    round::{self, Failure, Outcome},
    server::Server,
};
use anyhow::Result;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// For how long things happen, in milliseconds.
const HAPPENS_FOR: u64 = 8_000;
/// The pause between two of them, in milliseconds.
const PAUSE: std::ops::RangeInclusive<u64> = 40..=500;
/// How many clients enqueue at the same time.
const CLIENTS: u64 = 3;
/// How long a process is suspended.
const FREEZES: Duration = Duration::from_millis(300);
/// How long the last result may take.
const RESULTS: Duration = Duration::from_secs(60);
/// How long one request may take.
const ANSWERS: Duration = Duration::from_secs(10);
/// A task is given up after so many deaths of its worker.
const MOST_LOSSES: usize = 5;

#[derive(Clone, Copy, Debug)]
enum Act {
    Kill(Role),
    Freeze(Role),
    Tell(Signal),
    /// Kills the master and all that is left of the server, and starts it again.
    StartAgain,
}

/// What is done, each as often as its weight says.
const ACTS: [(u64, Act); 9] = [
    (6, Act::Kill(Role::TaskWorker)),
    (3, Act::Kill(Role::Keeper)),
    (1, Act::Kill(Role::Mold)),
    (1, Act::Kill(Role::Worker)),
    (2, Act::Freeze(Role::TaskWorker)),
    (1, Act::Freeze(Role::Keeper)),
    (2, Act::Tell(Signal::SIGHUP)),
    (1, Act::Tell(Signal::SIGUSR2)),
    (1, Act::StartAgain),
];

/// What is known of a round.
struct Site<'a> {
    server: &'a Server,
    next: AtomicU64,
    ended: AtomicBool,
    /// Ids of what was accepted, with their numbers.
    accepted: Mutex<Vec<(u64, String)>>,
    /// Processes that were killed.
    killed: Mutex<BTreeSet<i32>>,
}

/// Plays it. The line says what there was.
pub(crate) fn play(seed: u64, environment: &Environment) -> Result<(String, Outcome)> {
    let dir = tempfile::tempdir()?;
    let mut dice = Dice::new(seed);
    let setup = Setup { workers: 2, preload: dice.chance(50), tasks: true, ..Setup::plain(Interface::Asgi) };
    let server = Server::start(&setup, environment, dir.path(), round::name())?;
    let clock = Clock::start();
    let site = Site {
        server: &server,
        next: AtomicU64::new(1),
        ended: AtomicBool::new(false),
        accepted: Mutex::default(),
        killed: Mutex::default(),
    };
    let mut failures = Vec::new();
    let acts = thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (site, dice) = (&site, Dice::new(seed ^ (client + 1)));
            scope.spawn(move || site.enqueue(dice));
        }
        let acts = site.disturb(&mut dice, clock, &mut failures);
        site.ended.store(true, Relaxed);
        acts
    });
    let accepted = site.accepted.into_inner().expect("no thread panics");
    let runs = server.runs();
    let lost = wait_for_results(server.addresses.tcp, &accepted, &runs);
    failures.extend(lost);
    failures.extend(server.stop(Signal::SIGTERM));
    failures.extend(unexplained(&runs, &site.killed.into_inner().expect("no thread panics")));
    let mut outcome = Outcome { responses: accepted.len(), millis: clock.now(), ..Outcome::default() };
    outcome.failures.extend(failures.into_iter().map(|what| Failure { client: None, what }));
    outcome.log = server.log.tail(80);
    Ok((format!("tasks: {} accepted, {acts} events", accepted.len()), outcome))
}

impl Site<'_> {
    fn enqueue(&self, mut dice: Dice) {
        while !self.ended.load(Relaxed) {
            let number = self.next.fetch_add(1, Relaxed);
            let kind = dice.weighted(&[(6, "works"), (3, "waits"), (1, "fails")]);
            let millis = dice.weighted(&[(8, 0), (3, 5), (1, 200)]);
            thread::sleep(Duration::from_millis(dice.weighted(&[(1, 0), (1, 5), (1, 20)])));
            match get(self.server.addresses.tcp, &format!("/start/{number}/{kind}/{millis}")) {
                Ok((200, id)) => self.accepted.lock().expect("no thread panics").push((number, id)),
                // Whether it was accepted is not known, or it was not.
                _ => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    fn disturb(&self, dice: &mut Dice, clock: Clock, failures: &mut Vec<String>) -> usize {
        let mut acts = 0;
        while clock.now() < HAPPENS_FOR {
            thread::sleep(Duration::from_millis(dice.within(PAUSE)));
            acts += 1;
            match dice.weighted(&ACTS) {
                Act::Kill(role) => self.one_of(dice, role).into_iter().for_each(|pid| self.kill(pid)),
                Act::Freeze(role) => {
                    let frozen = self.one_of(dice, role);
                    frozen.into_iter().for_each(|pid| send(pid, Signal::SIGSTOP));
                    thread::sleep(FREEZES);
                    frozen.into_iter().for_each(|pid| send(pid, Signal::SIGCONT));
                }
                Act::Tell(signal) => self.server.master().into_iter().for_each(|pid| send(pid, signal)),
                Act::StartAgain => {
                    let all = self.server.processes();
                    self.killed
                        .lock()
                        .expect("no thread panics")
                        .extend(all.iter().map(|process| process.pid));
                    self.server.master().into_iter().for_each(|pid| send(pid, Signal::SIGKILL));
                    let gone = wait_for(Duration::from_secs(10), || self.server.processes().is_empty());
                    if !gone {
                        let left = self.server.processes();
                        failures.push(format!("processes outlive a master that was killed: {left:?}"));
                    }
                    self.server.end_by_force();
                    failures.extend(self.server.start_again().err().map(|error| format!("{error:#}")));
                }
            }
        }
        acts
    }

    fn one_of(&self, dice: &mut Dice, role: Role) -> Option<i32> {
        let pids = self.server.with_role(role);
        let last = (pids.len() as u64).checked_sub(1)?;
        pids.get(usize::try_from(dice.within(0..=last)).ok()?).copied()
    }

    fn kill(&self, pid: i32) {
        self.killed.lock().expect("no thread panics").insert(pid);
        send(pid, Signal::SIGKILL);
    }
}

/// One request on a connection of its own: status and body.
fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(ANSWERS))?;
    socket
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: torture\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(malformed)?;
    // It has one piece, in chunks or not.
    let body = body.lines().find(|line| line.len() >= 2 || body.lines().count() == 1).unwrap_or_default();
    Ok((status, body.to_owned()))
}

/// What has no result, or a wrong one.
fn wait_for_results(address: SocketAddr, accepted: &[(u64, String)], runs: &Path) -> Vec<String> {
    let clock = Clock::start();
    let mut failures = Vec::new();
    for (number, id) in accepted {
        let mut last = String::new();
        let right = wait_for(RESULTS.saturating_sub(Duration::from_millis(clock.now())), || {
            match get(address, &format!("/result/{id}")) {
                Ok((200, body)) => {
                    last = body;
                    true
                }
                Ok((_, body)) if body.starts_with("TaskFailed") => {
                    last = body;
                    true
                }
                other => {
                    last = format!("{other:?}");
                    false
                }
            }
        });
        let is_given_up = last.contains("WorkerLost") && begun(runs, *number) >= MOST_LOSSES;
        if !right || (last != (number * 3).to_string() && !is_given_up) {
            failures.push(format!("task {number} ({id}) was accepted and has no result: {last}"));
        }
    }
    failures
}

fn begun(runs: &Path, number: u64) -> usize {
    read(runs).get(&number).map_or(0, Vec::len)
}

/// How a run of a task went on, and in which process.
type Run = (i32, Option<String>);

/// The runs of each task.
fn read(runs: &Path) -> BTreeMap<u64, Vec<Run>> {
    let text = fs::read_to_string(runs).unwrap_or_default();
    let mut found: BTreeMap<u64, Vec<Run>> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let &[number, what, pid] = words.as_slice() else { continue };
        let (Ok(number), Ok(pid)) = (number.parse(), pid.parse()) else { continue };
        let its = found.entry(number).or_default();
        match its.iter_mut().rev().find(|(runs_in, end)| *runs_in == pid && end.is_none()) {
            Some((_, end)) if what != "begins" => *end = Some(what.to_owned()),
            _ => its.push((pid, None)),
        }
    }
    found
}

/// Runs that are one too many: before each but the last the task had failed, or its worker was killed.
fn unexplained(runs: &Path, killed: &BTreeSet<i32>) -> Vec<String> {
    let mut failures = Vec::new();
    for (number, its) in read(runs) {
        let earlier = &its[..its.len() - 1];
        let explains = |(pid, end): &Run| killed.contains(pid) || end.as_deref() == Some("fails");
        if !earlier.iter().all(explains) {
            failures.push(format!("task {number} ran more often than explained: {its:?}"));
        }
    }
    failures
}

fn send(pid: i32, signal: Signal) {
    // It may be gone.
    let _ = kill(Pid::from_raw(pid), signal);
}
