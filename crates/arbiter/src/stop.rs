//! The end of a process's service, and of the server's.

use crate::{
    Action, Arbiter, DrainReason, KillCause, Listening, OnReload, Phase, Stop, Time,
    upgrade::Successor,
    worker::{CHANGED_LIMIT, KILL_MARGIN, QUICK_LIMIT, Queues, State, Worker},
};
use hostler_wire::{ExitStatus, WorkerId};
use std::time::Duration;

/// How urgent the end is: each request to stop that comes after another is a step more so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Haste {
    /// Requests in flight are finished.
    Graceful,
    /// The start has failed: there is nothing to finish, and nobody has asked for haste.
    StartFailed,
    /// Requests in flight are cut. Groups that keep their grace are stopped in their order and their time.
    Quick,
    /// Those, too, are told all at once, and have as little time as workers.
    AtOnce,
}

impl Arbiter {
    /// Tells a process to finish, unless it is ending already. One that is not forked yet is told once it is.
    pub(crate) fn drain(&mut self, id: WorkerId, reason: DrainReason, now: Time, actions: &mut Vec<Action>) {
        let hand_over = self.is_taken_over(id, reason);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let graceful = worker.group.policy.graceful_timeout;
        let limit = if reason == DrainReason::Changed { graceful.min(CHANGED_LIMIT) } else { graceful };
        let kill_at = now + limit + KILL_MARGIN;
        if hand_over && worker.may_serve_on() {
            worker.queues = Queues::LeavesToOthers;
        }
        match (worker.state, worker.group.stop) {
            (State::Booting { .. } | State::Serving { .. }, Stop::Signal) => {
                worker.state = State::Draining { kill_at, cause: KillCause::GracefulTimeout };
                actions.push(Action::SendTerm { worker: id, reason });
            }
            // It has no request to finish, unless its message that it serves is still on the way.
            (State::Booting { .. }, Stop::Drain) => {
                worker.state = State::Draining { kill_at: now + QUICK_LIMIT, cause: KillCause::QuickStop };
                worker.dismissed = true;
                actions.push(Action::Dismiss { worker: id, hand_over });
            }
            (State::Serving { .. }, Stop::Drain) => {
                worker.state = State::Draining { kill_at, cause: KillCause::GracefulTimeout };
                actions.push(Action::Drain { worker: id, reason, hand_over });
            }
            (
                State::Spawning { .. }
                | State::Reporting { .. }
                | State::Draining { .. }
                | State::Killed { .. },
                Stop::Drain | Stop::Signal,
            ) => {}
        }
    }

    /// Whether others of its group go on without this process, and take its idle connections.
    fn is_taken_over(&self, id: WorkerId, reason: DrainReason) -> bool {
        match reason {
            DrainReason::Stop => false,
            DrainReason::Upgrade | DrainReason::Changed => true,
            _ => {
                let group = self.workers.get(&id).map(|worker| worker.slot.group);
                let mut others = self.workers.iter().filter(|(other, _)| **other != id);
                others.any(|(_, worker)| {
                    worker.is_serving() && Some(worker.slot.group) == group && self.has_slot(worker)
                })
            }
        }
    }

    /// Tells a process to exit at once.
    fn quit(&mut self, id: WorkerId, reason: DrainReason, now: Time, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let is_told = matches!(worker.state, State::Draining { cause: KillCause::QuickStop, .. });
        let is_ending = matches!(worker.state, State::Spawning { .. } | State::Killed { .. });
        if is_ending || is_told && !worker.dismissed {
            return;
        }
        worker.state = State::Draining { kill_at: now + QUICK_LIMIT, cause: KillCause::QuickStop };
        worker.dismissed = false;
        actions.push(match worker.group.stop {
            Stop::Drain => Action::Quit(id),
            Stop::Signal => Action::SendTerm { worker: id, reason },
        });
    }

    /// A process that is forked too late, during a stop or for a generation that is over, is told to exit.
    pub(crate) fn quit_unneeded(&mut self, id: WorkerId, now: Time, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.get(&id) else { return };
        let wanted = self.generation == worker.generation
            || self.is_reloading_to(worker.generation)
            || worker.group.reload != OnReload::Replace;
        let keeps_grace = worker.group.keeps_grace && !self.is_stopping_at_once();
        match (self.is_stopping(), keeps_grace) {
            (true, false) => self.quit(id, DrainReason::Stop, now, actions),
            // In its turn.
            (true, true) => {}
            (false, _) if wanted => {}
            (false, false) => self.quit(id, DrainReason::Reload, now, actions),
            (false, true) => self.drain(id, DrainReason::Reload, now, actions),
        }
    }

    /// The second request is meant more urgently than the first.
    pub(crate) fn stop_by_user(&mut self, now: Time, actions: &mut Vec<Action>) {
        let delay = self.drain_delay();
        let serving = self.ids(|worker| worker.is_serving() && worker.group.stop == Stop::Drain);
        if self.phase == Phase::Running && !delay.is_zero() && !serving.is_empty() {
            self.phase = Phase::LameDuck { until: now + delay };
            self.stop_successor(Haste::Graceful, now, actions);
            actions.extend(serving.into_iter().map(Action::LameDuck));
            return;
        }
        if self.is_told_to_stop() {
            return self.stop_more_quickly(now, actions);
        }
        self.stop(Haste::Graceful, ExitStatus::Clean, DrainReason::Stop, now, actions);
    }

    /// Requests are not to be finished; if that was said before, nothing is.
    pub(crate) fn stop_more_quickly(&mut self, now: Time, actions: &mut Vec<Action>) {
        let haste = if self.is_stopping_quickly() { Haste::AtOnce } else { Haste::Quick };
        self.stop(haste, ExitStatus::Clean, DrainReason::Stop, now, actions);
    }

    fn is_stopping_at_once(&self) -> bool {
        matches!(self.phase, Phase::Stopping { haste: Haste::AtOnce, .. })
    }

    /// How long to serve on after the signal to stop.
    pub(crate) fn drain_delay(&self) -> Duration {
        let drained = self.groups.iter().filter(|state| state.group.stop == Stop::Drain);
        drained.map(|state| state.group.policy.drain_delay).max().unwrap_or_default()
    }

    /// Whether the user, or a failed start, has ended the service. Leaving it to another server does not.
    fn is_told_to_stop(&self) -> bool {
        !matches!(self.phase, Phase::Running | Phase::Stopping { reason: DrainReason::Upgrade, .. })
    }

    pub(crate) fn stop(
        &mut self,
        haste: Haste,
        status: ExitStatus,
        reason: DrainReason,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        let status = match self.phase {
            Phase::Running | Phase::LameDuck { .. } => status,
            Phase::Over => return,
            Phase::Stopping { haste: before, .. } if haste <= before && self.is_told_to_stop() => return,
            Phase::Stopping { status, .. } => status,
        };
        if reason == DrainReason::Stop {
            self.stop_successor(haste, now, actions);
        }
        self.phase = Phase::Stopping { haste, status, reason };
        self.reload = None;
        self.preparing.clear();
        // Processes that are not forked yet are waited for, but not for long.
        for worker in self.workers.values_mut() {
            if let State::Spawning { give_up_at: Some(at) } = &mut worker.state {
                *at = now + QUICK_LIMIT;
            }
        }
        if haste > Haste::Graceful {
            for id in self.ids(|worker| worker.group.stop == Stop::Drain || haste == Haste::AtOnce) {
                self.quit(id, reason, now, actions);
            }
        } else if reason == DrainReason::Stop {
            self.cancel_handovers(actions);
        }
        self.drain_in_order(now, actions);
    }

    /// The handover targets are stopping as well: cancel the handover for workers that already drain.
    fn cancel_handovers(&self, actions: &mut Vec<Action>) {
        let draining =
            self.ids(|worker| worker.is_draining_in_time() && worker.group.stop == Stop::Drain).into_iter();
        let reason = DrainReason::Stop;
        actions.extend(draining.map(|worker| Action::Drain { worker, reason, hand_over: false }));
    }

    /// Stops the groups that are next in the stop order: all processes of those before them have exited.
    pub(crate) fn drain_in_order(&mut self, now: Time, actions: &mut Vec<Action>) {
        let Phase::Stopping { haste, reason, .. } = self.phase else { return };
        let left = self.workers.values().filter(|worker| self.is_or_will_be(worker));
        let Some(next) = left.map(|worker| worker.group.stop_order).min() else { return };
        for id in self.ids(|worker| worker.group.stop_order == next) {
            let keeps_grace = self.workers.get(&id).is_some_and(|worker| worker.group.keeps_grace);
            match haste {
                Haste::Graceful => self.drain(id, reason, now, actions),
                Haste::StartFailed | Haste::Quick if keeps_grace => self.drain(id, reason, now, actions),
                Haste::StartFailed | Haste::Quick | Haste::AtOnce => self.quit(id, reason, now, actions),
            }
        }
    }

    /// Whether the process exists, or may still be made: not every mold that was asked for one can fork any more.
    fn is_or_will_be(&self, worker: &Worker) -> bool {
        !worker.awaits_mold() || self.can_spawn.contains(&worker.generation)
    }

    pub(crate) fn accepts_no_more(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.queues = match worker.queues {
                Queues::Accepts => Queues::Emptied,
                Queues::AcceptsLast => Queues::EmptiedLast,
                queues => queues,
            };
        }
    }

    /// When the service ends, has the listening sockets ended, in two steps so that no client that has connected is reset: once
    /// a worker has accepted what waited, new connections are refused; then what came in between is accepted. One worker can
    /// accept all of it: those that hang or still boot are not waited for.
    pub(crate) fn end_listening(&mut self, actions: &mut Vec<Action>) {
        let Phase::Stopping { haste, reason: DrainReason::Stop, .. } = self.phase else { return };
        let quickly = haste > Haste::Graceful;
        if self.is_listening_anothers() {
            return;
        }
        if self.listening == Listening::Open && !quickly && self.may_refuse() {
            self.listening = Listening::Refusing;
            actions.push(Action::RefuseConnections);
        }
        if self.listening != Listening::Open && !quickly {
            self.accept_last(actions);
        }
        let at_once = quickly && self.successor.is_none();
        if self.listening != Listening::Ended
            && (at_once || self.any_has(Queues::EmptiedLast) || !self.any_may_accept())
        {
            self.listening = Listening::Ended;
            actions.push(Action::EndListening);
        }
    }

    /// Whether the sockets are a successor's, too, that goes on with them.
    fn is_listening_anothers(&self) -> bool {
        !matches!(self.successor, None | Some(Successor::Stopping { .. }))
    }

    /// Whether a worker has accepted what waited, and all that serve were told to drain; or none can accept.
    fn may_refuse(&self) -> bool {
        let all_told = !self.workers.values().any(Worker::may_serve_on);
        all_told && self.any_has(Queues::Emptied) || !self.any_may_accept()
    }

    /// Tells those that have accepted what waited to do so once more. Those that do it after listening has ended need not wait.
    fn accept_last(&mut self, actions: &mut Vec<Action>) {
        for (id, worker) in self.workers.iter_mut().filter(|(_, worker)| worker.queues == Queues::Emptied) {
            worker.queues = Queues::AcceptsLast;
            actions.push(Action::AcceptLast(*id));
        }
    }

    fn any_has(&self, queues: Queues) -> bool {
        self.workers.values().any(|worker| worker.queues == queues)
    }

    /// Whether a worker may accept connections, be it a successor's.
    fn any_may_accept(&self) -> bool {
        self.successor.is_some() || self.workers.values().any(Worker::may_accept)
    }

    /// The time that all groups, one after another, have to stop.
    pub(crate) fn grace_of_all(&self, haste: Haste) -> Duration {
        let mut orders = std::collections::BTreeMap::<u8, Duration>::new();
        for state in &self.groups {
            let has_grace = haste == Haste::Graceful || haste < Haste::AtOnce && state.group.keeps_grace;
            let grace =
                if has_grace { state.group.policy.graceful_timeout + KILL_MARGIN } else { QUICK_LIMIT };
            let longest = orders.entry(state.group.stop_order).or_default();
            *longest = grace.max(*longest);
        }
        orders.into_values().sum()
    }

    pub(crate) fn exit_when_empty(&mut self, actions: &mut Vec<Action>) {
        let Phase::Stopping { status, .. } = self.phase else { return };
        if !self.is_successor_awaited() && !self.workers.values().any(|worker| self.is_or_will_be(worker)) {
            self.phase = Phase::Over;
            actions.push(Action::Exit(status));
        }
    }
}
