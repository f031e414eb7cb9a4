//! The loop itself.

use crate::{
    Plan,
    children::{Child, Children},
    companion::Companions,
    fleet::Fleet,
    jitter::Jitter,
    molds::{MOLD_PAUSE, Molds},
    notify::Notifier,
    predecessor::Predecessor,
    report,
    signals::SIGNALS,
    upgrade::Successor,
    watch::Watch,
};
use hostler_arbiter::{Arbiter, Event, Group};
use hostler_sys::{
    board::Board, channel::Channel, disposition, logging, pid_file, process, signal::SignalPipe, title,
};
use hostler_wire::{ExitStatus, Generation, GroupId};
use nix::{
    libc::SIGKILL,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    collections::{BTreeSet, VecDeque},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};
use tracing::{info, warn};

/// How often to try to tell that log lines were lost.
const TELL_LOST: Duration = Duration::from_secs(1);
/// How often to try to write the pid file.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How long a turn lasts in which nothing can be waited for.
const POLL_FAILED_PAUSE: Duration = Duration::from_millis(100);

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

pub(crate) struct Master {
    pub(crate) plan: Plan,
    pub(crate) arbiter: Arbiter,
    pub(crate) started: Instant,
    pub(crate) signals: SignalPipe,
    pub(crate) board: Board,
    /// The line on which workers hand over connections; both ends are kept, so that it lasts.
    pub(crate) handover: (OwnedFd, OwnedFd),
    pub(crate) molds: Molds,
    pub(crate) last_generation: Generation,
    pub(crate) fleet: Fleet,
    pub(crate) companions: Companions,
    pub(crate) children: Children,
    pub(crate) watch: Watch,
    pub(crate) jitter: Jitter,
    pub(crate) notifier: Notifier,
    /// The server that is to take over from this one.
    pub(crate) successor: Option<Successor>,
    /// Whether a failure of the start has been reported: one is enough.
    pub(crate) reported: bool,
    /// How many calls of a WSGI application there can be at once was logged.
    pub(crate) concurrency_told: bool,
    /// It has only a successor to look after.
    pub(crate) forwards_as_pid1: bool,
    /// When to try again to write the pid file.
    pub(crate) pid_file_due: Option<Instant>,
    /// All slots were filled once, since this server is the service.
    pub(crate) announced: bool,
}

fn arbiter(groups: &[Group]) -> Arbiter {
    // All processes of its namespace end with the process that is PID 1 there.
    if std::process::id() == 1 { Arbiter::new_as_pid1(groups) } else { Arbiter::new(groups) }
}

impl Master {
    fn new(mut plan: Plan) -> io::Result<Self> {
        process::become_subreaper()?;
        // Before anything is started, so that no exit goes unnoticed.
        let signals = SignalPipe::new(&SIGNALS)?;
        disposition::for_master();
        let settings = &plan.spec.settings;
        let name = settings.options.process.name.as_deref();
        title::set(name, title::Role::Master, settings.title());
        let board = Board::create()?;
        let handover = match plan.predecessor.as_mut().and_then(Predecessor::take_handover) {
            Some(handover) => handover,
            None => {
                let (receiver, sender) = Channel::pair()?;
                (receiver.into_fd(), sender.into_fd())
            }
        };
        if let Some(predecessor) = &plan.predecessor {
            predecessor.begin()?;
        }
        let mut jitter = Jitter::new();
        let mut molds = Molds::default();
        molds.add(Generation(0), plan.spec.clone());
        Ok(Self {
            arbiter: arbiter(&plan.spec.seeded_groups(jitter.next())),
            started: Instant::now(),
            signals,
            fleet: Fleet::new(board.pages()),
            companions: Companions::new(),
            children: Children::default(),
            board,
            handover,
            molds,
            last_generation: Generation(0),
            watch: Watch::new(),
            jitter,
            notifier: Notifier::new(plan.predecessor.is_some()),
            successor: None,
            reported: false,
            concurrency_told: false,
            forwards_as_pid1: false,
            announced: false,
            pid_file_due: None,
            plan,
        })
    }

    fn serve(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.turn() {
                return status;
            }
        }
    }

    /// One turn; the status to leave with, once there is one.
    fn turn(&mut self) -> Option<ExitStatus> {
        let mut events = VecDeque::new();
        self.start_due_molds(&mut events);
        if events.is_empty() {
            self.wait();
        }
        // What one signal began is known when the next one is looked at.
        for signal in self.signals.drain() {
            self.receive_signal(signal, &mut events);
            if let Some(status) = self.dispatch_all(&mut events) {
                return Some(status);
            }
        }
        self.receive_from_molds(&mut events);
        self.receive_from_workers(&mut events);
        self.receive_from_successor(&mut events);
        self.receive_from_predecessor(&mut events);
        self.molds.kill_overdue();
        self.sample(&mut events);
        events.push_back(Event::Tick);
        let status = self.dispatch_all(&mut events);
        self.forward_signals_as_pid1();
        logging::report_lost();
        self.announce();
        status
    }

    fn dispatch_all(&mut self, events: &mut VecDeque<Event>) -> Option<ExitStatus> {
        events.drain(..).find_map(|event| self.dispatch(event))
    }

    /// Tells whom it may concern when the server serves for the first time, and how it goes on.
    fn announce(&mut self) {
        self.notifier.send_unsent();
        let (serving, slots) = self.workers_serving();
        if self.arbiter.is_stopping() {
            self.pid_file_due = None;
            return self.notifier.stopping();
        }
        if self.pid_file_due.is_some_and(|due| Instant::now() >= due) {
            self.write_pid_file();
        }
        if !self.announced && self.arbiter.is_complete() {
            self.announced = true;
            self.write_pid_file();
            self.notifier.take_over();
            if let Some(predecessor) = &self.plan.predecessor {
                predecessor.take_over();
            }
        }
        if self.announced {
            self.notifier.alive(serving, slots, self.fleet.totals().requests);
        }
    }

    /// How many HTTP workers serve, and how many there are to be.
    fn workers_serving(&self) -> (usize, usize) {
        let workers = GroupId::HTTP;
        (self.arbiter.serving(workers), usize::from(self.arbiter.slots(workers)))
    }

    pub(crate) fn reload_ended(&mut self) {
        let (serving, slots) = self.workers_serving();
        self.notifier.reload_ended(serving, slots);
    }

    /// What molds and native workers are given, in this order.
    pub(crate) fn shared_descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let own = [self.board.for_reading(), self.handover.0.as_fd(), self.handover.1.as_fd()];
        let sockets = self.plan.listeners.iter().flat_map(|listener| &listener.sockets);
        own.into_iter().chain(sockets.map(AsFd::as_fd)).collect()
    }

    fn start_due_molds(&mut self, events: &mut VecDeque<Event>) {
        if self.arbiter.is_stopping() {
            return;
        }
        let mut molds = std::mem::take(&mut self.molds);
        let started = molds.start_due(&self.shared_descriptors());
        self.molds = molds;
        for (generation, how) in started {
            match how {
                Ok(pid) => {
                    self.children.add(pid, Child::Mold(generation));
                    events.push_back(Event::Preparing(generation));
                }
                Err(how) => self.mold_lost(generation, &how, events),
            }
        }
    }

    /// Waits for a signal, a message or a deadline.
    fn wait(&self) {
        let timeout = self.deadline().map_or(PollTimeout::NONE, |due| {
            let left = due.saturating_duration_since(Instant::now());
            // Rounded up, or the last millisecond would be a busy one.
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        let molds = self.molds.running().map(|(_, mold)| mold.channel.as_fd());
        let workers = self.fleet.all().map(|(_, worker)| worker.channel.as_fd());
        let successor = self.successor.as_ref().and_then(Successor::descriptor);
        let predecessor = self.plan.predecessor.as_ref().and_then(Predecessor::descriptor);
        let mut watched: Vec<PollFd<'_>> = self
            .signals
            .descriptors()
            .chain(molds)
            .chain(workers)
            .chain(successor)
            .chain(predecessor)
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        match poll(&mut watched, timeout) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            // There are more than this process may open: the limit was lowered. Each turn looks at all of them.
            Err(_) => std::thread::sleep(POLL_FAILED_PAUSE),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let arbiter = self.arbiter.next_deadline().map(|due| self.started + due);
        let molds = self.molds.due().filter(|_| !self.arbiter.is_stopping());
        let lost = logging::has_lost().then(|| Instant::now() + TELL_LOST);
        let others = [
            molds,
            lost,
            self.molds.next_kill(),
            self.next_sample(),
            self.notifier.next(),
            self.pid_file_due,
        ];
        arbiter.into_iter().chain(others.into_iter().flatten()).min()
    }

    fn write_pid_file(&mut self) {
        let Some(path) = &self.plan.pid_file else { return };
        let again = self.pid_file_due.take().is_some();
        match pid_file::write(path) {
            Ok(made) => {
                // One from before this server was replaced for a while is gone.
                self.plan.owned_files.retain(|file| file.path() != path);
                self.plan.owned_files.push(made);
                if again {
                    info!(path = %path.display(), "the pid file is written, after all");
                }
            }
            Err(error) => {
                self.pid_file_due = Some(Instant::now() + TRY_AGAIN);
                if !again {
                    warn!(path = %path.display(), %error, "the pid file could not be written: it is tried again");
                }
            }
        }
    }

    /// Ends the molds and removes what was made, unless another server goes on with it.
    fn clean_up(&mut self) {
        let mut molds: BTreeSet<i32> = self.molds.pids().collect();
        self.molds = Molds::default();
        self.await_molds(&mut molds);
        if !self.arbiter.is_replaced() {
            for file in &self.plan.owned_files {
                if let Err(error) = file.remove() {
                    warn!(path = %file.path().display(), %error, "cannot remove what the server made");
                }
            }
        }
        let totals = self.fleet.totals();
        info!(requests = totals.requests, errors = totals.statuses[5], "stopped");
    }

    fn await_molds(&self, molds: &mut BTreeSet<i32>) {
        let limit = Instant::now() + MOLD_PAUSE;
        let mut killed = false;
        loop {
            while let Ok(Some((ended, _))) = process::wait_any() {
                if molds.remove(&ended) {
                    self.kill_pending_forks(ended);
                }
            }
            if molds.is_empty() {
                return;
            }
            if Instant::now() >= limit && !std::mem::replace(&mut killed, true) {
                molds.iter().for_each(|mold| drop(process::signal(*mold, SIGKILL)));
            }
            self.signals.wait(limit);
            let _ = self.signals.drain();
        }
    }
}
