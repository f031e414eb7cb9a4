//! Upgrade: another server is started beside this one, serves, and then this one exits.
//!
//! ```text
//! Starting ──runs──► Booting ──serves──► TookOver ──exited well─► Left
//!                                           ├── exited, not told to ─► (this server serves again)
//!     └── stop ──┬──────┘ stop               │ stop: passed on
//!                └──► Stopping ──ended──► (forgotten)
//! ```
//! An order to stop this server means the service: a successor that has not taken over is stopped first, and one that has
//! is told as well, as long as this server runs.

use crate::{Action, Arbiter, DrainReason, Phase, Time, stop::Haste, worker::QUICK_LIMIT};
use hostler_wire::ExitStatus;
use std::time::Duration;

/// What a successor needs beyond its workers' time to stop: for its mold, and to notice.
const STOP_MARGIN: Duration = Duration::from_secs(3);

/// The server that is to take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Successor {
    /// Its program was started; it does not heed orders yet.
    Starting,
    /// It runs, and brings its workers up.
    Booting,
    /// It serves, and this server drains.
    TookOver {
        /// Told to stop, and how urgently.
        told: Option<Haste>,
    },
    /// It took over, and exited with code 0 before this server did: another server has the service by now, or it was stopped.
    Left,
    /// Was told to stop before it took over; killed if there is no limit.
    Stopping { kill_at: Option<Time> },
}

impl Arbiter {
    /// Whether another server may be started to take over.
    #[must_use]
    pub fn can_upgrade(&self) -> bool {
        self.phase == Phase::Running && self.successor.is_none()
    }

    /// Whether this server has handed everything over, and stays only because it is PID 1.
    #[must_use]
    pub fn is_forwarding_as_pid1(&self) -> bool {
        let left = matches!(self.successor, Some(Successor::TookOver { .. }));
        self.is_pid1 && left && self.workers.is_empty()
    }

    /// Whether another server has taken over, and with it what this one made.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        matches!(self.successor, Some(Successor::TookOver { .. } | Successor::Left))
    }

    pub(crate) fn upgrade_began(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.successor = Some(Successor::Starting);
        // It was started while the server was told to stop.
        if self.phase != Phase::Running {
            self.stop_successor(Haste::Quick, now, actions);
        }
    }

    pub(crate) fn successor_runs(&mut self) {
        if self.successor == Some(Successor::Starting) {
            self.successor = Some(Successor::Booting);
        }
    }

    /// The successor serves. One that was told to stop meanwhile ignores this.
    pub(crate) fn hand_over(&mut self, now: Time, actions: &mut Vec<Action>) {
        if matches!(self.successor, Some(Successor::Starting | Successor::Booting))
            && self.phase == Phase::Running
        {
            self.successor = Some(Successor::TookOver { told: None });
            for id in self.ids(|worker| worker.group.handed_on && !worker.is_spawning()) {
                self.workers.remove(&id);
                actions.push(Action::HandOn(id));
            }
            actions.push(Action::HandedOver);
            self.stop(Haste::Graceful, ExitStatus::Clean, DrainReason::Upgrade, now, actions);
        }
    }

    pub(crate) fn successor_ended(&mut self, clean: bool, actions: &mut Vec<Action>) {
        let leaving = matches!(
            self.phase,
            Phase::Stopping { haste: Haste::Graceful, reason: DrainReason::Upgrade, .. }
        );
        match self.successor.take() {
            Some(Successor::Starting | Successor::Booting) => actions.push(Action::NotUpgraded),
            // It was not told to exit: this server serves again.
            Some(Successor::TookOver { told: None }) if leaving && !clean => {
                self.phase = Phase::Running;
                actions.push(Action::TookBack);
            }
            Some(Successor::TookOver { .. } | Successor::Left) if clean => {
                self.successor = Some(Successor::Left);
            }
            Some(Successor::TookOver { .. } | Successor::Left | Successor::Stopping { .. }) | None => {}
        }
    }

    /// Passes a stop on.
    pub(crate) fn stop_successor(&mut self, haste: Haste, now: Time, actions: &mut Vec<Action>) {
        let quickly = haste > Haste::Graceful;
        let grace = match haste {
            Haste::Graceful => self.drain_delay() + self.grace_of_all(haste),
            Haste::StartFailed | Haste::Quick => self.grace_of_all(haste),
            Haste::AtOnce => QUICK_LIMIT,
        };
        let kill_at = now + STOP_MARGIN + grace;
        let (state, action) = match self.successor {
            Some(Successor::Starting) => (Successor::Stopping { kill_at: None }, Action::KillSuccessor),
            Some(Successor::Booting) => {
                (Successor::Stopping { kill_at: Some(kill_at) }, Action::StopSuccessor { quickly })
            }
            Some(Successor::Stopping { kill_at: Some(before) }) if quickly => {
                let kill_at = Some(kill_at.min(before));
                (Successor::Stopping { kill_at }, Action::StopSuccessor { quickly })
            }
            Some(Successor::TookOver { told }) if told.is_none_or(|before| haste > before) => {
                (Successor::TookOver { told: Some(haste) }, Action::StopSuccessor { quickly })
            }
            Some(Successor::Stopping { .. } | Successor::TookOver { .. } | Successor::Left) | None => return,
        };
        self.successor = Some(state);
        actions.push(action);
    }

    pub(crate) fn successor_deadline(&self) -> Option<Time> {
        match self.successor {
            Some(Successor::Stopping { kill_at }) => kill_at,
            _ => None,
        }
    }

    pub(crate) fn enforce_successors_deadline(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.successor_deadline().is_some_and(|due| now >= due) {
            self.successor = Some(Successor::Stopping { kill_at: None });
            actions.push(Action::KillSuccessor);
        }
    }

    /// Whether this server has to wait for its successor's exit before its own.
    pub(crate) fn is_successor_awaited(&self) -> bool {
        match self.successor {
            Some(Successor::Starting | Successor::Booting | Successor::Stopping { .. }) => true,
            Some(Successor::TookOver { .. }) => self.is_pid1,
            Some(Successor::Left) | None => false,
        }
    }
}
