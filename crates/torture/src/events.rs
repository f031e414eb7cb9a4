//! Does to the server what the plan says, and notes it.

use crate::{
    ask::Ask,
    clock::{Clock, wait_for},
    edge::{self, Edge},
    plan::{Act, Event, Target},
    proc::{self, Role},
    server::Server,
    world::{Stop, World},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustls::{ClientConnection, StreamOwned};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    sync::Mutex,
    time::Duration,
};

/// How long an upgrade, or taking the service back, may take.
const UPGRADES: Duration = Duration::from_secs(20);
/// How long one request may take.
const ANSWERS: Duration = Duration::from_secs(3);

/// What has to be undone later.
enum Undo {
    Continue(i32),
    Descriptors,
    Certificate,
}

/// Does the events of a plan, each at its time.
pub(crate) struct Hand<'a> {
    pub(crate) server: &'a Server,
    pub(crate) world: &'a World,
    pub(crate) clock: Clock,
    /// What went wrong with a stop or a start.
    pub(crate) failures: Mutex<Vec<String>>,
}

impl Hand<'_> {
    pub(crate) fn run(&self, events: &[Event]) {
        let mut undone: Vec<(u64, Undo)> = Vec::new();
        let mut events = events.iter().peekable();
        loop {
            let next_event = events.peek().map(|event| event.at);
            let next_undo = undone.iter().map(|(at, _)| *at).min();
            let Some(next) = next_event.into_iter().chain(next_undo).min() else { return };
            self.clock.wait_until(next);
            if let Some(place) = undone.iter().position(|(at, _)| *at == next) {
                self.undo(&undone.remove(place).1);
            } else if let Some(event) = events.next() {
                undone.extend(self.act(event.act));
            }
        }
    }

    fn find(&self, target: Target) -> Option<i32> {
        match target {
            Target::Master => self.server.master(),
            Target::Successor => {
                let master = self.server.master();
                self.server.with_role(Role::Master).into_iter().find(|pid| Some(*pid) != master)
            }
            Target::Mold => self.server.with_role(Role::Mold).pop(),
            Target::Worker(number) => {
                let workers = self.server.with_role(Role::Worker);
                (!workers.is_empty()).then(|| workers[number % workers.len()])
            }
        }
    }

    /// Does something; what is to be undone, and when.
    fn act(&self, act: Act) -> Option<(u64, Undo)> {
        match act {
            Act::Signal(target, signal) => {
                let pid = self.find(target)?;
                self.tell(format!("{signal} to {target:?} ({pid})"));
                self.signal(target, pid, signal);
                None
            }
            Act::Freeze(target, time) => {
                let pid = self.find(target)?;
                self.tell(format!("{target:?} ({pid}) is suspended for {time} ms"));
                send(pid, Signal::SIGSTOP);
                let now = self.clock.now();
                self.world.note(|history| history.frozen.push((now, now + time)));
                Some((now + time, Undo::Continue(pid)))
            }
            Act::FewDescriptors(target, spare, time) => {
                let pid = self.find(target)?;
                // A limit is set before a process has descriptors, as a rule, and never below one that it has.
                send(pid, Signal::SIGSTOP);
                wait_for(Duration::from_secs(2), || proc::is_stopped(pid));
                let has = proc::highest_descriptor(pid) + 1;
                limit_descriptors(pid, has + spare);
                send(pid, Signal::SIGCONT);
                self.tell(format!(
                    "{target:?} ({pid}) may have {spare} descriptors beyond number {has} for {time} ms"
                ));
                let until = self.clock.now() + time;
                self.world.note(|history| history.few_descriptors.push((self.clock.now(), until)));
                Some((until, Undo::Descriptors))
            }
            Act::Restart(signal) => {
                self.restart(signal);
                None
            }
            Act::UpgradeDies => {
                self.lose_upgrade();
                None
            }
            Act::LogStuck(time) => {
                self.tell(format!("the log is not read for {time} ms"));
                self.server.log.stick(Duration::from_millis(time));
                None
            }
            Act::Renewal => {
                self.tell("the certificate is replaced".into());
                self.change(Edge::renew);
                None
            }
            Act::BadCertificate(time) => {
                self.tell(format!("the certificate's file has none for {time} ms"));
                self.change(Edge::spoil);
                Some((self.clock.now() + time, Undo::Certificate))
            }
            Act::LogDead => {
                self.tell("the log's reader closes".into());
                self.server.log.die();
                None
            }
        }
    }

    /// Changes the server's files.
    fn change(&self, how: impl Fn(&Edge) -> anyhow::Result<()>) {
        if let Err(error) = how(&self.server.edge) {
            self.failures.lock().expect("no thread panics").push(format!("{error:#}"));
        }
    }

    fn undo(&self, undo: &Undo) {
        match undo {
            Undo::Continue(pid) => send(*pid, Signal::SIGCONT),
            Undo::Certificate => self.change(Edge::renew),
            // Those that were started meanwhile have inherited the limit.
            Undo::Descriptors => {
                self.server.processes().iter().for_each(|process| limit_descriptors(process.pid, 1024))
            }
        }
    }

    fn signal(&self, target: Target, pid: i32, signal: Signal) {
        let now = self.clock.now();
        match (target, signal) {
            (Target::Worker(_), Signal::SIGKILL | Signal::SIGINT | Signal::SIGQUIT) => {
                // Its connections are only known while it is suspended.
                send(pid, Signal::SIGSTOP);
                wait_for(Duration::from_secs(2), || proc::is_stopped(pid));
                self.world.note_end_of(self.server, pid, self.clock.now());
                send(pid, signal);
                return send(pid, Signal::SIGCONT);
            }
            (Target::Worker(_), Signal::SIGTERM) => self.world.note(|history| {
                history.drains.push(now);
                history.told.push((pid, now));
            }),
            (Target::Master, Signal::SIGHUP | Signal::SIGUSR2 | Signal::SIGTTOU) => {
                self.world.note(|history| history.drains.push(now));
            }
            (Target::Master, Signal::SIGWINCH) => self.world.note(|history| {
                history.drains.push(now);
                history.emptied = Some((now, u64::MAX));
            }),
            _ => {}
        }
        if let (Target::Master, Signal::SIGHUP) = (target, signal) {
            self.world.note(|history| {
                if let Some(emptied) = &mut history.emptied {
                    emptied.1 = emptied.1.min(now + 5_000);
                }
            });
        }
        send(pid, signal);
    }

    fn restart(&self, signal: Signal) {
        let at = self.clock.now();
        self.tell(format!("{signal} stops the server, and it is started again"));
        let graceful = signal == Signal::SIGTERM;
        self.world.note(|history| history.stops.push(Stop { at, graceful, serves_again: u64::MAX }));
        // Without a certificate it would not start.
        self.change(Edge::renew);
        // A suspended process cannot stop.
        self.server.processes().iter().for_each(|process| send(process.pid, Signal::SIGCONT));
        let wrong = self.server.stop(signal).or_else(|| {
            let left = self.server.leftovers();
            (!left.is_empty()).then(|| format!("files are left: {left:?}"))
        });
        if wrong.is_some() {
            self.server.end_by_force();
        }
        self.failures.lock().expect("no thread panics").extend(wrong);
        if let Err(error) = self.server.start_again() {
            self.failures.lock().expect("no thread panics").push(format!("{error:#}"));
        }
        self.tell("the server is started again".into());
        self.serves_again();
    }

    /// Upgrades, and kills the new server while the old one drains, which is to serve again then.
    fn lose_upgrade(&self) {
        let Some(old) = self.server.master() else { return };
        // Without a certificate the new one would not start.
        self.change(Edge::renew);
        let workers = self.server.with_role(Role::Worker);
        self.tell(format!("SIGUSR2 to Master ({old}), whose successor is to die"));
        self.signal(Target::Master, old, Signal::SIGUSR2);
        // One that was stopped by an earlier event would be continued only after this one.
        send(old, Signal::SIGCONT);
        let replaced = || self.server.master().filter(|master| *master != old);
        wait_for(UPGRADES, || replaced().is_some() || !proc::lives(old));
        let Some(new) = replaced() else { return };
        // Only a server that is still there can take anything back.
        send(old, Signal::SIGSTOP);
        wait_for(Duration::from_secs(2), || proc::is_stopped(old));
        if !proc::lives(old) || !workers.iter().any(|worker| proc::lives(*worker)) {
            return send(old, Signal::SIGCONT);
        }
        let at = self.clock.now();
        self.tell(format!("SIGKILL to Successor ({new})"));
        self.world.note(|history| {
            history.stops.push(Stop { at, graceful: false, serves_again: u64::MAX });
        });
        // Those of the new server accept until they hear of its end, and then have little time left.
        let orphans = self.server.with_role(Role::Worker).into_iter().filter(|pid| !workers.contains(pid));
        orphans.for_each(|orphan| self.world.note_end_of(self.server, orphan, at));
        send(new, Signal::SIGKILL);
        // A kernel that is still ending the new server has told the old one nothing: if that drained meanwhile, it would leave.
        wait_for(Duration::from_secs(2), || !proc::lives(new));
        send(old, Signal::SIGCONT);
        if !wait_for(UPGRADES, || responses(self.server)) {
            let what = "the successor died, and the server before it did not serve again";
            self.failures.lock().expect("no thread panics").push(what.into());
        }
        self.serves_again();
    }

    fn serves_again(&self) {
        let now = self.clock.now();
        self.world.note(|history| {
            if let Some(stop) = history.stops.last_mut() {
                stop.serves_again = now;
            }
        });
    }

    fn tell(&self, what: String) {
        let now = self.clock.now();
        self.world.note(|history| history.story.push((now, what)));
    }
}

/// Whether a request is served.
fn responses(server: &Server) -> bool {
    let response = || {
        let stream = TcpStream::connect_timeout(&server.addresses.tcp, ANSWERS)?;
        stream.set_read_timeout(Some(ANSWERS))?;
        if server.only_tls() {
            let tls = ClientConnection::new(edge::trust(false), edge::host()).map_err(io::Error::other)?;
            return is_answered(StreamOwned::new(tls, stream));
        }
        is_answered(stream)
    };
    let response: io::Result<bool> = response();
    response.unwrap_or(false)
}

fn is_answered(mut stream: impl Read + Write) -> io::Result<bool> {
    stream.write_all(&Ask { last: true, ..Ask::new(2_000_000, 10) }.head())?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).map(|_| text.starts_with(b"HTTP/1.1 200 "))
}

/// Sends a signal; a process that is gone already does not mind.
fn send(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Sets the soft limit of descriptors.
fn limit_descriptors(pid: i32, most: u64) {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &pid.to_string(), &format!("--nofile={most}:")]);
    // A process that is gone already does not mind.
    let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
}
