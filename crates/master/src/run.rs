//! The loop itself.

use crate::{
    Plan, Spawner,
    fleet::Fleet,
    mold::Mold,
    native::{self, NativeSeat},
    report,
};
use hostler_arbiter::{Action, Arbiter, Event, Policy, Why};
use hostler_sys::{
    channel::Channel,
    process::{self, WaitStatus},
    signal::SignalPipe,
    title,
};
use hostler_wire::{
    BootFailure, ExitStatus, FailureKind, FromMold, FromWorker, Generation, SeatId, ToMold, ToWorker,
};
use nix::{
    libc::{
        SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH,
    },
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};
use tracing::{error, info, warn};

/// How long to wait before a lost mold is replaced, and how long one may take to leave at the end.
const MOLD_PAUSE: Duration = Duration::from_secs(1);
/// Reloads raise it; there are none yet.
const FIRST: Generation = Generation(0);
const SIGNALS: [i32; 10] =
    [SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH];

pub(crate) fn run(plan: Plan) -> ExitStatus {
    match Master::new(plan) {
        Ok(mut master) => {
            let status = master.serve();
            master.clean_up();
            status
        }
        Err(error) => {
            report::print("the master could not start", &[&error.to_string()], None, None);
            ExitStatus::Failed
        }
    }
}

struct Master {
    plan: Plan,
    arbiter: Arbiter,
    started: Instant,
    signals: SignalPipe,
    mold: Option<Mold>,
    /// When a new mold is due, if there is none.
    mold_due: Option<Instant>,
    fleet: Fleet,
    /// Whether a failure of the start has been reported: one is enough.
    reported: bool,
}

impl Master {
    fn new(plan: Plan) -> io::Result<Self> {
        process::become_subreaper()?;
        // Before anything is started, so that no exit goes unnoticed.
        let signals = SignalPipe::new(&SIGNALS)?;
        let app = plan.settings.app.as_ref().map_or("native", |app| app.target.as_str());
        title::set(&title::for_role(plan.settings.process_name.as_deref(), title::Role::Master, app));
        let policy = Policy { workers: plan.workers, graceful_timeout: plan.settings.graceful_timeout };
        Ok(Self {
            arbiter: Arbiter::new(policy),
            plan,
            started: Instant::now(),
            signals,
            mold: None,
            mold_due: None,
            fleet: Fleet::default(),
            reported: false,
        })
    }

    fn serve(&mut self) -> ExitStatus {
        match &self.plan.spawner {
            Spawner::Mold(_) => self.mold_due = Some(Instant::now()),
            Spawner::Native(_) => {
                if let Some(status) = self.happen(Event::CanSpawn) {
                    return status;
                }
            }
        }
        loop {
            if let Some(status) = self.turn() {
                return status;
            }
        }
    }

    /// One turn; the status to leave with, once there is one.
    fn turn(&mut self) -> Option<ExitStatus> {
        let mut events = VecDeque::new();
        self.start_mold_if_due(&mut events);
        if events.is_empty() {
            self.wait();
        }
        self.hear_signals(&mut events);
        self.hear_mold(&mut events);
        self.hear_workers(&mut events);
        events.push_back(Event::Tick);
        events.into_iter().find_map(|event| self.happen(event))
    }

    /// Waits for a signal, a message or a deadline.
    fn wait(&self) {
        let timeout = self.deadline().map_or(PollTimeout::NONE, |due| {
            let left = due.saturating_duration_since(Instant::now());
            // Rounded up, or the last millisecond would be a busy one.
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        let mold = self.mold.iter().map(|mold| mold.channel.as_fd());
        let workers = self.fleet.channels().map(|(_, channel)| channel.as_fd());
        let mut watched: Vec<PollFd<'_>> = self
            .signals
            .descriptors()
            .chain(mold)
            .chain(workers)
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        if let Err(error) = poll(&mut watched, timeout)
            && error != nix::Error::EINTR
        {
            warn!(%error, "cannot wait for events");
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let arbiter = self.arbiter.next_deadline().map(|due| self.started + due);
        arbiter.into_iter().chain(self.mold_due).min()
    }

    fn hear_signals(&mut self, events: &mut VecDeque<Event>) {
        for signal in self.signals.drain() {
            match signal {
                SIGCHLD => self.reap(events),
                SIGTERM => {
                    info!(signal = "SIGTERM", "stopping gracefully");
                    events.push_back(Event::StopGracefully);
                }
                SIGINT | SIGQUIT => {
                    info!(signal = if signal == SIGINT { "SIGINT" } else { "SIGQUIT" }, "stopping quickly");
                    events.push_back(Event::StopQuickly);
                }
                other => warn!(signal = other, "this signal is not yet in effect"),
            }
        }
    }

    fn reap(&mut self, events: &mut VecDeque<Event>) {
        loop {
            match process::wait_any() {
                Ok(Some((pid, status))) => self.ended(pid, status, events),
                Ok(None) => return,
                Err(error) => return warn!(%error, "cannot wait for children"),
            }
        }
    }

    fn ended(&mut self, pid: i32, status: WaitStatus, events: &mut VecDeque<Event>) {
        if self.mold.as_ref().is_some_and(|mold| mold.pid == pid) {
            // Its last words first.
            self.hear_mold(events);
            self.lose_mold(&status.to_string(), events);
        } else if let Some(seat) = self.fleet.seat_of(pid) {
            self.worker_ended(seat, pid, status, events);
        } else {
            self.fleet.stranger_ended(pid, status);
        }
    }

    fn worker_ended(&mut self, seat: SeatId, pid: i32, status: WaitStatus, events: &mut VecDeque<Event>) {
        self.hear_worker(seat, events);
        self.fleet.remove(seat);
        if status == WaitStatus::Exited(0) {
            info!(%seat, pid, %status, "worker ended");
        } else {
            warn!(%seat, pid, %status, "worker ended");
        }
        if !self.arbiter.ever_served() && !self.arbiter.is_stopping() {
            self.boot_failed(seat, &died_booting(status), events);
        }
        events.push_back(Event::Exited(seat));
    }

    fn hear_mold(&mut self, events: &mut VecDeque<Event>) {
        while let Some(mold) = &self.mold {
            match mold.channel.recv::<FromMold>() {
                Ok(Some((message, _))) => self.mold_said(message, events),
                Ok(None) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return warn!(%error, "cannot read what the mold says"),
            }
        }
    }

    fn mold_said(&mut self, message: FromMold, events: &mut VecDeque<Event>) {
        match message {
            FromMold::Ready { python } => {
                let pid = self.mold.as_mut().map(|mold| {
                    mold.ready = true;
                    mold.pid
                });
                info!(pid, python, "mold ready");
                events.push_back(Event::CanSpawn);
            }
            FromMold::Forked { seat, pid, .. } => {
                let ended = self.fleet.born(seat, pid);
                events.push_back(Event::Spawned(seat));
                if let Some(status) = ended {
                    self.worker_ended(seat, pid, status, events);
                }
            }
            FromMold::Failed(failure) => self.start_failed(&failure, events),
        }
    }

    fn hear_workers(&mut self, events: &mut VecDeque<Event>) {
        let seats: Vec<SeatId> = self.fleet.channels().map(|(seat, _)| seat).collect();
        for seat in seats {
            self.hear_worker(seat, events);
        }
    }

    fn hear_worker(&mut self, seat: SeatId, events: &mut VecDeque<Event>) {
        while let Some(message) = self.fleet.message(seat) {
            match message {
                FromWorker::Ready { interface, concurrent_calls } => {
                    let pid = self.fleet.pid(seat);
                    info!(%seat, generation = %FIRST, pid, interface, concurrent_calls, "worker ready");
                    events.push_back(Event::Ready(seat));
                }
                FromWorker::Draining => info!(%seat, pid = self.fleet.pid(seat), "worker draining"),
                FromWorker::Failed(failure) => self.boot_failed(seat, &failure, events),
            }
        }
    }

    fn boot_failed(&mut self, seat: SeatId, failure: &BootFailure, events: &mut VecDeque<Event>) {
        if self.arbiter.ever_served() {
            let cause = failure.cause.as_deref().unwrap_or_default();
            error!(%seat, "worker cannot boot: {}\n{cause}", failure.message);
        }
        self.start_failed(failure, events);
        events.push_back(Event::BootFailed(seat, failure.kind.exit_status()));
    }

    /// Reports a failure of the whole start, once.
    fn start_failed(&mut self, failure: &BootFailure, events: &mut VecDeque<Event>) {
        if self.arbiter.ever_served() || self.arbiter.is_stopping() || self.reported {
            return;
        }
        self.reported = true;
        report::print_boot_failure(failure);
        // Which seat it was makes no difference; also a mold's failure is one of the start.
        events.push_back(Event::BootFailed(SeatId(0), failure.kind.exit_status()));
    }

    fn start_mold_if_due(&mut self, events: &mut VecDeque<Event>) {
        let Spawner::Mold(command) = &self.plan.spawner else { return };
        if self.arbiter.is_stopping() || self.mold_due.is_none_or(|due| due > Instant::now()) {
            return;
        }
        self.mold_due = None;
        match Mold::start(command, &self.plan.settings, &self.plan.listeners) {
            Ok(mold) => self.mold = Some(mold),
            Err(error) => {
                let program = command.program.display();
                let message = format!("the Python interpreter `{program}` could not be started");
                self.lose_mold(&format!("{message}: {error}"), events);
            }
        }
    }

    fn lose_mold(&mut self, how: &str, events: &mut VecDeque<Event>) {
        self.mold = None;
        for seat in self.fleet.unborn() {
            self.fleet.remove(seat);
        }
        events.push_back(Event::CannotSpawn);
        if self.arbiter.is_stopping() {
            return;
        }
        warn!(how, "mold ended; workers go on, a new mold follows");
        self.mold_due = Some(Instant::now() + MOLD_PAUSE);
        let failure = BootFailure {
            kind: FailureKind::Boot,
            message: "the Python process that forks workers ended before anything was served".into(),
            cause: Some(how.into()),
            hint: Some("what it printed above tells more; does this Python start by itself?".into()),
        };
        self.start_failed(&failure, events);
    }

    /// Lets the arbiter decide and does what it says; the status to leave with, once there is one.
    fn happen(&mut self, event: Event) -> Option<ExitStatus> {
        let mut queue = VecDeque::from([event]);
        while let Some(event) = queue.pop_front() {
            for action in self.arbiter.step(event, self.started.elapsed()) {
                match action {
                    Action::Spawn(seat) => queue.extend(self.spawn(seat)),
                    Action::Drain(seat) => self.fleet.tell(seat, &ToWorker::Drain),
                    Action::Quit(seat) => self.fleet.tell(seat, &ToWorker::Quit),
                    Action::Kill(seat, why) => self.kill(seat, why),
                    Action::Exit(status) => return Some(status),
                }
            }
        }
        None
    }

    fn kill(&self, seat: SeatId, why: Why) {
        let Some(pid) = self.fleet.pid(seat) else { return };
        let why = match why {
            Why::GracefulTimeout => "graceful-timeout",
            Why::QuickStop => "quick-stop",
        };
        warn!(%seat, pid, why, "worker killed");
        if let Err(error) = process::signal(pid, SIGKILL) {
            error!(%seat, pid, %error, "cannot kill the worker");
        }
    }

    /// Asks for a worker; what happened at once.
    fn spawn(&mut self, seat: SeatId) -> Vec<Event> {
        match self.try_spawn(seat) {
            Ok(Some(_)) => vec![Event::Spawned(seat)],
            Ok(None) => Vec::new(),
            Err(error) => {
                error!(%seat, %error, "cannot start a worker");
                self.fleet.remove(seat);
                vec![Event::SpawnFailed(seat)]
            }
        }
    }

    /// The new worker's process id, if it is known at once.
    fn try_spawn(&mut self, seat: SeatId) -> io::Result<Option<i32>> {
        let (ours, theirs) = Channel::pair()?;
        ours.set_nonblocking(true)?;
        if let Some(mold) = &self.mold {
            mold.channel.send(&ToMold::Fork { seat, generation: FIRST }, &[theirs.as_fd()])?;
            self.fleet.add(seat, ours, None);
            return Ok(None);
        }
        let pid = self.fork_native(seat, theirs)?;
        self.fleet.add(seat, ours, Some(pid));
        Ok(Some(pid))
    }

    fn fork_native(&mut self, seat: SeatId, channel: Channel) -> io::Result<i32> {
        let Spawner::Native(main) = &self.plan.spawner else {
            return Err(io::Error::other("there is no mold"));
        };
        let sockets: io::Result<Vec<OwnedFd>> =
            self.plan.listeners.iter().map(|(_, socket)| socket.try_clone()).collect();
        let native = NativeSeat {
            seat,
            generation: FIRST,
            channel,
            listeners: sockets?,
            settings: self.plan.settings.clone(),
            master_pid: std::process::id().cast_signed(),
        };
        let name = self.plan.settings.process_name.as_deref();
        let title = title::for_role(name, title::Role::Worker(seat.0), "native");
        // Lines to siblings must end with the master, not with whoever inherited a copy.
        let (fleet, signals) = (&mut self.fleet, &mut self.signals);
        native::fork(
            || (std::mem::take(fleet), SignalPipe::new(&[]).map(|none| std::mem::replace(signals, none))),
            || {
                title::set(&title);
                main(native)
            },
        )
    }

    /// Ends the mold and removes what was made.
    fn clean_up(&mut self) {
        if let Some(mold) = self.mold.take() {
            let Mold { pid, channel, .. } = mold;
            drop(channel);
            self.await_mold(pid);
        }
        for path in &self.plan.owned_paths {
            if let Err(error) = std::fs::remove_file(path) {
                warn!(path = %path.display(), %error, "cannot remove the socket");
            }
        }
        info!("stopped");
    }

    fn await_mold(&self, pid: i32) {
        let limit = Instant::now() + MOLD_PAUSE;
        let mut killed = false;
        loop {
            while let Ok(Some((ended, _))) = process::wait_any() {
                if ended == pid {
                    return;
                }
            }
            if Instant::now() >= limit && !std::mem::replace(&mut killed, true) {
                let _ = process::signal(pid, SIGKILL);
            }
            let signals: Vec<BorrowedFd<'_>> = self.signals.descriptors().collect();
            let mut watched: Vec<PollFd<'_>> =
                signals.into_iter().map(|signal| PollFd::new(signal, PollFlags::POLLIN)).collect();
            let left = limit.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            let _ = poll(&mut watched, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
            let _ = self.signals.drain();
        }
    }
}

fn died_booting(status: WaitStatus) -> BootFailure {
    BootFailure {
        kind: FailureKind::Boot,
        message: "a worker ended before it served".into(),
        cause: Some(format!(
            "it {}",
            if matches!(status, WaitStatus::Exited(_)) {
                status.to_string()
            } else {
                format!("was {status}")
            }
        )),
        hint: Some("what it printed above tells more".into()),
    }
}
