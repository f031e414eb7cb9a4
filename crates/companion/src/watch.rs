//! The loop: what the master says, what the companion prints, and whether it is ready, runs, or has ended.

use crate::{
    notify::Notify,
    output::{Lineage, Stream},
    ready::Check,
    start::{self, Started},
};
use hostler_settings::Ready;
use hostler_sys::{
    bundle::Bundle,
    channel::Channel,
    logging, proc,
    process::{self, WaitStatus},
    signal::SignalPipe,
    title,
};
use hostler_wire::{Appearance, CompanionSetup, Descriptor, FromCompanion, ToCompanion};
use nix::{
    libc::{SIGCHLD, SIGKILL, SIGTERM},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
};
use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};
use tracing::{debug, warn};

/// How long what a companion has left running may take to end when it has ended itself.
const LEFT_LIMIT: Duration = Duration::from_secs(2);
/// When those are killed again that have not ended after that: one may have forked meanwhile. The wait grows.
const KILL_AGAIN: Duration = Duration::from_millis(20);
/// The longest wait before that.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long those are tried that this process may not signal.
const FORBIDDEN_LIMIT: Duration = Duration::from_secs(1);
/// How long those may take to end that were killed: a lot of memory takes a while, and so does a disk that does not answer.
const KILLED_LIMIT: Duration = Duration::from_secs(60);

struct Watch {
    setup: CompanionSetup,
    /// Until the master is gone.
    channel: Option<Channel>,
    signals: SignalPipe,
    pid: i32,
    began: Instant,
    streams: Vec<Stream>,
    notify: Option<Notify>,
    check: Option<Check>,
    ready: bool,
    /// How it has ended.
    ended: Option<(WaitStatus, Duration)>,
    /// When all that is left of it is killed.
    kill_at: Option<Instant>,
    is_told: bool,
    /// The log has that it is killed.
    kill_told: bool,
    killing: Option<Killing>,
    /// What is left of it cannot be ended, and is left alone.
    is_given_up: bool,
}

/// That what is left is killed, again and again.
#[derive(Clone, Copy)]
struct Killing {
    since: Instant,
    wait: Duration,
}

/// Starts a companion and watches it to its end.
pub(crate) fn watch(setup: CompanionSetup, mut bundle: Bundle<OwnedFd>, channel: Channel) -> io::Result<()> {
    process::become_subreaper()?;
    appear(&setup, &setup.appearance);
    let signals = SignalPipe::new(&[SIGCHLD])?;
    channel.set_nonblocking(true)?;
    let sockets = bundle.take_all(Descriptor::Listener);
    let is_notify = setup.spec.companion.ready == Ready::Notify;
    let started = is_notify.then(|| Notify::listen(&setup)).transpose().and_then(|notify| {
        let started = start::start(&setup, &sockets, notify.as_ref())?;
        Ok((notify, started))
    });
    let (notify, Started { pid, output }) = match started {
        Ok(started) => started,
        Err(error) => {
            let error = not_started(&setup, &error);
            return channel.send(&FromCompanion::Failed { error }, &[]);
        }
    };
    drop(sockets);
    let mut streams = Vec::new();
    if let Some((out, err)) = output {
        streams.extend([Stream::new(out, "stdout")?, Stream::new(err, "stderr")?]);
    }
    let check = Check::of(&setup.spec.companion.ready);
    let mut watch = Watch {
        channel: Some(channel),
        signals,
        pid,
        began: Instant::now(),
        streams,
        notify,
        check,
        ready: false,
        ended: None,
        kill_at: None,
        is_told: false,
        kill_told: false,
        killing: None,
        is_given_up: false,
        setup,
    };
    watch.tell(&FromCompanion::Started { pid });
    if watch.setup.spec.companion.ready == Ready::Started {
        watch.is_ready();
    }
    while !watch.turn() {}
    Ok(())
}

/// Why its program does not run, in terms of its file: the kernel says the same of an interpreter that is not there.
fn not_started(setup: &CompanionSetup, error: &io::Error) -> String {
    let program = setup.spec.companion.command.first().map_or("", String::as_str);
    let said = logging::without_number(&error.to_string());
    let file = setup.spec.directory.as_deref().unwrap_or(Path::new("")).join(program);
    let interpreter = (error.kind() == io::ErrorKind::NotFound).then(|| interpreter(&file)).flatten();
    match interpreter {
        Some(interpreter) => {
            format!("{program}: {said}: its first line names `{interpreter}`")
        }
        None => format!("{program}: {said}"),
    }
}

/// What the first line of a script names.
fn interpreter(file: &Path) -> Option<String> {
    let mut head = [0; 128];
    let length = File::open(file).ok()?.read(&mut head).ok()?;
    let line = head[..length].strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).trim_start().to_owned())
}

fn appear(setup: &CompanionSetup, Appearance { process_name, log, .. }: &Appearance) {
    let companion = &setup.spec.companion;
    let name = match companion.replicas {
        1 => companion.name.clone(),
        _ => format!("{}-{}", companion.name, setup.replica),
    };
    logging::follow(log);
    title::set(process_name.as_deref(), title::Role::Companion, &name);
}

impl Watch {
    /// One turn; whether it was the last.
    fn turn(&mut self) -> bool {
        self.wait();
        self.receive();
        let _ = self.signals.drain();
        self.reap();
        self.read();
        self.look_whether_ready();
        self.kill_overdue();
        logging::report_lost();
        self.is_over()
    }

    fn wait(&self) {
        let checks = self.check.as_ref().filter(|_| self.ended.is_none()).map(|check| check.next);
        let lost = logging::has_lost().then(|| Instant::now() + Duration::from_secs(1));
        let due = [checks, self.kill_at, lost].into_iter().flatten().min();
        let timeout = due.map_or(PollTimeout::NONE, |due| {
            let left = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let channel = self.channel.as_ref().map(Channel::as_fd);
        let notify = self.notify.as_ref().map(Notify::descriptor);
        let streams = self.streams.iter().filter_map(Stream::descriptor);
        let all = self.signals.descriptors().chain(channel).chain(notify).chain(streams);
        let mut watched: Vec<_> = all.map(|it| PollFd::new(it, PollFlags::POLLIN)).collect();
        // On an interruption each is looked at.
        let _ = poll(&mut watched, timeout);
    }

    fn tell(&mut self, message: &FromCompanion) {
        if let Some(channel) = &self.channel
            && let Err(error) = channel.send(message, &[])
        {
            debug!(%error, "cannot send to the master");
        }
    }

    fn receive(&mut self) {
        while let Some(channel) = &self.channel {
            match channel.recv::<ToCompanion>() {
                Ok(Some((message, descriptors))) => self.told(message, descriptors),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                gone => {
                    debug!(error = gone.err().map(|error| error.to_string()), "the master is gone");
                    self.channel = None;
                    let companion = &self.setup.spec.companion.name;
                    if !self.is_told && self.ended.is_none() {
                        warn!(companion, pid = self.pid, "the server is gone: its companion is stopped");
                    }
                    self.stop();
                }
            }
        }
    }

    fn told(&mut self, message: ToCompanion, descriptors: Vec<OwnedFd>) {
        match message {
            ToCompanion::Stop => self.stop(),
            ToCompanion::Kill => {
                self.is_told = true;
                self.kill_told = true;
                self.kill_at = Some(Instant::now());
            }
            ToCompanion::Signal(name) => self.signal(&name),
            ToCompanion::Appear(appearance) => appear(&self.setup, &appearance),
            ToCompanion::ReopenLog => logging::write_to_descriptors(descriptors),
        }
    }

    fn stop(&mut self) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let companion = &self.setup.spec.companion;
        let limit = Instant::now() + companion.stop_timeout;
        let name = companion.stop_signal.0.clone();
        self.kill_at = Some(self.kill_at.map_or(limit, |before| before.min(limit)));
        self.signal(&name);
    }

    /// Signals the companion itself, and not what it has started: it is to tell those.
    fn signal(&self, name: &str) {
        let Ok(signal) = name.parse::<Signal>() else { return };
        if self.ended.is_none()
            && let Err(error) = process::signal(self.pid, signal as i32)
        {
            let companion = &self.setup.spec.companion.name;
            warn!(companion, pid = self.pid, signal = name, %error, "cannot signal a companion");
        }
    }

    /// Takes note of its end, and of that of processes that it left behind.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = process::wait_any() {
            if pid == self.pid && self.ended.is_none() {
                self.ended = Some((status, self.began.elapsed()));
                let limit = Instant::now() + LEFT_LIMIT;
                self.kill_at = Some(self.kill_at.map_or(limit, |before| before.min(limit)));
                drop(self.end_family(SIGTERM));
            }
        }
    }

    /// Signals its process group, and all that was orphaned and came here for it; those that cannot be signalled, and why.
    fn end_family(&self, signal: i32) -> Vec<(i32, io::Error)> {
        let companion = &self.setup.spec.companion.name;
        if let Err(error) = process::signal_group(self.pid, signal) {
            debug!(companion, pid = self.pid, %error, "cannot signal what a companion has started");
        }
        let told = proc::children().into_iter().map(|pid| (pid, process::signal(pid, signal)));
        told.filter_map(|(pid, told)| Some((pid, told.err()?))).collect()
    }

    fn kill_overdue(&mut self) {
        if self.kill_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        if self.ended.is_none() && !std::mem::replace(&mut self.kill_told, true) {
            let Lineage { name: companion, replica } = lineage(&self.setup);
            let limit_seconds = self.setup.spec.companion.stop_timeout.as_secs_f64();
            warn!(
                companion,
                replica,
                pid = self.pid,
                reason = "stop-timeout",
                limit_seconds,
                "companion killed"
            );
        }
        let now = Instant::now();
        let killing = self.killing.get_or_insert(Killing { since: now, wait: KILL_AGAIN });
        let (wait, lasts) = (killing.wait, now - killing.since);
        killing.wait = (wait * 2).min(LONGEST_WAIT);
        self.kill_at = Some(now + wait);
        let refused = self.end_family(SIGKILL);
        if lasts >= KILLED_LIMIT || !refused.is_empty() && lasts >= FORBIDDEN_LIMIT {
            self.give_up(refused.into_iter().next());
        }
    }

    /// Neither a stop nor the next start waits for ever for what cannot be ended: a process of another user, where the server is not root
    /// (sudo, programs that are setuid), or one that waits for a disk.
    fn give_up(&mut self, refused: Option<(i32, io::Error)>) {
        self.is_given_up = true;
        let Lineage { name: companion, replica } = lineage(&self.setup);
        let (pid, error) = refused.unzip();
        let pid = pid.or_else(|| proc::children().first().copied());
        let error = error.map(|error| logging::without_number(&error.to_string()));
        warn!(companion, replica, pid, error, "a process of a companion cannot be killed: it is left alone");
    }

    fn read(&mut self) {
        let Self { streams, setup, .. } = self;
        streams.iter_mut().for_each(|stream| stream.read(&lineage(setup)));
    }

    fn look_whether_ready(&mut self) {
        if self.notify.as_mut().is_some_and(Notify::says_ready) {
            self.is_ready();
        }
        if self.ended.is_some() {
            return;
        }
        let Some(check) = self.check.as_mut().filter(|check| Instant::now() >= check.next) else { return };
        if check.succeeds(&self.setup) {
            self.check = None;
            self.is_ready();
        } else {
            let found = check.found.clone();
            self.tell(&FromCompanion::NotReady { found });
        }
    }

    fn is_ready(&mut self) {
        if !std::mem::replace(&mut self.ready, true) {
            self.tell(&FromCompanion::Ready);
        }
    }

    /// Whether nothing is left of the companion.
    fn is_over(&mut self) -> bool {
        if !self.is_given_up && (self.ended.is_none() || !proc::children().is_empty()) {
            return false;
        }
        let (status, lived) = self.ended.unzip();
        let lived = lived.unwrap_or_else(|| self.began.elapsed());
        let Self { streams, setup, .. } = self;
        streams.iter_mut().for_each(|stream| stream.finish(&lineage(setup)));
        let code = if let Some(WaitStatus::Exited(code)) = status { Some(code) } else { None };
        let status = status.map_or("not ended: it cannot be killed".to_owned(), |status| status.to_string());
        let lived_ms = u64::try_from(lived.as_millis()).unwrap_or(u64::MAX);
        self.tell(&FromCompanion::Ended { status, code, lived_ms });
        logging::finish(hostler_wire::timing::LAST_LINES);
        true
    }
}

fn lineage(setup: &CompanionSetup) -> Lineage<'_> {
    let companion = &setup.spec.companion;
    Lineage { name: &companion.name, replica: (companion.replicas > 1).then_some(setup.replica) }
}
