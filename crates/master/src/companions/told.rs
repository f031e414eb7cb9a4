//! What the processes that watch companions are told.

use super::order::runs_alike;
use crate::{GenerationSpec, perform::name_of_reason, run::Master};
use hostler_arbiter::{DrainReason, KillCause};
use hostler_settings::CompanionReload;
use hostler_sys::{logging::target::Target, process};
use hostler_wire::{ToCompanion, WorkerId};
use nix::libc::{SIGCONT, SIGKILL};
use std::os::fd::BorrowedFd;
use tracing::{debug, info, warn};

impl Master {
    fn tell_companion(&self, id: WorkerId, message: &ToCompanion, descriptors: &[BorrowedFd<'_>]) {
        let Some(companion) = self.companions.get(id) else { return };
        if let Err(error) = companion.channel.send(message, descriptors) {
            // It is reaped in its time.
            debug!(companion = companion.name(), pid = companion.watcher, %error, "cannot send to the process that watches a companion");
        }
    }

    pub(crate) fn tell_companions(&self, message: &ToCompanion) {
        for id in self.companions.all.keys() {
            self.tell_companion(*id, message, &[]);
        }
    }

    /// The log was reopened.
    pub(crate) fn reopen_log_of_companions(&self, target: &Target) {
        for id in self.companions.all.keys() {
            self.tell_companion(*id, &ToCompanion::ReopenLog, &target.descriptors());
        }
    }

    /// Has a companion stopped; whether it is one.
    pub(crate) fn stop_companion(&mut self, id: WorkerId, reason: Option<DrainReason>) -> bool {
        let Some(companion) = self.companions.all.get_mut(&id) else { return false };
        if !std::mem::replace(&mut companion.told_to_stop, true)
            && let Some(reason) = reason
        {
            let (name, replica, pid) = (companion.name(), companion.replica(), companion.pid);
            let signal = companion.spec.companion.stop_signal.0.as_str();
            info!(
                companion = name,
                replica,
                pid,
                signal,
                reason = name_of_reason(reason),
                "companion stopping"
            );
        }
        self.tell_companion(id, &ToCompanion::Stop, &[]);
        true
    }

    /// Kills a companion and all that it has started, even if the process that watches it is stopped.
    pub(crate) fn kill_companion(&self, id: WorkerId, cause: KillCause, name_of_cause: &str) {
        let Some(companion) = self.companions.get(id) else { return };
        let (name, replica, pid) = (companion.name(), companion.replica(), companion.pid);
        let (reason, limit) = match cause {
            KillCause::QuickStop => (name_of_cause, None),
            // The process that watches it is stopped itself, or is killing it just now.
            KillCause::GracefulTimeout => ("stop-timeout", Some(companion.spec.companion.stop_timeout)),
            _ => (name_of_cause, Some(companion.spec.companion.stop_timeout)),
        };
        let limit_seconds = limit.map(|limit| limit.as_secs_f64());
        warn!(companion = name, replica, pid, reason, limit_seconds, "companion killed");
        self.tell_companion(id, &ToCompanion::Kill, &[]);
        let killed = pid.map_or(Ok(()), |pid| process::signal_group(pid, SIGKILL));
        if let Err(error) = killed.and_then(|()| process::signal(companion.watcher, SIGCONT)) {
            debug!(companion = name, pid, %error, "cannot kill a companion");
        }
    }

    /// Another generation serves: those that are to be told so by a signal are.
    pub(crate) fn signal_companions(&self, before: &GenerationSpec) {
        let now = &self.plan.spec.companions;
        for (id, companion) in &self.companions.all {
            let Some(spec) = now.iter().find(|its| its.companion.name == companion.name()) else { continue };
            let Some(old) = before.companions.iter().find(|its| its.companion.name == companion.name())
            else {
                continue;
            };
            if let CompanionReload::Signal(signal) = &spec.companion.reload
                && runs_alike(old, spec)
                && companion.pid.is_some()
            {
                let (name, replica, pid) = (companion.name(), companion.replica(), companion.pid);
                info!(companion = name, replica, pid, signal = signal.0, "companion told of the reload");
                self.tell_companion(*id, &ToCompanion::Signal(signal.0.clone()), &[]);
            }
        }
    }
}
