//! The loop itself.

use crate::{
    Plan,
    announce::Announcer,
    certificates::Certificates,
    changes::Changes,
    children::{Child, Children},
    companions::{Companions, Names},
    control::{self, Control},
    fleet::Fleet,
    jitter::Jitter,
    milestones::Milestones,
    mold,
    molds::{MOLD_PAUSE, Molds},
    predecessor::Predecessor,
    programs::{Programs, Running},
    report::{self, StartReport},
    reread::Readers,
    resources::Resources,
    scaling::Scaling,
    show,
    signals::SIGNALS,
    upgrade::Upgrade,
    watch::Watch,
};
use hostler_arbiter::{Arbiter, Event, Group};
use hostler_sys::{
    disposition, logging, own_file::OwnFile, process, signal::SignalPipe, terminal::Terminal, title,
};
use hostler_wire::{ExitStatus, Failure, Generation};
use nix::{
    libc::SIGKILL,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    collections::{BTreeSet, VecDeque},
    io,
    os::fd::AsFd,
    time::{Duration, Instant},
};
use tracing::warn;

/// How often to try to tell that log lines were lost.
const TELL_LOST: Duration = Duration::from_secs(1);
/// How long a turn lasts in which nothing can be waited for.
const POLL_FAILED_PAUSE: Duration = Duration::from_millis(100);

/// Removes a file that the server created; whether it was still there and is gone.
pub(crate) fn remove(file: &OwnFile) -> bool {
    file.remove().unwrap_or_else(|error| {
        warn!(path = %file.path().display(), %error, "cannot remove a file that the server created");
        false
    })
}

pub(crate) fn run(plan: Plan) -> ExitStatus {
    match Master::new(plan) {
        Ok(mut master) => {
            let status = master.serve();
            master.clean_up();
            master.take_leave(status);
            status
        }
        Err(error) => {
            let failure = Failure::new(ExitStatus::Failed, "the master could not start");
            report::print(&failure.because(error.to_string()), None);
            ExitStatus::Failed
        }
    }
}

/// The parts of the master. It routes: what one part reports becomes an event of the arbiter, and its actions go to the parts
/// that they change.
pub(crate) struct Master {
    pub(crate) plan: Plan,
    pub(crate) arbiter: Arbiter,
    pub(crate) started: Instant,
    pub(crate) signals: SignalPipe,
    pub(crate) resources: Resources,
    pub(crate) molds: Molds,
    pub(crate) last_generation: Generation,
    /// The last one whose failure was told.
    pub(crate) failure_told: Option<Generation>,
    pub(crate) fleet: Fleet,
    pub(crate) programs: Programs,
    pub(crate) companions: Companions,
    pub(crate) children: Children,
    watch: Watch,
    pub(crate) scaling: Scaling,
    pub(crate) certificates: Certificates,
    pub(crate) changes: Option<Changes>,
    /// As it was before workers could ask there.
    pub(crate) terminal: Option<Terminal>,
    pub(crate) jitter: Jitter,
    pub(crate) announcer: Announcer,
    pub(crate) milestones: Milestones,
    pub(crate) upgrade: Upgrade,
    pub(crate) readers: Readers,
    pub(crate) control: Control,
    pub(crate) start_report: StartReport,
    pub(crate) duty: Duty,
    /// When the last signal to stop came that was no copy of another.
    pub(crate) last_stop: Option<Instant>,
}

/// What the process is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// To keep a fleet alive.
    Serve,
    /// As PID 1, to pass signals on to the server that took over.
    ForwardSignals,
}

/// The groups of a server that starts. One that replaces another begins with as many workers as that has for its load.
fn first_groups(plan: &Plan, seed: u64, names: &Names) -> Vec<Group> {
    let mut groups = plan.spec.seeded_groups(seed, names);
    for group in &mut groups {
        let inherited =
            plan.predecessor.as_ref().and_then(|it| it.workers(group.id, plan.spec.bounds(group.id)));
        group.policy.workers = inherited.unwrap_or(group.policy.workers);
    }
    groups
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
        let (listeners, admin) = (std::mem::take(&mut plan.listeners), std::mem::take(&mut plan.admin));
        let resources = Resources::new(listeners, admin, plan.predecessor.as_mut())?;
        if let Some(predecessor) = &mut plan.predecessor {
            plan.owned_files.append(&mut predecessor.owned_files);
            predecessor.begin()?;
        }
        show::begin(&resources.board);
        let control = std::mem::take(&mut plan.control);
        control::tell(&control);
        let files = plan.spec.companion_sockets.iter().filter_map(|socket| socket.file.borrow_mut().take());
        plan.owned_files.extend(files);
        let mut names = Names::default();
        names.know(&plan.spec.companions, |_| true);
        let mut jitter = Jitter::new();
        let mut scaling = Scaling::default();
        scaling.follow(&plan.spec, Duration::ZERO);
        let mut molds = Molds::default();
        molds.add(Generation(0), plan.spec.clone());
        Ok(Self {
            arbiter: arbiter(&first_groups(&plan, jitter.next(), &names))
                .awaiting_processes(plan.predecessor.is_some()),
            started: Instant::now(),
            signals,
            fleet: Fleet::new(resources.board.pages(), resources.board.master()),
            programs: Programs::new(),
            companions: Companions::new(names, plan.predecessor.is_some()),
            children: Children::default(),
            resources,
            molds,
            last_generation: Generation(0),
            failure_told: None,
            watch: Watch::new(),
            scaling,
            certificates: Certificates::new(plan.predecessor.as_mut().and_then(|old| old.tickets.take())),
            changes: Changes::new(&plan.spec.settings.options)?,
            terminal: Terminal::of_input().filter(|_| mold::keeps_input(&plan.spec.settings)),
            jitter,
            milestones: Milestones::new(),
            announcer: Announcer::new(plan.predecessor.is_some(), plan.pid_file.clone()),
            upgrade: Upgrade::default(),
            readers: Readers::default(),
            control,
            start_report: StartReport::Nothing,
            duty: Duty::Serve,
            last_stop: None,
            plan,
        })
    }

    fn serve(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.turn() {
                // A stop without workers is over in the turn in which it began.
                self.announce();
                return status;
            }
        }
    }

    /// One turn; the status to exit with, once there is one.
    fn turn(&mut self) -> Option<ExitStatus> {
        let mut events = VecDeque::new();
        self.start_due_molds(&mut events);
        if events.is_empty() {
            self.wait();
        }
        // First: after a suspension every deadline has passed, until the arbiter knows of it.
        events.extend(self.watch.sample(&self.arbiter, &mut self.fleet, &self.molds));
        if let Some(status) = self.dispatch_all(&mut events) {
            return Some(status);
        }
        // What one signal began is known when the next one is looked at.
        for signal in self.signals.drain() {
            self.receive_signal(signal, &mut events);
            if let Some(status) = self.dispatch_all(&mut events) {
                return Some(status);
            }
        }
        self.readers.receive();
        self.receive_from_molds(&mut events);
        self.receive_from_workers(&mut events);
        self.receive_from_companions(&mut events);
        let heard = self.receive_from_keeper();
        events.extend(self.upgrade.receive());
        self.receive_from_predecessor(&mut events);
        self.follow_changes(&mut events);
        if let Some(status) = self.dispatch_all(&mut events).or_else(|| self.receive_commands()) {
            return Some(status);
        }
        self.scale_by_load(heard, &mut events);
        self.molds.kill_overdue();
        self.readers.kill_overdue(self.arbiter.is_stopping());
        self.renew_certificates();
        events.push_back(Event::Tick);
        let status = self.dispatch_all(&mut events);
        let status = status.or_else(|| {
            let mut events = self.answer_clients();
            self.dispatch_all(&mut events)
        });
        self.forward_signals_as_pid1();
        logging::report_lost();
        self.announce();
        self.tell_progress();
        status
    }

    pub(crate) fn dispatch_all(&mut self, events: &mut VecDeque<Event>) -> Option<ExitStatus> {
        events.drain(..).find_map(|event| self.dispatch(event))
    }

    /// Announces what has changed, to the server before this one as well.
    fn announce(&mut self) {
        self.show();
        self.show_companions();
        let requests = self.fleet.requests();
        let begins = self.announcer.update(&self.arbiter, requests, &mut self.plan.owned_files);
        if begins {
            self.tell_serving();
        }
        if let Some(predecessor) = self.plan.predecessor.as_mut().filter(|_| begins) {
            self.control.open(predecessor.control());
            control::tell(&self.control);
            predecessor.take_over();
            let listen = &self.plan.spec.settings.options.listen;
            self.resources.configure_inherited(listen, &self.plan.owned_files);
        }
        self.tidy_after_predecessor();
    }

    fn start_due_molds(&mut self, events: &mut VecDeque<Event>) {
        if self.arbiter.is_stopping() {
            return;
        }
        for (generation, how) in self.molds.start_due(&self.resources, &self.log_now()) {
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
        let programs = self.programs.values().filter_map(Running::descriptor);
        let predecessor = self.plan.predecessor.as_ref().and_then(Predecessor::descriptor);
        let mut watched: Vec<PollFd<'_>> = self
            .signals
            .descriptors()
            .chain(molds)
            .chain(workers)
            .chain(programs)
            .chain(self.upgrade.descriptor())
            .chain(predecessor)
            .chain(self.changes.as_ref().map(Changes::descriptor))
            .chain(self.readers.descriptors())
            .chain(self.companions.descriptors())
            .map(|descriptor| (descriptor, PollFlags::POLLIN))
            .chain(self.control.descriptors())
            .map(|(descriptor, interest)| PollFd::new(descriptor, interest))
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
        let sample = self.watch.next(&self.arbiter, &self.molds);
        let changes = self.changes.as_ref().and_then(Changes::next);
        let others = [
            molds,
            lost,
            self.molds.next_kill(),
            sample,
            self.announcer.next(),
            self.certificates.next(),
            self.control.next(),
            self.readers.next(),
            changes,
            self.milestones.next(),
            self.scaling.next(&self.arbiter, self.started),
        ];
        arbiter.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// Ends the molds and removes the files that were created, unless they are another server's.
    fn clean_up(&mut self) {
        let mut molds: BTreeSet<i32> = self.molds.pids().collect();
        self.molds = Molds::default();
        self.await_molds(&mut molds);
        if self.is_the_service() {
            for file in &self.plan.owned_files {
                remove(file);
            }
        }
        self.restore_terminal();
        self.tell_stopped();
    }

    /// A step to the end of the listening sockets, if they end with this server.
    pub(crate) fn end_sockets(&mut self, step: impl FnOnce(&Resources)) {
        if self.is_the_service() {
            step(&self.resources);
        }
    }

    /// Whether no other server goes on with what this one has: its sockets, and its files.
    fn is_the_service(&mut self) -> bool {
        !self.arbiter.is_replaced() && !self.plan.predecessor.as_mut().is_some_and(Predecessor::serves)
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
