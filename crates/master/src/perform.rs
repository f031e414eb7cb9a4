//! What goes out: the arbiter's actions as system calls.

use crate::{
    control::Notice, keeper, launch::numbers, molds::GenerationEntry, observer, programs::Running,
    resources::Resources, run::Master, stacks,
};
use hostler_arbiter::{Action, DrainReason, Event, KillCause, RecycleReason};
use hostler_sys::{board, facts, proc, process};
use hostler_wire::{Departure, ExitStatus, Failure, Generation, GroupId, Reload, SlotId, ToWorker, WorkerId};
use nix::libc::{SIGKILL, SIGTERM};
use std::{collections::VecDeque, time::Duration};
use tracing::{debug, error, info, warn};

impl Master {
    /// Lets the arbiter decide and performs its actions; the status to exit with, once there is one.
    pub(crate) fn dispatch(&mut self, event: Event) -> Option<ExitStatus> {
        let mut queue = VecDeque::from([event]);
        while let Some(event) = queue.pop_front() {
            for action in self.arbiter.step(event, self.started.elapsed()) {
                if let Action::Exit(status) = action {
                    return Some(status);
                }
                self.perform(action, &mut queue);
            }
        }
        None
    }

    fn perform(&mut self, action: Action, events: &mut VecDeque<Event>) {
        match action {
            Action::Spawn(id, slot, generation) => events.extend(self.spawn(id, slot, generation)),
            Action::LameDuck(id) => self.fleet.tell(id, &ToWorker::LameDuck),
            Action::Drain { worker, reason, hand_over } => self.drain(worker, reason, hand_over),
            Action::Quit(id) => self.fleet.tell(id, &ToWorker::Quit),
            Action::Dismiss { worker, hand_over } => self.fleet.tell(worker, &ToWorker::Drain { hand_over }),
            Action::SendTerm { worker, reason } => self.send_term(worker, reason),
            Action::Report(id, cause) => {
                self.tell_of_boot_timeout(id, cause);
                self.ask_for_stacks(id, cause);
            }
            Action::Terminate(id, cause) => {
                self.terminate(id, cause);
                self.companion_late(id, events);
                self.stop_companion(id, None);
            }
            Action::Kill(id, cause) => self.kill(id, cause),
            Action::Reloaded(generation) => self.reloaded(generation, events),
            Action::NotReloaded(generation) => self.not_reloaded(generation, events),
            Action::Superseded(generation) => self.superseded(generation, events),
            Action::GiveUp(generation) => self.give_up(generation),
            Action::StopSuccessor { quickly } => self.stop_successor(quickly),
            Action::KillSuccessor => self.upgrade.kill(),
            Action::NotUpgraded => {
                error!("not upgraded: the new server exited; this one keeps serving");
                self.notice(Notice::NotUpgraded);
            }
            Action::HandOn(id) => self.hand_on_companion(id),
            Action::HandedOver => self.handed_over(),
            Action::TookBack => self.took_back(events),
            Action::CrashLoop(slot, wait) => self.report_crash_loop(slot, wait, events),
            Action::RefuseConnections => self.end_sockets(Resources::refuse_connections),
            Action::AcceptLast(id) => self.fleet.tell(id, &ToWorker::AcceptLast),
            Action::EndListening => self.end_sockets(Resources::end_listening),
            Action::Exit(_) => {}
        }
    }

    fn drain(&mut self, id: WorkerId, reason: DrainReason, hand_over: bool) {
        if let Some(worker) = self.fleet.get_mut(id) {
            worker.told = Some(reason);
            let (web, task_worker) = numbers(worker.assignment.slot);
            debug!(
                worker = web,
                task_worker,
                pid = worker.pid,
                reason = name_of_reason(reason),
                "worker told to drain"
            );
        }
        self.fleet.departs(id, departure(reason));
        self.fleet.tell(
            id,
            &match reason {
                DrainReason::Changed => ToWorker::StepAside,
                _ => ToWorker::Drain { hand_over },
            },
        );
    }

    /// Stops a process that knows no messages.
    fn send_term(&mut self, id: WorkerId, reason: DrainReason) {
        if self.stop_companion(id, Some(reason)) {
            return;
        }
        if let Some(Running { channel, .. }) = self.programs.get_mut(&id) {
            // That tells it.
            drop(channel.take());
        }
    }

    fn report_crash_loop(&mut self, slot: SlotId, wait: Duration, events: &mut VecDeque<Event>) {
        let next_attempt_seconds = wait.as_secs_f64();
        let (web, task_worker) = numbers(slot);
        if web.or(task_worker).is_some() {
            return error!(worker = web, task_worker, next_attempt_seconds, "worker is in a crash loop");
        }
        let own = match slot.group {
            GroupId::OBSERVER => Some(observer::NAME),
            GroupId::KEEPER => Some(keeper::NAME),
            _ => None,
        };
        let companion = self.companions.name(slot.group).or(own);
        error!(companion, next_attempt_seconds, "companion is in a crash loop");
        self.companion_failed(slot.group, "ends again and again", events);
    }

    /// Clients that wait for the worker learn at once why it is given up.
    fn tell_of_boot_timeout(&mut self, id: WorkerId, cause: KillCause) {
        let Some(worker) = self.fleet.get(id).filter(|_| cause == KillCause::BootTimeout) else { return };
        let (slot, generation) = (worker.assignment.slot, worker.assignment.generation);
        let failure = Failure::new(ExitStatus::Boot, "a worker was not ready within --boot-timeout")
            .hint("the log has its stacks; a larger --boot-timeout allows more time");
        self.notice(Notice::BootFailed { slot, generation, failure });
    }

    /// Has the worker write its stacks, for [`Master::terminate`] to read.
    fn ask_for_stacks(&self, id: WorkerId, cause: KillCause) {
        let Some(worker) = self.fleet.get(id) else { return };
        let Some(pid) = worker.pid else { return };
        if self.plan.spec.settings.options.app.target.is_none() {
            return;
        }
        let turn = self.fleet.page(&worker.assignment).turns();
        if let Err(error) = stacks::ask(pid, turn, &worker.stacks) {
            debug!(pid, %error, reason = name_of_cause(cause), "cannot ask the worker for its stacks");
        }
    }

    /// Logs all that is known of a stuck worker, and sends SIGTERM.
    fn terminate(&mut self, id: WorkerId, cause: KillCause) {
        let Some(worker) = self.fleet.get(id) else { return };
        let Some(pid) = worker.pid else { return };
        let page = self.fleet.page(&worker.assignment);
        let in_flight = page.requests_in_flight();
        let requests = board::describe(&in_flight);
        let (at, stacks) = stacks::read(&worker.stacks);
        let state = proc::state(pid);
        let (web, task_worker) = numbers(worker.assignment.slot);
        // The stacks last: they are many lines.
        error!(
            worker = web,
            task_worker,
            pid,
            reason = name_of_cause(cause),
            state,
            in_flight = page.in_flight(),
            sessions = page.open_sessions(),
            requests,
            at = at.as_deref(),
            %stacks,
            "worker is stuck: it is replaced and terminated"
        );
        self.fleet.departs(id, of_cause(cause));
        facts::tell_of_each(page, pid, &in_flight, "request in a worker that is stuck");
        facts::tell_of_each(page, pid, &page.sessions(), "session in a worker that is stuck");
        self.signal(pid, SIGTERM);
        if let Some(worker) = self.fleet.get_mut(id).filter(|_| cause == KillCause::BootTimeout) {
            worker.samples.hung_at = Some(at.unwrap_or_else(|| "an unknown place".into()));
        }
    }

    fn kill(&self, id: WorkerId, cause: KillCause) {
        self.kill_companion(id, cause, name_of_cause(cause));
        if let Some(Running { name, pid, .. }) = self.programs.get(&id) {
            warn!(companion = name, pid, reason = name_of_cause(cause), "companion killed");
            self.signal(*pid, SIGKILL);
        }
        let Some(worker) = self.fleet.get(id) else { return };
        let Some(pid) = worker.pid else { return };
        let requests = board::describe(&self.fleet.page(&worker.assignment).requests_in_flight());
        if let Some(seat) = self.fleet.seat(&worker.assignment) {
            seat.departs(of_cause(cause));
            seat.is_killed();
        }
        let (web, task_worker) = numbers(worker.assignment.slot);
        warn!(
            worker = web,
            task_worker,
            pid,
            reason = name_of_cause(cause),
            state = proc::state(pid),
            requests,
            "worker killed"
        );
        self.signal(pid, SIGKILL);
    }

    fn signal(&self, pid: i32, signal: i32) {
        if let Err(error) = process::signal(pid, signal) {
            error!(pid, signal, %error, "cannot signal the worker");
        }
    }

    fn reloaded(&mut self, generation: Generation, events: &mut VecDeque<Event>) {
        self.retain_generations(events, |kept| kept >= generation);
        if let Some(entry) = self.molds.get(generation) {
            let before = std::mem::replace(&mut self.plan.spec, entry.spec.clone());
            self.appear_otherwise(&before.settings);
            self.signal_companions(&before);
            self.companions.history.keep(&self.plan.spec.companions);
        }
        self.scaling.follow(&self.plan.spec, self.started.elapsed());
        let (seconds, workers) = (self.milestones.reload_ends(), self.arbiter.slots(GroupId::HTTP));
        info!(generation = generation.0, workers, seconds, "reloaded");
        self.show_reload(Reload::Succeeded, generation);
        self.notice(Notice::Reloaded(generation));
        self.announcer.reload_ended(&self.arbiter);
    }

    fn not_reloaded(&mut self, generation: Generation, events: &mut VecDeque<Event>) {
        self.retain_generations(events, |kept| kept != generation);
        self.show_reload(Reload::Failed, generation);
        error!(
            generation = generation.0,
            serving = self.arbiter.generation().0,
            "not reloaded: the running workers keep serving"
        );
        self.milestones.reload_ends();
        self.notice(Notice::NotReloaded(generation));
        self.announcer.reload_ended(&self.arbiter);
    }

    fn superseded(&mut self, generation: Generation, events: &mut VecDeque<Event>) {
        self.retain_generations(events, |kept| kept != generation);
        self.show_reload(Reload::Superseded, generation);
        info!(generation = generation.0, "reload superseded by a later one");
        self.notice(Notice::Superseded(generation, self.last_generation));
    }

    /// Keeps some generations. Forks that are pending in the others are forgotten: a worker that is forked nonetheless finds its
    /// channel closed, and exits.
    pub(crate) fn retain_generations(
        &mut self,
        events: &mut VecDeque<Event>,
        keep: impl Fn(Generation) -> bool,
    ) {
        let gone: Vec<Generation> =
            self.molds.generations().filter(|generation| !keep(*generation)).collect();
        self.molds.keep(&keep);
        for id in self.fleet.pending() {
            if self.fleet.get(id).is_some_and(|worker| gone.contains(&worker.assignment.generation)) {
                self.fleet.forget(id);
            }
        }
        events.extend(gone.into_iter().map(Event::CannotSpawn));
    }

    /// Kills a mold that hangs; its end is noticed like any other.
    fn give_up(&mut self, generation: Generation) {
        let Some(mold) = self.molds.get(generation).and_then(GenerationEntry::mold) else { return };
        let state = proc::state(mold.pid);
        if mold.ready {
            warn!(generation = generation.0, pid = mold.pid, state, "mold forks no workers: it is killed");
        } else {
            error!(
                generation = generation.0,
                pid = mold.pid,
                state,
                "mold was not ready within the boot timeout: it is killed"
            );
        }
        self.signal(mold.pid, SIGKILL);
        if !mold.ready && generation == self.arbiter.generation() {
            self.report_start_failure(&Failure {
                status: ExitStatus::Boot,
                message: "the mold (the Python process that workers are forked from) was not ready within --boot-timeout".into(),
                cause: Some("with --preload it imports the application: does that hang?".into()),
                hint: Some("without --preload a worker that is stuck is reported with its stacks".into()),
            });
        }
    }
}

pub(crate) fn name_of_reason(reason: DrainReason) -> &'static str {
    departure(reason).name()
}

/// Why a worker goes that is told to drain, as the scoreboard says it.
fn departure(reason: DrainReason) -> Departure {
    match reason {
        DrainReason::Recycle(RecycleReason::Lifetime) => Departure::Lifetime,
        DrainReason::Recycle(RecycleReason::MaxRequests) => Departure::MaxRequests,
        DrainReason::Recycle(RecycleReason::Memory) => Departure::Memory,
        DrainReason::Recycle(RecycleReason::Asked) => Departure::Restart,
        DrainReason::Recycle(RecycleReason::Reload) => Departure::Reload,
        DrainReason::Reload => Departure::Reload,
        DrainReason::Changed => Departure::Changed,
        DrainReason::ReloadFailed => Departure::ReloadFailed,
        DrainReason::FewerWorkers => Departure::FewerWorkers,
        DrainReason::Stop => Departure::Stop,
        DrainReason::Upgrade => Departure::Upgrade,
    }
}

fn name_of_cause(cause: KillCause) -> &'static str {
    of_cause(cause).name()
}

/// Why a worker goes that is killed.
fn of_cause(cause: KillCause) -> Departure {
    match cause {
        KillCause::GracefulTimeout => Departure::GracefulTimeout,
        KillCause::QuickStop => Departure::QuickStop,
        KillCause::Stall => Departure::Stall,
        KillCause::BootTimeout => Departure::BootTimeout,
    }
}
