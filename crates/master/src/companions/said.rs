//! What the processes that watch companions say, and how companions end.

use super::{Ended, order::is_needed};
use crate::{control::Notice, milestones::seconds, run::Master};
use hostler_arbiter::{Event, RecycleReason};
use hostler_settings::{Ready, Restart};
use hostler_sys::process::{self, WaitStatus};
use hostler_wire::{ExitStatus, Failure, FromCompanion, GroupId, WorkerId};
use nix::libc::SIGKILL;
use std::{collections::VecDeque, io, time::Duration};
use tracing::{debug, error, info, warn};

impl Master {
    pub(crate) fn receive_from_companions(&mut self, events: &mut VecDeque<Event>) {
        let ids: Vec<WorkerId> = self.companions.all.keys().copied().collect();
        for id in ids {
            self.receive_from_companion(id, events);
        }
    }

    /// Its messages; at the end of them it has ended.
    fn receive_from_companion(&mut self, id: WorkerId, events: &mut VecDeque<Event>) {
        while let Some(companion) = self.companions.all.get(&id) {
            match companion.channel.recv::<FromCompanion>() {
                Ok(Some((message, _))) => self.companion_said(id, message, events),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(None) | Err(_) => self.companion_ended(id, None, events),
            }
        }
    }

    fn companion_said(&mut self, id: WorkerId, message: FromCompanion, events: &mut VecDeque<Event>) {
        let Some(companion) = self.companions.all.get_mut(&id) else { return };
        let (name, replica, generation) =
            (companion.name().to_owned(), companion.replica(), companion.generation.0);
        match message {
            FromCompanion::Started { pid } => {
                companion.pid = Some(pid);
                info!(companion = name, replica, generation, pid, "companion started");
            }
            FromCompanion::Failed { error } => companion.ended = Some(Ended::NotStarted(error)),
            FromCompanion::Ready => {
                companion.ready = true;
                if companion.spec.companion.ready != Ready::Started {
                    let (seconds, pid) = (seconds(companion.began.elapsed()), companion.pid);
                    info!(companion = name, replica, pid, seconds, "companion ready");
                }
                let outdated = companion.outdated;
                events.push_back(Event::Ready(id));
                if outdated {
                    events.push_back(Event::Recycle(id, RecycleReason::Reload));
                }
            }
            FromCompanion::NotReady { found } => companion.found = Some(found),
            FromCompanion::Ended { status, code, lived_ms } => {
                companion.ended = Some(Ended::Exited { status, code, lived_ms });
            }
        }
    }

    /// The process that watched a companion is reaped.
    pub(crate) fn watcher_ended(
        &mut self,
        id: WorkerId,
        pid: i32,
        status: WaitStatus,
        events: &mut VecDeque<Event>,
    ) {
        self.companions.between.retain(|companion| companion.watcher != pid);
        // Its last messages first.
        self.receive_from_companion(id, events);
        self.companion_ended(id, Some(status), events);
    }

    /// A companion is gone, and so is the process that watched it.
    fn companion_ended(&mut self, id: WorkerId, watcher: Option<WaitStatus>, events: &mut VecDeque<Event>) {
        let Some(companion) = self.companions.all.remove(&id) else { return };
        let (name, replica, pid) = (companion.name().to_owned(), companion.replica(), companion.pid);
        let told = self.arbiter.was_told_to_exit(id);
        let policy = &companion.spec.companion;
        let ended = match &companion.ended {
            Some(Ended::Exited { code, .. }) if !told => match (policy.restart, *code) {
                (Restart::Never, code) | (Restart::OnFailure, code @ Some(0)) => {
                    let well = policy.ready != Ready::Exit || code == Some(0);
                    if policy.ready == Ready::Exit && well {
                        events.push_back(Event::Ready(id));
                    }
                    Event::Finished { worker: id, well }
                }
                (Restart::Always | Restart::OnFailure, _) => Event::Exited(id),
            },
            Some(Ended::NotStarted(_)) if policy.restart == Restart::Never => {
                Event::Finished { worker: id, well: false }
            }
            _ => Event::Exited(id),
        };
        let again = matches!(ended, Event::Exited(_))
            .then(|| self.arbiter.wait_before_successor(id, self.started.elapsed()))
            .flatten()
            .map(|wait| if wait.is_zero() { 0.0 } else { seconds(wait) });
        match &companion.ended {
            Some(Ended::NotStarted(error)) => {
                error!(
                    companion = name,
                    replica,
                    error,
                    next_attempt_seconds = again,
                    "cannot start a companion"
                );
            }
            Some(Ended::Exited { status, code, lived_ms }) => {
                let lived_seconds = seconds(Duration::from_millis(*lived_ms));
                let as_it_should =
                    told || matches!(ended, Event::Finished { well: true, .. }) && *code == Some(0);
                macro_rules! tell {
                    ($level:ident) => {
                        $level!(
                            companion = name,
                            replica,
                            pid,
                            status,
                            lived_seconds,
                            restarts_in_seconds = again,
                            "companion exited"
                        )
                    };
                }
                if as_it_should { tell!(info) } else { tell!(warn) }
            }
            None => {
                // What it watched was killed with it by the kernel, and what that had started in its session is here.
                if let Some(pid) = pid
                    && let Err(error) = process::signal_group(pid, SIGKILL)
                {
                    debug!(pid, %error, "cannot kill what is left of a companion");
                }
                let status = watcher.map(|status| status.to_string());
                warn!(
                    companion = name,
                    replica,
                    pid,
                    status,
                    restarts_in_seconds = again,
                    "the process that watches a companion is gone: the companion is killed"
                );
            }
        }
        let (how, lived_ms) = match &companion.ended {
            Some(Ended::NotStarted(error)) => (format!("cannot be started: {error}"), None),
            Some(Ended::Exited { status, lived_ms, .. }) => (status.clone(), Some(*lived_ms)),
            None => ("killed: the process that watched it was gone".to_owned(), None),
        };
        let as_it_should = told || matches!(ended, Event::Finished { well: true, .. });
        self.companions.history.ended((&name, companion.slot.index), &how, lived_ms, as_it_should);
        if !as_it_should {
            self.notice(Notice::CompanionFailed { worker: id, slot: companion.slot, how });
        }
        if let Event::Finished { well: false, .. } = ended {
            self.companion_failed(companion.slot.group, &failure_of(&companion.ended, policy), events);
        }
        events.push_back(ended);
    }

    /// A companion is in a crash loop, or was not ready in time. If workers wait for it and none has ever served, the start has failed.
    pub(crate) fn companion_failed(&mut self, group: GroupId, how: &str, events: &mut VecDeque<Event>) {
        let Some(name) = self.companions.name(group) else { return };
        if self.arbiter.ever_served() || !is_needed(&self.plan.spec.companions, name) {
            return;
        }
        let failure =
            Failure::new(ExitStatus::Boot, format!("companion `{name}`, which workers wait for, {how}"));
        let failure = failure.hint(format!(
            "what it printed above may tell more; its command is `{}`",
            self.plan
                .spec
                .companions
                .iter()
                .find(|its| its.companion.name == name)
                .map_or(String::new(), |its| its.companion.command_line())
        ));
        self.start_failed(&failure, events);
    }

    /// A companion was not ready in time.
    pub(crate) fn companion_late(&mut self, id: WorkerId, events: &mut VecDeque<Event>) {
        let Some(companion) = self.companions.all.get(&id) else { return };
        let own = &companion.spec.companion;
        let (name, replica, pid) = (companion.name(), companion.replica(), companion.pid);
        let (ready, found) = (own.ready.to_string(), companion.found.clone());
        let found = found.or_else(|| {
            let text = match own.ready {
                Ready::Notify => "it did not say READY=1 over NOTIFY_SOCKET",
                Ready::Exit => "it has not exited",
                _ => return None,
            };
            Some(text.to_owned())
        });
        let limit_seconds = own.ready_timeout.map(seconds);
        error!(
            companion = name,
            replica, pid, ready, limit_seconds, found, "companion is not ready in time: it is stopped"
        );
        let limit = limit_seconds.unwrap_or_default();
        let found = found.map_or(String::new(), |found| format!(": {found}"));
        let (slot, how) = (companion.slot, format!("was not ready within {limit} s{found}"));
        self.companion_failed(slot.group, &how, events);
        self.notice(Notice::CompanionFailed { worker: id, slot, how });
    }
}

fn failure_of(ended: &Option<Ended>, companion: &hostler_settings::Companion) -> String {
    match ended {
        Some(Ended::NotStarted(error)) => format!("cannot be started: {error}"),
        Some(Ended::Exited { status, .. }) => status.clone(),
        None => format!("ended: {}", companion.command_line()),
    }
}
