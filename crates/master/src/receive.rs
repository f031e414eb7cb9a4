//! What comes in: exits, and what molds and workers say.

use crate::{
    children::Child,
    control::Notice,
    keeper,
    launch::numbers,
    milestones::is_part_of_more,
    molds::GenerationEntry,
    observer,
    perform::name_of_reason,
    programs::Running,
    report::{self, StartReport},
    run::Master,
    stacks,
};
use hostler_arbiter::{DrainReason, Event, RecycleReason};
use hostler_sys::{
    clock, facts, proc,
    process::{self, WaitStatus},
};
use hostler_wire::{
    Cause, Departure, ExitStatus, Failure, FromMold, FromWorker, Generation, GroupId, ToWorker, WorkerId,
};
use std::{collections::VecDeque, io};
use tracing::{debug, error, info, warn};

impl Master {
    pub(crate) fn reap(&mut self, events: &mut VecDeque<Event>) {
        let mut ended = Vec::new();
        loop {
            match process::wait_any() {
                Ok(Some(child)) => ended.push(child),
                Ok(None) => break,
                Err(error) => {
                    warn!(%error, "cannot wait for children");
                    break;
                }
            }
        }
        // The successor first: this server is to serve again before it notices that it has drained.
        ended.sort_by_key(|(pid, _)| Some(*pid) != self.upgrade.pid());
        for (pid, status) in ended {
            self.ended(pid, status, events);
        }
    }

    fn ended(&mut self, pid: i32, status: WaitStatus, events: &mut VecDeque<Event>) {
        let pending = !self.fleet.pending().is_empty();
        match self.children.reaped(pid, status, pending) {
            Some(Child::Mold(generation)) => self.mold_ended(generation, pid, status, events),
            Some(Child::Worker(id)) => self.worker_ended(id, pid, status, events),
            Some(Child::Program(id)) => self.program_ended(id, status, events),
            Some(Child::Companion(id)) => self.watcher_ended(id, pid, status, events),
            Some(Child::Successor) => self.successor_ended(status, events),
            Some(Child::Reader) => self.reader_ended(pid, status, events),
            None => {}
        }
    }

    fn mold_ended(
        &mut self,
        generation: Generation,
        pid: i32,
        status: WaitStatus,
        events: &mut VecDeque<Event>,
    ) {
        let lost = self.molds.reaped(generation, pid);
        if lost {
            // Its last messages first.
            self.receive_from_mold(generation, events);
        }
        self.kill_pending_forks(pid);
        if lost {
            self.mold_lost(generation, &status.to_string(), events);
        }
    }

    /// A mold that ended may have left processes that it was about to make a worker of. Only it knew of them, and one that
    /// is stopped would stay.
    pub(crate) fn kill_pending_forks(&self, mold: i32) {
        let name = proc::pending_fork_name(mold);
        for pid in proc::children_named(&name).filter(|pid| !self.children.knows(*pid)) {
            debug!(pid, mold, "a process that its mold did not report is killed");
            let _ = process::signal(pid, nix::libc::SIGKILL);
        }
    }

    fn program_ended(&mut self, id: WorkerId, status: WaitStatus, events: &mut VecDeque<Event>) {
        let Some(Running { name, pid, .. }) = self.programs.remove(&id) else { return };
        if name == observer::NAME {
            observer::tell_exit(pid, status, self.arbiter.was_told_to_exit(id));
        } else {
            keeper::tell_exit(pid, status, self.arbiter.was_told_to_exit(id));
            self.scaling.hear(None);
        }
        events.push_back(Event::Exited(id));
    }

    fn worker_ended(&mut self, id: WorkerId, pid: i32, status: WaitStatus, events: &mut VecDeque<Event>) {
        if matches!(status, WaitStatus::Signaled { .. }) {
            self.restore_terminal();
        }
        self.receive_from_worker(id, events);
        let Some(worker) = self.fleet.get(id) else { return };
        let (slot, generation) = (worker.assignment.slot, worker.assignment.generation);
        let (web, task_worker) = numbers(slot);
        let page = self.fleet.page(&worker.assignment);
        let (in_flight, sessions) = (page.requests_in_flight(), page.sessions());
        let requests = hostler_sys::board::describe(&in_flight);
        let crash = stacks::of_crash(status, &worker.stacks);
        let (told, served) = (worker.told, page.totals().requests());
        let lived_seconds = worker.began.elapsed().as_secs();
        let reason = told.map(name_of_reason);
        // The stop, the reload or the change of their number has a line, or why it could not boot has one.
        let is_told = told.is_some_and(is_part_of_more)
            || told == Some(DrainReason::FewerWorkers) && self.scaling.follows(slot.group)
            || worker.samples.told_failure
            || self.arbiter.is_stopping()
            || self.start_report == StartReport::Failure;
        if told.is_none() && !self.arbiter.is_stopping() {
            self.milestones.lost(slot);
        }
        let why = self.departure(id, status);
        if let Some(directory) = &self.plan.spec.application_metrics {
            observer::forget_live_gauges(directory, pid);
        }
        let samples = self.fleet.remove(id, why).map(|worker| worker.samples).unwrap_or_default();
        let (hung_at, told) = (samples.hung_at, samples.told_failure);
        let as_planned = matches!(status, WaitStatus::Exited(_)) && requests.is_empty();
        let requests = (!requests.is_empty()).then_some(requests);
        if let Some((at, stacks)) = crash {
            error!(worker = web, task_worker, pid, %status, requests, at, %stacks, "worker crashed");
        } else if is_told && as_planned {
            debug!(worker = web, task_worker, pid, %status, reason, served, lived_seconds, "worker exited");
        } else if status == WaitStatus::Exited(0) && as_planned {
            info!(worker = web, task_worker, pid, %status, reason, served, lived_seconds, "worker exited");
        } else {
            warn!(worker = web, task_worker, pid, %status, reason, served, lived_seconds, requests, "worker exited");
        }
        // A worker that was told to exit has told of its requests itself, unless it had to be killed.
        if !self.arbiter.was_told_to_exit(id) || matches!(status, WaitStatus::Signaled { .. }) {
            match slot.group == GroupId::TASKS {
                true => facts::tell_of_tasks(page, pid, &in_flight),
                false => facts::tell_of_each(page, pid, &in_flight, "request lost: its worker has exited"),
            }
            facts::tell_of_each(page, pid, &sessions, "session lost: its worker has exited");
        }
        let planned = self.arbiter.is_stopping() || self.arbiter.was_told_to_exit(id);
        if self.arbiter.boots(id) && !planned && !told {
            let failure = died_booting(status, hung_at.clone());
            self.notice(Notice::BootFailed { slot, generation, failure });
        }
        if self.arbiter.is_booting(id) && self.serve_failure(&died_booting(status, hung_at.clone()), events) {
            debug!(worker = web, task_worker, "its failure is served");
        } else if !self.arbiter.ever_served() && !planned {
            self.boot_failed(id, &died_booting(status, hung_at), events);
        }
        events.push_back(Event::Exited(id));
    }

    pub(crate) fn receive_from_molds(&mut self, events: &mut VecDeque<Event>) {
        let running: Vec<Generation> = self.molds.running().map(|(generation, _)| generation).collect();
        for generation in running {
            self.receive_from_mold(generation, events);
        }
    }

    fn receive_from_mold(&mut self, generation: Generation, events: &mut VecDeque<Event>) {
        while let Some(mold) = self.molds.get(generation).and_then(GenerationEntry::mold) {
            match mold.channel.recv::<FromMold>() {
                Ok(Some((message, _))) => self.mold_said(generation, message, events),
                Ok(None) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // What it made is unknown from here on.
                    error!(%error, "invalid message from the mold: it is killed");
                    let _ = process::signal(mold.pid, nix::libc::SIGKILL);
                    return self.mold_lost(generation, "it sent an invalid message", events);
                }
            }
        }
    }

    fn mold_said(&mut self, generation: Generation, message: FromMold, events: &mut VecDeque<Event>) {
        match message {
            FromMold::Ready { python } => {
                let mold = self.molds.get_mut(generation).and_then(GenerationEntry::mold_mut);
                let pid = mold.map(|mold| {
                    mold.ready = true;
                    mold.pid
                });
                debug!(generation = generation.0, pid, python, "mold ready");
                events.push_back(Event::CanSpawn(generation));
            }
            FromMold::Forked { worker, pid } => {
                let ended = match self.fleet.forked(worker, pid) {
                    true => self.children.add(pid, Child::Worker(worker)),
                    false => None,
                };
                if self.fleet.pending().is_empty() {
                    self.children.no_forks_pending();
                }
                self.fleet.tell(worker, &ToWorker::Boot);
                events.push_back(Event::Spawned(worker));
                if let Some(status) = ended {
                    self.worker_ended(worker, pid, status, events);
                }
            }
            FromMold::Failed(failure) => self.generation_failed(generation, &failure, events),
        }
    }

    /// The mold of a generation reported why it cannot go on.
    fn generation_failed(&mut self, generation: Generation, failure: &Failure, events: &mut VecDeque<Event>) {
        self.start_failed(failure, events);
        self.notice(Notice::GenerationFailed(generation, failure.clone()));
        if self.arbiter.ever_served() {
            let (Cause { cause, traceback }, hint) = (failure.split_cause(), failure.hint.as_deref());
            error!(generation = generation.0, cause, hint, traceback, "{}", failure.message);
            events.push_back(Event::ReloadFailed(generation));
        }
    }

    pub(crate) fn receive_from_workers(&mut self, events: &mut VecDeque<Event>) {
        // Messages of workers whose fork is not reported yet are received after that.
        let forked = self.fleet.all().filter(|(_, worker)| worker.pid.is_some());
        let forked: Vec<WorkerId> = forked.map(|(id, _)| id).collect();
        for id in forked {
            self.receive_from_worker(id, events);
        }
    }

    fn receive_from_worker(&mut self, id: WorkerId, events: &mut VecDeque<Event>) {
        while let Some(message) = self.fleet.message(id) {
            let Some(worker) = self.fleet.get_mut(id) else { return };
            let (slot, generation, pid) = (worker.assignment.slot, worker.assignment.generation, worker.pid);
            let (web, task_worker) = numbers(slot);
            match message {
                FromWorker::Ready { interface, concurrent_calls } => {
                    worker.is_ready = true;
                    worker.concurrent_calls = concurrent_calls;
                    let (generation_number, interface_name) = (generation.0, interface.name());
                    macro_rules! tell {
                        ($level:ident) => {
                            $level!(
                                worker = web,
                                task_worker,
                                generation = generation_number,
                                pid,
                                interface = interface_name,
                                concurrent_calls,
                                "worker ready"
                            )
                        };
                    }
                    if self.milestones.is_back(slot) {
                        tell!(info);
                    } else {
                        tell!(debug);
                    }
                    if let Some(seat) = self.fleet.get(id).and_then(|it| self.fleet.seat(&it.assignment)) {
                        seat.serves(clock::now());
                    }
                    if slot.group == GroupId::HTTP {
                        self.tell_application(interface, concurrent_calls);
                        self.have_connections_shared();
                    }
                    if let Some(entry) = self.molds.get_mut(generation) {
                        entry.tell_unlimited(concurrent_calls);
                    }
                    events.push_back(Event::Ready(id));
                }
                FromWorker::ReachedRequestLimit => {
                    // A task worker that uses too much memory has finished what it ran.
                    let reason = match worker.samples.leaves_for_memory {
                        true => RecycleReason::Memory,
                        false => RecycleReason::MaxRequests,
                    };
                    debug!(worker = web, task_worker, pid, "worker reached its maximum number of requests");
                    events.push_back(Event::Recycle(id, reason));
                }
                FromWorker::AcceptsNoMore => {
                    debug!(worker = web, task_worker, pid, "worker accepts no more");
                    events.push_back(Event::AcceptsNoMore(id));
                }
                FromWorker::Stacks { asked, text } => {
                    self.notice(Notice::Stacks { worker: id, asked, text });
                }
                FromWorker::Draining => debug!(worker = web, task_worker, pid, "worker draining"),
                FromWorker::ServesFailure(failure) => self.tell_failure(generation, &failure),
                FromWorker::Failed(failure) => self.boot_failed(id, &failure, events),
            }
        }
    }

    /// A worker has come beside others: kept connections would stay with those, however much they have to do. A reload moves all.
    fn have_connections_shared(&self) {
        if self.milestones.is_starting() || self.arbiter.is_reloading() {
            return;
        }
        for (worker, _) in self.arbiter.serving_in(GroupId::HTTP) {
            self.fleet.tell(worker, &ToWorker::ShareConnections);
        }
    }

    fn boot_failed(&mut self, id: WorkerId, failure: &Failure, events: &mut VecDeque<Event>) {
        if self.arbiter.is_booting(id) && self.serve_failure(failure, events) {
            return;
        }
        if self.arbiter.ever_served() {
            let slot = self.fleet.get(id).map(|worker| worker.assignment.slot);
            let (worker, task_worker) = slot.map(numbers).unwrap_or_default();
            let (Cause { cause, traceback }, hint) = (failure.split_cause(), failure.hint.as_deref());
            error!(worker, task_worker, cause, hint, traceback, "worker failed to boot: {}", failure.message);
        }
        self.fleet.departs(id, Departure::BootFailed);
        if let Some(worker) = self.fleet.get_mut(id) {
            worker.samples.told_failure = true;
            let (slot, generation) = (worker.assignment.slot, worker.assignment.generation);
            self.notice(Notice::BootFailed { slot, generation, failure: failure.clone() });
        }
        self.start_failed(failure, events);
        events.push_back(Event::BootFailed(id, failure.status));
    }

    /// Reports a failure of the whole start, once.
    pub(crate) fn start_failed(&mut self, failure: &Failure, events: &mut VecDeque<Event>) {
        if self.arbiter.is_stopping() || !self.report_start_failure(failure) {
            return;
        }
        // A mold's failure is one of the start, too.
        events.push_back(Event::StartFailed(failure.status));
    }

    /// Whether this is the failure of the whole start that is to be reported.
    pub(crate) fn report_start_failure(&mut self, failure: &Failure) -> bool {
        if self.arbiter.ever_served() || self.start_report != StartReport::Nothing {
            return false;
        }
        self.start_report = StartReport::Failure;
        report::print_boot_failure(failure);
        true
    }

    pub(crate) fn mold_lost(&mut self, generation: Generation, how: &str, events: &mut VecDeque<Event>) {
        let again = generation == self.arbiter.generation() && !self.arbiter.is_stopping();
        self.molds.lost(generation, again);
        for id in self.fleet.pending() {
            if self.fleet.get(id).is_some_and(|worker| worker.assignment.generation == generation) {
                self.fleet.forget(id);
            }
        }
        events.push_back(Event::CannotSpawn(generation));
        if self.arbiter.is_stopping() {
            return;
        }
        if again {
            warn!(how, "mold exited: workers keep serving, a new mold is started");
        }
        let died = Failure::new(
            ExitStatus::Boot,
            "the mold (the Python process that workers are forked from) exited",
        );
        self.notice(Notice::GenerationFailed(generation, died.because(how)));
        let failure = Failure {
            status: ExitStatus::Boot,
            message:
                "the mold (the Python process that workers are forked from) exited before anything was served"
                    .into(),
            cause: Some(how.into()),
            hint: Some("what it printed above tells more; does this Python start by itself?".into()),
        };
        self.start_failed(&failure, events);
    }
}

fn died_booting(status: WaitStatus, hung_at: Option<String>) -> Failure {
    if let Some(at) = hung_at {
        return Failure {
            status: ExitStatus::Boot,
            message: "a worker was not ready within --boot-timeout".into(),
            cause: Some(format!("it is blocked at {at}")),
            hint: Some("the log above has all stacks; a larger --boot-timeout allows more time".into()),
        };
    }
    let how = match status {
        WaitStatus::Exited(_) => status.to_string(),
        WaitStatus::Signaled { .. } => format!("was {status}"),
    };
    Failure {
        status: ExitStatus::Boot,
        message: "a worker exited before it served".into(),
        cause: Some(format!("it {how}")),
        hint: Some("what it printed above tells more".into()),
    }
}
