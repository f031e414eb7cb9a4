//! What goes out: the arbiter's actions as system calls.

use crate::{
    Spawner,
    native::{self, NativeSeat},
    run::Master,
    stacks,
};
use hostler_arbiter::{Action, Event, Reason, Why};
use hostler_sys::{board, channel::Channel, proc, process, signal::SignalPipe, title};
use hostler_wire::{
    BootFailure, ExitStatus, FailureKind, Generation, Post, SeatId, ToMold, ToWorker, WorkerId,
};
use nix::libc::{SIGKILL, SIGTERM};
use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, OwnedFd},
};
use tracing::{debug, error, info, warn};

impl Master {
    /// Lets the arbiter decide and does what it says; the status to leave with, once there is one.
    pub(crate) fn happen(&mut self, event: Event) -> Option<ExitStatus> {
        let mut queue = VecDeque::from([event]);
        while let Some(event) = queue.pop_front() {
            for action in self.arbiter.step(event, self.started.elapsed()) {
                if let Action::Exit(status) = action {
                    return Some(status);
                }
                self.act(action, &mut queue);
            }
        }
        None
    }

    fn act(&mut self, action: Action, events: &mut VecDeque<Event>) {
        match action {
            Action::Spawn(id, seat, generation) => events.extend(self.spawn(id, seat, generation)),
            Action::LameDuck(id) => self.fleet.tell(id, &ToWorker::LameDuck),
            Action::Drain { worker, reason, hand_over } => self.drain(worker, reason, hand_over),
            Action::Quit(id) => self.fleet.tell(id, &ToWorker::Quit),
            Action::Dismiss { worker, hand_over } => self.fleet.tell(worker, &ToWorker::Drain { hand_over }),
            Action::Report(id, why) => self.ask_for_stacks(id, why),
            Action::Terminate(id, why) => self.terminate(id, why),
            Action::Kill(id, why) => self.kill(id, why),
            Action::Reloaded(generation) => self.reloaded(generation, events),
            Action::NotReloaded(generation) => self.not_reloaded(generation, events),
            Action::Superseded(generation) => self.superseded(generation, events),
            Action::GiveUp(generation) => self.give_up(generation),
            Action::StopSuccessor { quickly } => self.stop_successor(quickly),
            Action::KillSuccessor => self.kill_successor(),
            Action::NotUpgraded => error!("not upgraded: the other server ended; this one goes on"),
            Action::HandedOver => self.handed_over(),
            Action::TookBack => self.took_back(events),
            Action::CrashLoop(seat, wait) => {
                error!(%seat, next_attempt_seconds = wait.as_secs_f64(), "workers of this seat fail again and again");
            }
            Action::Exit(_) => {}
        }
    }

    fn drain(&self, id: WorkerId, reason: Reason, hand_over: bool) {
        if let Some(worker) = self.fleet.get(id) {
            info!(seat = %worker.post.seat, pid = worker.pid, reason = name_of_reason(reason), "worker retires");
        }
        self.fleet.tell(id, &ToWorker::Drain { hand_over });
    }

    /// Has the worker write its stacks, for [`Master::terminate`] to read.
    fn ask_for_stacks(&self, id: WorkerId, why: Why) {
        let Some(worker) = self.fleet.get(id) else { return };
        let Some(pid) = worker.pid else { return };
        if self.plan.orders.settings.app.is_none() {
            return;
        }
        let turn = self.fleet.page(&worker.post).turns();
        if let Err(error) = stacks::ask(pid, turn, &worker.stacks) {
            debug!(pid, %error, why = name_of_why(why), "cannot ask the worker for its stacks");
        }
    }

    /// One event that says all that is known of a worker that hangs, and SIGTERM.
    fn terminate(&mut self, id: WorkerId, why: Why) {
        let Some(worker) = self.fleet.get(id) else { return };
        let Some(pid) = worker.pid else { return };
        let page = self.fleet.page(&worker.post);
        let requests = board::describe(&page.requests_in_flight());
        let (at, stacks) = stacks::read(&worker.stacks);
        let state = proc::state(pid);
        // The stacks last: they are many lines.
        error!(
            seat = %worker.post.seat,
            pid,
            reason = name_of_why(why),
            state,
            in_flight = page.in_flight(),
            requests,
            at = at.as_deref(),
            %stacks,
            "worker hangs: it is replaced and terminated"
        );
        self.signal(pid, SIGTERM);
        if let Some(worker) = self.fleet.get_mut(id).filter(|_| why == Why::BootTimeout) {
            worker.seen.hung_at = Some(at.unwrap_or_else(|| "an unknown place".into()));
        }
    }

    fn kill(&self, id: WorkerId, why: Why) {
        let Some(worker) = self.fleet.get(id) else { return };
        let Some(pid) = worker.pid else { return };
        let requests = board::describe(&self.fleet.page(&worker.post).requests_in_flight());
        warn!(seat = %worker.post.seat, pid, why = name_of_why(why), requests, "worker killed");
        self.signal(pid, SIGKILL);
    }

    fn signal(&self, pid: i32, signal: i32) {
        if let Err(error) = process::signal(pid, signal) {
            error!(pid, signal, %error, "cannot signal the worker");
        }
    }

    fn reloaded(&mut self, generation: Generation, events: &mut VecDeque<Event>) {
        self.let_go(events, |kept| kept >= generation);
        if let Some(breed) = self.molds.get(generation) {
            self.plan.orders = breed.orders.clone();
        }
        info!(%generation, "reloaded");
        self.reload_ended();
    }

    fn not_reloaded(&mut self, generation: Generation, events: &mut VecDeque<Event>) {
        self.let_go(events, |kept| kept != generation);
        error!(%generation, serving = %self.arbiter.generation(), "not reloaded: the running workers serve on");
        self.reload_ended();
    }

    fn superseded(&mut self, generation: Generation, events: &mut VecDeque<Event>) {
        self.let_go(events, |kept| kept != generation);
        info!(%generation, "a later reload replaces the one that was under way");
    }

    /// Keeps some generations. Of the births in the others nobody will hear: who is born nonetheless finds its channel
    /// closed, and leaves.
    pub(crate) fn let_go(&mut self, events: &mut VecDeque<Event>, keep: impl Fn(Generation) -> bool) {
        let gone: Vec<Generation> =
            self.molds.generations().filter(|generation| !keep(*generation)).collect();
        self.molds.keep(&keep);
        for id in self.fleet.unborn() {
            if self.fleet.get(id).is_some_and(|worker| gone.contains(&worker.post.generation)) {
                self.fleet.remove(id);
            }
        }
        events.extend(gone.into_iter().map(Event::CannotSpawn));
    }

    /// Kills a mold that hangs; its end is noticed like any other.
    fn give_up(&mut self, generation: Generation) {
        let Some(mold) = self.molds.get(generation).and_then(|breed| breed.mold.as_ref()) else { return };
        let state = proc::state(mold.pid);
        if mold.ready {
            warn!(%generation, pid = mold.pid, state, "the mold forks no workers, and is killed");
        } else {
            error!(%generation, pid = mold.pid, state, "the mold was not ready within the boot timeout, and is killed");
        }
        self.signal(mold.pid, SIGKILL);
        if !mold.ready && generation == self.arbiter.generation() {
            self.report_start_failure(&BootFailure {
                kind: FailureKind::Boot,
                message: "the Python process that forks workers was not ready within --boot-timeout".into(),
                cause: Some("with --preload it imports the application: does that hang?".into()),
                hint: Some("without --preload a worker that hangs is reported with its stacks".into()),
            });
        }
    }

    /// Asks for a worker; what happened at once.
    fn spawn(&mut self, id: WorkerId, seat: SeatId, generation: Generation) -> Vec<Event> {
        match self.try_spawn(id, seat, generation) {
            Ok(Some(_)) => vec![Event::Spawned(id)],
            Ok(None) => Vec::new(),
            Err(error) => {
                error!(%seat, %error, "cannot start a worker");
                self.fleet.remove(id);
                vec![Event::SpawnFailed(id)]
            }
        }
    }

    /// The new worker's process id, if it is known at once.
    fn try_spawn(&mut self, id: WorkerId, seat: SeatId, generation: Generation) -> io::Result<Option<i32>> {
        let (ours, theirs) = Channel::pair()?;
        ours.set_nonblocking(true)?;
        let stacks = board::stacks_file()?;
        let page = self.fleet.free_page()?;
        let post = Post { worker: id, seat, generation, page, request_limit: self.request_limit(generation) };
        self.fleet.page(&post).clear();
        let Some(breed) = self.molds.get(generation) else {
            return Err(io::Error::other("there is no such generation"));
        };
        match &breed.orders.spawner {
            Spawner::Mold(_) => {
                let mold = breed.mold.as_ref().ok_or_else(|| io::Error::other("there is no mold"))?;
                mold.channel
                    .send(&ToMold::Fork(post), &[theirs.as_fd(), stacks.as_fd(), self.board.for_writing()])?;
                self.fleet.add(post, ours, stacks, None);
                Ok(None)
            }
            Spawner::Native(_) => {
                let copy = stacks.try_clone()?;
                let pid = self.fork_native(post, theirs, copy)?;
                self.fleet.add(post, ours, stacks, Some(pid));
                Ok(Some(pid))
            }
        }
    }

    /// After how many requests the next worker of this generation is to be replaced.
    fn request_limit(&mut self, generation: Generation) -> Option<u64> {
        let limits = &self.molds.get(generation)?.orders.limits;
        let most = limits.max_requests?;
        let jitter = limits.max_requests_jitter.min(most - 1);
        Some(most - self.chance.below(jitter + 1))
    }

    fn fork_native(&mut self, post: Post, channel: Channel, stacks: std::fs::File) -> io::Result<i32> {
        let Some(breed) = self.molds.get(post.generation) else {
            return Err(io::Error::other("there is no such generation"));
        };
        let (settings, spawner) = (breed.orders.settings.clone(), breed.orders.spawner.clone());
        let Spawner::Native(main) = spawner else { return Err(io::Error::other("it has a mold")) };
        let shared: io::Result<Vec<OwnedFd>> =
            self.shared_descriptors().into_iter().map(|descriptor| descriptor.try_clone_to_owned()).collect();
        let board = self.board.for_writing().try_clone_to_owned()?;
        let name = settings.process_name.clone();
        let title = title::for_role(name.as_deref(), title::Role::Worker(post.seat.0), "native");
        let master_pid = std::process::id().cast_signed();
        let native = NativeSeat { post, channel, stacks, board, shared: shared?, settings, master_pid };
        // Lines to siblings and to the other server must end with the master, not with a worker that inherited a copy.
        let pages = self.board.pages();
        let (fleet, signals, files) = (&mut self.fleet, &mut self.signals, &mut self.plan.owned_files);
        let (predecessor, successor) = (&mut self.plan.predecessor, &mut self.successor);
        native::fork(
            || {
                let none = crate::fleet::Fleet::new(pages);
                let silent = SignalPipe::new(&[]).map(|none| std::mem::replace(signals, none));
                let others = (predecessor.take(), successor.take());
                (std::mem::replace(fleet, none), silent, std::mem::take(files), others)
            },
            || {
                title::set(&title);
                main(native)
            },
        )
    }
}

fn name_of_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Lifetime => "lifetime",
        Reason::MaxRequests => "max-requests",
        Reason::Memory => "max-rss",
        Reason::Reload => "reload",
        Reason::ReloadFailed => "reload-failed",
        Reason::Seats => "fewer-workers",
        Reason::Stop => "stop",
        Reason::Upgrade => "upgrade",
    }
}

fn name_of_why(why: Why) -> &'static str {
    match why {
        Why::GracefulTimeout => "graceful-timeout",
        Why::QuickStop => "quick-stop",
        Why::Stall => "stall-timeout",
        Why::BootTimeout => "boot-timeout",
    }
}
