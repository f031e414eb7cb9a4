//! A process from its start to its exit: what its own events do to it, and what its failure does to others.

use crate::{
    Action, Arbiter, Done, DrainReason, Launch, OnReload, Phase, Readiness, RecycleReason, Slot, Stop, Time,
    policy::{backoff, unit_random},
    stop::Haste,
    upgrade::Successor,
    worker::{KILL_MARGIN, KillCause, Queues, SPAWN_LIMIT, State, Worker},
};
use hostler_wire::{ExitStatus, Generation, GroupId, SlotId, WorkerId};
use std::time::Duration;

/// The longest wait for the successor of a process that said that it served.
const MAX_WAIT_AFTER_SERVICE: Duration = Duration::from_millis(400);
/// So many failures in a row are a crash loop, and are reported as one.
const CRASH_LOOP: u32 = 5;
/// A process that served this long was healthy: the next failure counts as the first.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

impl Arbiter {
    pub(crate) fn spawn(
        &mut self,
        slot: SlotId,
        generation: Generation,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        let Some(group) = self.group_of(slot.group, generation) else { return };
        let id = WorkerId(self.next_worker);
        self.next_worker += 1;
        // What the master makes itself it has made or not at once.
        let give_up_at = (group.launch == Launch::Mold).then_some(now + SPAWN_LIMIT);
        let state = State::Spawning { give_up_at };
        let queues = Queues::Accepts;
        self.workers.insert(id, Worker { slot, generation, group, state, dismissed: false, queues });
        actions.push(Action::Spawn(id, slot, generation));
    }

    pub(crate) fn spawned(&mut self, id: WorkerId, now: Time, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.is_spawning()) else { return };
        match worker.group.readiness {
            Readiness::Message => {
                let kill_at = worker.group.policy.boot_timeout.map(|timeout| now + timeout);
                worker.state = State::Booting { kill_at };
            }
            Readiness::Started => {
                worker.serve(id, now);
                self.ever_served |= worker.group.gates_startup;
            }
        }
        let (launch, generation) = (worker.group.launch, worker.generation);
        if launch == Launch::Mold && !self.is_stopping() {
            self.await_forks(generation, Some(now + SPAWN_LIMIT));
        }
        self.quit_unneeded(id, now, actions);
    }

    /// Sets until when the mold of this generation is to have forked another worker.
    pub(crate) fn await_forks(&mut self, generation: Generation, until: Option<Time>) {
        for worker in self.workers.values_mut().filter(|worker| worker.generation == generation) {
            if let State::Spawning { give_up_at } = &mut worker.state {
                *give_up_at = give_up_at.and(until);
            }
        }
    }

    pub(crate) fn ready(&mut self, id: WorkerId, now: Time) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        self.ever_served |= worker.group.gates_startup;
        match worker.state {
            State::Booting { .. } => worker.serve(id, now),
            State::Draining { .. } if worker.dismissed => {
                let kill_at = now + worker.group.policy.graceful_timeout + KILL_MARGIN;
                worker.state = State::Draining { kill_at, cause: KillCause::GracefulTimeout };
            }
            _ => {}
        }
    }

    pub(crate) fn beat(&mut self, id: WorkerId, now: Time) {
        if let Some(Worker { state: State::Serving { beat, .. }, .. }) = self.workers.get_mut(&id) {
            *beat = now;
        }
    }

    /// As if it had begun just now what it does.
    pub(crate) fn debugged(&mut self, id: WorkerId, now: Time) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let policy = worker.group.policy;
        match &mut worker.state {
            State::Serving { beat, .. } => *beat = now,
            State::Booting { kill_at: Some(at) } => {
                *at = (*at).max(now + policy.boot_timeout.unwrap_or_default())
            }
            State::Draining { kill_at, cause: KillCause::GracefulTimeout } => {
                *kill_at = (*kill_at).max(now + policy.graceful_timeout + KILL_MARGIN);
            }
            State::Booting { kill_at: None }
            | State::Spawning { .. }
            | State::Reporting { .. }
            | State::Draining { .. }
            | State::Killed { .. } => {}
        }
    }

    pub(crate) fn recycle(&mut self, id: WorkerId, reason: RecycleReason) {
        if let Some(Worker { state: State::Serving { recycle, .. }, .. }) = self.workers.get_mut(&id) {
            recycle.get_or_insert(reason);
        }
    }

    pub(crate) fn try_now(&mut self, slot: SlotId, now: Time, actions: &mut Vec<Action>) {
        if !self.is_growing() {
            return;
        }
        let booting: Vec<WorkerId> =
            self.incumbents(slot).filter(|(_, worker)| worker.is_booting()).map(|(id, _)| id).collect();
        for id in booting {
            self.drain(id, DrainReason::Recycle(RecycleReason::Asked), now, actions);
        }
        if let Some(slot) = self.slot_mut(slot) {
            *slot = Slot { is_retired: slot.is_retired, spawn_at: now, ..Slot::default() };
        }
    }

    /// What the user asked for is taken back, unless it has begun.
    pub(crate) fn keep(&mut self, id: WorkerId) {
        if let Some(Worker { state: State::Serving { recycle, .. }, .. }) = self.workers.get_mut(&id)
            && *recycle == Some(RecycleReason::Asked)
        {
            *recycle = None;
        }
    }

    /// While the machine was suspended no process could beat, boot or finish: all deadlines move.
    pub(crate) fn shift_deadlines(&mut self, by: Duration) {
        self.preparing.values_mut().for_each(|give_up_at| *give_up_at += by);
        if let Some(Successor::Stopping { kill_at: Some(at) }) = &mut self.successor {
            *at += by;
        }
        for worker in self.workers.values_mut() {
            match &mut worker.state {
                State::Spawning { give_up_at: Some(at) }
                | State::Booting { kill_at: Some(at) }
                | State::Draining { kill_at: at, .. } => *at += by,
                State::Serving { beat, .. } => *beat += by,
                State::Booting { .. }
                | State::Spawning { .. }
                | State::Reporting { .. }
                | State::Killed { .. } => {}
            }
        }
    }

    pub(crate) fn exited(&mut self, id: WorkerId, now: Time, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.remove(&id) else { return };
        // A process that drained or was killed went as planned.
        if !worker.is_incumbent() {
            return;
        }
        if self.is_reloading_to(worker.generation) {
            return self.abandon_reload(worker.generation, now, actions);
        }
        self.count_failure(worker, now, actions);
    }

    /// A process has ended that is not started again.
    pub(crate) fn finished(&mut self, id: WorkerId, well: bool, now: Time, actions: &mut Vec<Action>) {
        // One that a reload replaces serves for as long as there is a server.
        let may_finish = |worker: &Worker| worker.is_incumbent() && worker.group.reload != OnReload::Replace;
        let Some(worker) = self.workers.get(&id).copied().filter(may_finish) else {
            return self.exited(id, now, actions);
        };
        self.workers.remove(&id);
        if let Some(reload) = self.reload.as_mut().filter(|reload| reload.generation == worker.generation) {
            reload.finished.insert(worker.slot);
            if !well {
                self.abandon_reload(worker.generation, now, actions);
            }
        } else if let Some(slot) = self.slot_mut(worker.slot) {
            slot.done = if well { Done::Well } else { Done::Badly };
        }
    }

    /// How long it will be until the successor of a process is made that ends at `now`; `None` if its end is planned.
    #[must_use]
    pub fn wait_before_successor(&self, id: WorkerId, now: Time) -> Option<Duration> {
        let worker = self.workers.get(&id).filter(|worker| worker.is_incumbent() && self.is_growing())?;
        Some(wait_after(worker, self.slot(worker.slot)?.failures, now).0)
    }

    pub(crate) fn count_failure(&mut self, worker: Worker, now: Time, actions: &mut Vec<Action>) {
        let Some(slot) = self.slot_mut(worker.slot) else { return };
        let (wait, failures) = wait_after(&worker, slot.failures, now);
        slot.spawn_at = now + wait;
        slot.failures = failures.saturating_add(1);
        if slot.failures >= CRASH_LOOP {
            actions.push(Action::CrashLoop(worker.slot, wait));
        }
    }

    /// Before anything served, a boot failure of what gates the start-up is a failure of the whole start.
    pub(crate) fn boot_failed(
        &mut self,
        id: WorkerId,
        status: ExitStatus,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        let Some(worker) = self.workers.get(&id) else { return };
        let (gates, generation) = (worker.group.gates_startup, worker.generation);
        if !self.ever_served && gates {
            self.start_failed(status, now, actions);
        } else if self.is_reloading_to(generation) {
            self.abandon_reload(generation, now, actions);
        }
    }

    pub(crate) fn start_failed(&mut self, status: ExitStatus, now: Time, actions: &mut Vec<Action>) {
        if !self.ever_served && self.phase == Phase::Running {
            self.stop(Haste::StartFailed, status, DrainReason::Stop, now, actions);
        }
    }

    /// With --preload the application is imported in the mold.
    pub(crate) fn prepare(&mut self, generation: Generation, now: Time) {
        if let Some(timeout) = self.mold_timeout(generation) {
            self.preparing.insert(generation, now + timeout);
        }
    }

    /// How long the mold of a generation may boot: as long as the groups that it forks allow.
    fn mold_timeout(&self, generation: Generation) -> Option<Duration> {
        let groups: Vec<_> = match &self.reload {
            Some(reload) if reload.generation == generation => reload.groups.clone(),
            _ => self.groups.iter().map(|state| state.group).collect(),
        };
        let forked = groups.iter().filter(|group| group.launch == Launch::Mold);
        let timeouts: Option<Vec<Duration>> = forked.map(|group| group.policy.boot_timeout).collect();
        timeouts?.into_iter().max()
    }

    /// The number of processes that the user set last holds for a generation that is being brought up, too.
    pub(crate) fn scale(&mut self, group: GroupId, slots: u16, now: Time, actions: &mut Vec<Action>) {
        let Some(state) = self.group_mut(group) else { return };
        state.resize(slots);
        self.pass_on(group, now, actions);
    }

    /// One slot less, which need not be the last one.
    pub(crate) fn retire(&mut self, slot: SlotId, now: Time, actions: &mut Vec<Action>) {
        let Some(state) = self.group_mut(slot.group) else { return };
        state.retire(slot.index);
        self.pass_on(slot.group, now, actions);
    }

    /// A generation that is being brought up has as many slots of a group as the one that serves.
    fn pass_on(&mut self, group: GroupId, now: Time, actions: &mut Vec<Action>) {
        let slots = self.slots(group);
        let Some(reload) = &mut self.reload else { return };
        let generation = reload.generation;
        let Some(next) = reload.groups.iter_mut().find(|next| next.id == group) else { return };
        if slots == 0 && next.proves_reload() {
            // No process would prove it.
            return self.abandon_reload(generation, now, actions);
        }
        next.policy.workers = slots;
    }

    /// Requests to a mold that it did not fulfil will not be fulfilled any more.
    pub(crate) fn stop_spawning(&mut self, generation: Generation, now: Time, actions: &mut Vec<Action>) {
        self.preparing.remove(&generation);
        self.can_spawn.remove(&generation);
        self.workers.retain(|_, worker| !worker.awaits_mold() || worker.generation != generation);
        self.abandon_reload(generation, now, actions);
    }
}

/// The wait after a failure, and how many there were in a row before it.
fn wait_after(worker: &Worker, failures: u32, now: Time) -> (Duration, u32) {
    let (served, healthy) = match worker.state {
        State::Serving { since, .. } => (
            // A program that was started, or that once answered, has proven less than a worker.
            worker.group.readiness == Readiness::Message && worker.group.stop == Stop::Drain,
            now.saturating_sub(since) >= HEALTHY_AFTER,
        ),
        _ => (false, false),
    };
    let failures = if healthy { 0 } else { failures };
    let wait = backoff(failures, unit_random(worker.group.policy.seed, u64::from(failures)));
    // It can serve: whatever ended it, a slot that stays vacant for long does not help.
    (if served { wait.min(MAX_WAIT_AFTER_SERVICE) } else { wait }, failures)
}
