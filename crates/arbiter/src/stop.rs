//! The end of a worker's service, and of the server's.

use crate::{
    Action, Arbiter, DrainReason, KillCause, Phase, Time,
    worker::{KILL_MARGIN, QUICK_LIMIT, State, Worker},
};
use hostler_wire::{ExitStatus, WorkerId};

impl Arbiter {
    pub(crate) fn ids(&self, which: impl Fn(&Worker) -> bool) -> Vec<WorkerId> {
        self.workers.iter().filter(|(_, worker)| which(worker)).map(|(id, _)| *id).collect()
    }

    /// Tells a worker to finish, unless it is ending already. One that is not forked yet is told once it is.
    pub(crate) fn drain(&mut self, id: WorkerId, reason: DrainReason, now: Time, actions: &mut Vec<Action>) {
        let hand_over = match reason {
            DrainReason::Stop => false,
            DrainReason::Upgrade => true,
            _ => self
                .workers
                .iter()
                .any(|(other, worker)| *other != id && worker.is_serving() && self.has_slot(worker)),
        };
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let kill_at = now + worker.policy.graceful_timeout + KILL_MARGIN;
        match worker.state {
            // It has no request to finish, unless its word that it serves is still on the way.
            State::Booting { .. } => {
                worker.state = State::Draining { kill_at: now + QUICK_LIMIT, cause: KillCause::QuickStop };
                worker.dismissed = true;
                actions.push(Action::Dismiss { worker: id, hand_over });
            }
            State::Serving { .. } => {
                worker.state = State::Draining { kill_at, cause: KillCause::GracefulTimeout };
                actions.push(Action::Drain { worker: id, reason, hand_over });
            }
            State::Spawning { .. }
            | State::Reporting { .. }
            | State::Draining { .. }
            | State::Killed { .. } => {}
        }
    }

    /// Tells a worker to leave at once.
    fn quit(&mut self, id: WorkerId, now: Time, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if !matches!(worker.state, State::Spawning { .. } | State::Killed { .. }) {
            worker.state = State::Draining { kill_at: now + QUICK_LIMIT, cause: KillCause::QuickStop };
            worker.dismissed = false;
            actions.push(Action::Quit(id));
        }
    }

    /// A worker that is forked too late, during a stop or for a generation that is over, is told to exit.
    pub(crate) fn quit_unneeded(&mut self, id: WorkerId, now: Time, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.get(&id) else { return };
        let wanted = self.generation == worker.generation
            || self.reload.is_some_and(|reload| reload.generation == worker.generation);
        if self.is_stopping() || !wanted {
            self.quit(id, now, actions);
        }
    }

    /// The second request is meant more urgently than the first.
    pub(crate) fn stop_by_user(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.phase == Phase::Running && !self.policy.drain_delay.is_zero() && self.serving() > 0 {
            self.phase = Phase::LameDuck { until: now + self.policy.drain_delay };
            self.stop_successor(false, now, actions);
            let serving = self.ids(Worker::is_serving);
            actions.extend(serving.into_iter().map(Action::LameDuck));
            return;
        }
        self.stop(self.is_told_to_stop(), ExitStatus::Clean, DrainReason::Stop, now, actions);
    }

    /// Whether the user, or a failed start, has ended the service. Leaving it to another server does not.
    fn is_told_to_stop(&self) -> bool {
        !matches!(self.phase, Phase::Running | Phase::Stopping { reason: DrainReason::Upgrade, .. })
    }

    pub(crate) fn stop(
        &mut self,
        quickly: bool,
        status: ExitStatus,
        reason: DrainReason,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        let status = match self.phase {
            Phase::Running | Phase::LameDuck { .. } => status,
            Phase::Stopping { quickly: true, .. } | Phase::Over => return,
            Phase::Stopping { .. } if !quickly && self.is_told_to_stop() => return,
            Phase::Stopping { status, .. } => status,
        };
        if reason == DrainReason::Stop {
            self.stop_successor(quickly, now, actions);
        }
        self.phase = Phase::Stopping { quickly, status, reason };
        self.reload = None;
        self.preparing.clear();
        // Workers that are not forked yet are waited for, but not for long.
        for worker in self.workers.values_mut() {
            if let State::Spawning { give_up_at: Some(at) } = &mut worker.state {
                *at = now + QUICK_LIMIT;
            }
        }
        // Whom those that retire hand their connections to leaves, too.
        if !quickly && reason == DrainReason::Stop {
            let draining = self.ids(Worker::is_draining_in_time).into_iter();
            actions.extend(draining.map(|worker| Action::Drain { worker, reason, hand_over: false }));
        }
        for id in self.ids(|_| true) {
            if quickly {
                self.quit(id, now, actions);
            } else {
                self.drain(id, reason, now, actions);
            }
        }
    }

    pub(crate) fn exit_when_empty(&mut self, actions: &mut Vec<Action>) {
        let Phase::Stopping { status, .. } = self.phase else { return };
        if self.is_successor_awaited() {
            return;
        }
        // Workers that no mold will ever make need not be waited for.
        if self
            .workers
            .values()
            .all(|worker| worker.is_spawning() && !self.can_spawn.contains(&worker.generation))
        {
            self.phase = Phase::Over;
            actions.push(Action::Exit(status));
        }
    }
}
