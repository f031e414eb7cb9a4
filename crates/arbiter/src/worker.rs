//! A process as the rules see it.

use crate::{Group, Launch, Liveness, Stop, Time};
pub(crate) use hostler_wire::timing::KILL_MARGIN;
use hostler_wire::{Generation, SlotId, WorkerId};
use std::time::Duration;

/// How long a mold may take to fork, from its last fork on: its application's hooks may be slow, one by one.
pub(crate) const SPAWN_LIMIT: Duration = Duration::from_secs(30);
/// How long to wait for the stacks of a stalled worker.
pub(crate) const REPORT_LIMIT: Duration = Duration::from_millis(300);
/// How long a process may take whose code was changed, its shutdown included.
pub(crate) const CHANGED_LIMIT: Duration = Duration::from_secs(5);
/// How long a process that is told to exit at once may take.
pub(crate) const QUICK_LIMIT: Duration = Duration::from_secs(1);

/// Why a healthy worker is replaced as planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecycleReason {
    /// It reached its lifetime.
    Lifetime,
    /// It served its maximum number of requests.
    MaxRequests,
    /// It uses more memory than its limit.
    Memory,
    /// The user asked for it.
    Asked,
    /// Another generation has other settings for it.
    Reload,
}

/// Why a worker is told to drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainReason {
    /// It is recycled, and its successor serves.
    Recycle(RecycleReason),
    /// Another generation took over.
    Reload,
    /// The code was changed, and what runs is to end soon.
    Changed,
    /// The new generation it belongs to failed.
    ReloadFailed,
    /// The number of workers was reduced.
    FewerWorkers,
    /// The server stops.
    Stop,
    /// Another server took over.
    Upgrade,
}

/// Why a worker is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillCause {
    /// Its graceful timeout ran out.
    GracefulTimeout,
    /// It did not exit although it was told to exit at once.
    QuickStop,
    /// Its loop was blocked.
    Stall,
    /// It was not ready in time.
    BootTimeout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Asked for. A mold that does not answer by then is stuck; `None` if it was given up already.
    Spawning { give_up_at: Option<Time> },
    /// Exists and prepares to serve.
    Booting { kill_at: Option<Time> },
    /// Serves.
    Serving { since: Time, beat: Time, recycle_at: Option<Time>, recycle: Option<RecycleReason> },
    /// Its stacks have been asked for; then it is terminated.
    Reporting { until: Time, cause: KillCause },
    /// Finishes what it has.
    Draining { kill_at: Time, cause: KillCause },
    /// Was sent SIGKILL.
    Killed { cause: KillCause },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Worker {
    pub(crate) slot: SlotId,
    pub(crate) generation: Generation,
    /// What its generation says of its group.
    pub(crate) group: Group,
    pub(crate) state: State,
    /// It was told to exit before its message came that it serves: if it does, it may finish what it accepted.
    pub(crate) dismissed: bool,
    pub(crate) queues: Queues,
}

/// What a worker does about connections that wait to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queues {
    /// Accepts them.
    Accepts,
    /// Drains, and leaves them to the workers that serve on.
    LeavesToOthers,
    /// Drains, and has accepted what waited then.
    Emptied,
    /// Was told to accept for the last time.
    AcceptsLast,
    /// Has accepted for the last time.
    EmptiedLast,
}

impl Worker {
    /// Begins to serve.
    pub(crate) fn serve(&mut self, id: WorkerId, now: Time) {
        let recycle_at = self.group.policy.recycling(now, u64::from(id.0));
        self.state = State::Serving { since: now, beat: now, recycle_at, recycle: None };
    }

    /// Prepares to serve, or took too long to.
    pub(crate) fn boots(&self) -> bool {
        matches!(self.state, State::Booting { .. } | State::Reporting { cause: KillCause::BootTimeout, .. })
    }

    /// Serves, and is not about to be something else.
    pub(crate) fn is_serving(&self) -> bool {
        matches!(self.state, State::Serving { .. })
    }

    /// Prepares to serve.
    pub(crate) fn is_booting(&self) -> bool {
        matches!(self.state, State::Booting { .. })
    }

    /// Was told to finish, and has time to.
    pub(crate) fn is_draining_in_time(&self) -> bool {
        matches!(self.state, State::Draining { cause: KillCause::GracefulTimeout, .. })
    }

    /// Was told to finish or to exit at once, and has done nothing wrong before that.
    pub(crate) fn was_told_to_exit(&self) -> bool {
        let (State::Draining { cause, .. } | State::Killed { cause }) = self.state else { return false };
        matches!(cause, KillCause::GracefulTimeout | KillCause::QuickStop)
    }

    /// May accept connections, now or for the last time.
    pub(crate) fn may_accept(&self) -> bool {
        let accepts = !matches!(self.queues, Queues::LeavesToOthers | Queues::EmptiedLast);
        self.group.stop == Stop::Drain && !self.is_spawning() && accepts
    }

    /// May serve, and was not told to drain.
    pub(crate) fn may_serve_on(&self) -> bool {
        self.group.stop == Stop::Drain && self.is_incumbent() && !self.is_spawning()
    }

    /// Serves or is on the way to it.
    pub(crate) fn is_incumbent(&self) -> bool {
        matches!(self.state, State::Spawning { .. } | State::Booting { .. } | State::Serving { .. })
    }

    /// Was asked for and does not exist yet.
    pub(crate) fn is_spawning(&self) -> bool {
        matches!(self.state, State::Spawning { .. })
    }

    /// Was asked of a mold, which has not forked it yet.
    pub(crate) fn awaits_mold(&self) -> bool {
        self.is_spawning() && self.group.launch == Launch::Mold
    }

    /// When something is to be done about it if nothing else happens; recycling is looked at apart. `watched`: a
    /// stall counts.
    pub(crate) fn deadline(&self, watched: bool) -> Option<Time> {
        match self.state {
            State::Killed { .. } => None,
            State::Spawning { give_up_at: at } | State::Booting { kill_at: at } => at,
            State::Serving { beat, .. } => {
                let beats = watched && self.group.liveness == Liveness::Beat;
                self.group.policy.stall_timeout.filter(|_| beats).map(|timeout| beat + timeout)
            }
            State::Reporting { until, .. } => Some(until),
            State::Draining { kill_at, .. } => Some(kill_at),
        }
    }

    /// Why it is to be recycled, if it is.
    pub(crate) fn recycling(&self, now: Time) -> Option<RecycleReason> {
        match self.state {
            State::Serving { recycle: Some(reason), .. } => Some(reason),
            State::Serving { recycle_at: Some(at), .. } if now >= at => Some(RecycleReason::Lifetime),
            _ => None,
        }
    }
}
