//! A round for companions: one with replicas, each with a child of its own, is killed, frozen and restarted at random with the rest of
//! the server, while that is reloaded, upgraded, killed and started again. No replica ever runs twice, in the end as many run as are
//! to, and nothing is left of them after the stop.

use crate::{
    Environment,
    clock::{Clock, wait_for},
    dice::Dice,
    plan::{Interface, Setup},
    proc::{self, Role},
    round::{self, Failure, Outcome},
    server::Server,
};
use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// How many replicas there are.
const REPLICAS: usize = 3;
/// For how long things happen, in milliseconds.
const HAPPENS_FOR: u64 = 8_000;
/// The pause between two of them, in milliseconds.
const PAUSE: std::ops::RangeInclusive<u64> = 40..=500;
/// How long a process is suspended.
const FREEZES: Duration = Duration::from_millis(300);
/// How long all replicas may take to run again: longer than the longest pause after failures.
const SETTLES: Duration = Duration::from_secs(45);
/// How long a master that was killed, or an upgrade, may take.
const ENDS: Duration = Duration::from_secs(15);
/// How often to look whether a replica runs twice. What is killed takes a moment to be gone: twice in a row is too often.
const LOOK: Duration = Duration::from_millis(150);

#[derive(Clone, Copy, Debug)]
enum Target {
    /// A replica.
    Companion,
    /// What a replica has started.
    Child,
    /// A process of the server.
    Server(Role),
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Kill(Target),
    Freeze(Target),
    Tell(Signal),
    /// `hostler ctl restart`.
    Restart,
    /// Kills the master, and starts the server again when nothing is left of it.
    StartAgain,
}

/// What is done, each as often as its weight says.
const ACTS: [(u64, Act); 13] = [
    (6, Act::Kill(Target::Companion)),
    (2, Act::Kill(Target::Child)),
    (3, Act::Kill(Target::Server(Role::Watcher))),
    (1, Act::Kill(Target::Server(Role::Worker))),
    (1, Act::Kill(Target::Server(Role::Mold))),
    (2, Act::Freeze(Target::Companion)),
    (2, Act::Freeze(Target::Server(Role::Watcher))),
    (1, Act::Freeze(Target::Server(Role::Master))),
    (2, Act::Tell(Signal::SIGHUP)),
    (1, Act::Tell(Signal::SIGUSR1)),
    (2, Act::Tell(Signal::SIGUSR2)),
    (2, Act::Restart),
    (1, Act::StartAgain),
];

/// The configuration of a server that is called so.
pub(crate) fn configuration(name: &str) -> String {
    format!(
        "[[companion]]\nname = \"crew\"\nreplicas = {REPLICAS}\nstop-timeout = 2\n\
         command = [\"sh\", \"-c\", \"sh -c 'while :; do sleep 0.1; done' {name}-child & wait\", \"{name}-companion\"]\n"
    )
}

/// A process of a companion, or of its child.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    pid: i32,
    replica: String,
    is_child: bool,
}

/// What a round is about.
struct Site<'a> {
    server: &'a Server,
    hostler: &'a Path,
    name: String,
    ended: AtomicBool,
    twice: Mutex<Vec<String>>,
}

/// Plays it. The line says what there was.
pub(crate) fn play(seed: u64, environment: &Environment) -> Result<(String, Outcome)> {
    let dir = tempfile::tempdir()?;
    let mut dice = Dice::new(seed);
    let setup =
        Setup { workers: 2, preload: dice.chance(50), companions: true, ..Setup::plain(Interface::Asgi) };
    let name = round::name();
    let server = Server::start(&setup, environment, dir.path(), name.clone())?;
    let clock = Clock::start();
    let (ended, twice) = (AtomicBool::new(false), Mutex::default());
    let site = Site { server: &server, hostler: &environment.hostler, name, ended, twice };
    let mut failures = Vec::new();
    let acts = thread::scope(|scope| {
        scope.spawn(|| site.look_for_twins());
        let acts = site.disturb(&mut dice, clock, &mut failures);
        failures.extend(site.unsettled());
        site.ended.store(true, Relaxed);
        acts
    });
    failures.extend(server.stop(Signal::SIGTERM));
    if !wait_for(ENDS, || site.members().is_empty()) {
        failures.push(format!("companions outlive the server: {:?}", site.members()));
    }
    site.end_by_force();
    let mut twice = site.twice.into_inner().expect("no thread panics");
    twice.dedup();
    failures.extend(twice);
    let mut outcome = Outcome { responses: acts, millis: clock.now(), ..Outcome::default() };
    outcome.failures.extend(failures.into_iter().map(|what| Failure { client: None, what }));
    outcome.log = server.log.tail(80);
    Ok((format!("companions: {acts} events"), outcome))
}

impl Site<'_> {
    /// All processes of companions.
    fn members(&self) -> Vec<Member> {
        let (companion, child) = (format!("{}-companion", self.name), format!("{}-child", self.name));
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let member = |pid: i32| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            let last = line.trim_end_matches('\0').rsplit('\0').next()?;
            let is_child = last == child;
            if !proc::lives(pid) || !(is_child || last == companion) {
                return None;
            }
            let variables = fs::read_to_string(format!("/proc/{pid}/environ")).ok()?;
            let replica = variables.split('\0').find_map(|it| it.strip_prefix("HOSTLER_REPLICA="))?;
            Some(Member { pid, replica: replica.to_owned(), is_child })
        };
        pids.filter_map(member).collect()
    }

    fn of(&self, target: Target) -> Vec<i32> {
        let members = |child: bool| {
            self.members().into_iter().filter(|it| it.is_child == child).map(|it| it.pid).collect()
        };
        match target {
            Target::Companion => members(false),
            Target::Child => members(true),
            Target::Server(role) => self.server.with_role(role),
        }
    }

    /// Replicas of one number that run at the same time.
    fn twins(&self) -> BTreeMap<String, Vec<i32>> {
        let mut found: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for it in self.members().into_iter().filter(|it| !it.is_child) {
            found.entry(it.replica).or_default().push(it.pid);
        }
        // The older one may have ended while the others were looked at.
        found.values_mut().for_each(|pids| pids.retain(|pid| proc::lives(*pid)));
        found.retain(|_, pids| pids.len() > 1);
        found
    }

    fn look_for_twins(&self) {
        let mut before = BTreeMap::new();
        while !self.ended.load(Relaxed) {
            thread::sleep(LOOK);
            let now = self.twins();
            for (replica, pids) in now.iter().filter(|(replica, pids)| before.get(*replica) == Some(*pids)) {
                let what = format!("replica {replica} of the companion runs more than once: {pids:?}");
                self.twice.lock().expect("no thread panics").push(what);
            }
            before = now;
        }
    }

    fn disturb(&self, dice: &mut Dice, clock: Clock, failures: &mut Vec<String>) -> usize {
        let mut acts = 0;
        let mut commands = Vec::new();
        while clock.now() < HAPPENS_FOR {
            thread::sleep(Duration::from_millis(dice.within(PAUSE)));
            acts += 1;
            match dice.weighted(&ACTS) {
                Act::Kill(target) => {
                    self.one_of(dice, target).into_iter().for_each(|pid| send(pid, Signal::SIGKILL))
                }
                Act::Freeze(target) => {
                    let frozen = self.one_of(dice, target);
                    frozen.into_iter().for_each(|pid| send(pid, Signal::SIGSTOP));
                    thread::sleep(FREEZES);
                    frozen.into_iter().for_each(|pid| send(pid, Signal::SIGCONT));
                }
                Act::Tell(signal) => self.server.master().into_iter().for_each(|pid| send(pid, signal)),
                Act::Restart => commands.extend(self.ctl(&["restart", "crew", "--timeout", "20"]).spawn()),
                Act::StartAgain => failures.extend(self.start_again()),
            }
        }
        for mut command in commands {
            // What it says depends on what happened meanwhile; that it ends does not.
            if !wait_for(Duration::from_secs(30), || matches!(command.try_wait(), Ok(Some(_)))) {
                failures.push("hostler ctl restart does not end".into());
                end(&mut command);
            }
        }
        acts
    }

    fn one_of(&self, dice: &mut Dice, target: Target) -> Option<i32> {
        let pids = self.of(target);
        let last = (pids.len() as u64).checked_sub(1)?;
        pids.get(usize::try_from(dice.within(0..=last)).ok()?).copied()
    }

    fn ctl(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.hostler);
        command.arg("ctl").args(words).arg("--socket").arg(self.server.control_socket());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// A master that is killed takes all companions along. An upgrade is over first: what is left of two servers is another matter.
    fn start_again(&self) -> Vec<String> {
        let mut failures = Vec::new();
        if !wait_for(ENDS, || self.server.with_role(Role::Master).len() == 1) {
            failures.push(format!("an upgrade does not end: {:?}", self.server.processes()));
        }
        for master in self.server.with_role(Role::Master) {
            send(master, Signal::SIGKILL);
        }
        if !wait_for(ENDS, || self.server.processes().is_empty() && self.members().is_empty()) {
            let left = (self.server.processes(), self.members());
            failures.push(format!("processes outlive a master that was killed: {left:?}"));
        }
        self.server.end_by_force();
        self.end_by_force();
        failures.extend(self.server.start_again().err().map(|error| format!("{error:#}")));
        failures
    }

    /// What is not as it is to be once nothing happens any more.
    fn unsettled(&self) -> Option<String> {
        let whole = |members: &[Member], child: bool| {
            let mut numbers: Vec<&str> =
                members.iter().filter(|it| it.is_child == child).map(|it| it.replica.as_str()).collect();
            numbers.sort_unstable();
            numbers == ["1", "2", "3"]
        };
        let settled = wait_for(SETTLES, || {
            let members = self.members();
            whole(&members, false)
                && whole(&members, true)
                && self.server.with_role(Role::Watcher).len() == REPLICAS
                && self.server.with_role(Role::Master).len() == 1
                && self.told().is_ok_and(|told| {
                    members.iter().filter(|it| !it.is_child).all(|it| told.contains(&i64::from(it.pid)))
                })
        });
        (!settled).then(|| {
            format!(
                "not {REPLICAS} companions: {:?} {:?}, {:?}",
                self.members(),
                self.told(),
                self.server.processes()
            )
        })
    }

    /// The companions that are ready, as the server says.
    fn told(&self) -> Result<Vec<i64>> {
        let output = self.ctl(&["status", "--json"]).stdout(Stdio::piped()).output()?;
        let reply: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let all = reply["result"]["companions"].as_array().context("no companions")?;
        Ok(all.iter().filter(|it| it["state"] == "ready").filter_map(|it| it["pid"].as_i64()).collect())
    }

    fn end_by_force(&self) {
        self.members().iter().for_each(|it| send(it.pid, Signal::SIGKILL));
    }
}

fn end(command: &mut Child) {
    let _ = command.kill();
    let _ = command.wait();
}

fn send(pid: i32, signal: Signal) {
    // It may be gone.
    let _ = kill(Pid::from_raw(pid), signal);
}
