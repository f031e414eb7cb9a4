//! Signals of the user, as Gunicorn has them (its documentation, "Signal Handling").

use crate::run::Master;
use hostler_arbiter::{Bounds, Event};
use hostler_sys::logging::{access, target::Target};
use hostler_wire::{GroupId, ToMold, ToProgram, ToWorker};
use nix::libc::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH};
use std::{
    collections::VecDeque,
    os::fd::AsFd,
    time::{Duration, Instant},
};
use tracing::{debug, info, warn};

/// What the master listens to.
pub(crate) const SIGNALS: [i32; 10] =
    [SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH];

/// Two signals to stop within this time are one. A terminal's Ctrl-C reaches all processes in its foreground, and those that have
/// started the server (`uv run`, `npm`, an init of a container) pass theirs on as well.
const ONE_REQUEST: Duration = Duration::from_millis(500);

impl Master {
    pub(crate) fn receive_signal(&mut self, signal: i32, events: &mut VecDeque<Event>) {
        match signal {
            SIGCHLD => self.reap(events),
            SIGTERM | SIGINT | SIGQUIT if self.is_repeated_stop() => {
                debug!(signal, "the same request to stop came again");
            }
            SIGTERM => {
                debug!(signal = "SIGTERM", "stopping gracefully");
                self.stop_begins(Some("SIGTERM"));
                events.push_back(Event::StopGracefully);
            }
            SIGINT | SIGQUIT => {
                let signal = if signal == SIGINT { "SIGINT" } else { "SIGQUIT" };
                debug!(signal, "stopping quickly");
                self.stop_begins(Some(signal));
                events.push_back(Event::StopQuickly);
            }
            SIGHUP | SIGUSR1 | SIGUSR2 | SIGTTIN | SIGTTOU | SIGWINCH if self.forward_signal(signal) => {}
            SIGHUP => drop(self.reload("SIGHUP", events)),
            SIGUSR1 => self.reopen_logs(),
            SIGUSR2 => drop(self.upgrade(events)),
            SIGTTIN => self.scale(self.workers().saturating_add(1), "SIGTTIN", events),
            SIGTTOU => self.scale(self.workers().max(2) - 1, "SIGTTOU", events),
            // A terminal sends it when its window changes, and means nothing by it.
            SIGWINCH if hostler_sys::proc::has_terminal() => {}
            SIGWINCH => self.scale(0, "SIGWINCH", events),
            _ => {}
        }
    }

    /// Whether a signal to stop is but another copy of the last one: it would cut those short that a quick stop leaves their time.
    fn is_repeated_stop(&mut self) -> bool {
        let is_recent = self.last_stop.is_some_and(|last| last.elapsed() < ONE_REQUEST);
        let is_repeated = is_recent && self.arbiter.is_stopping_quickly();
        if !is_repeated {
            self.last_stop = Some(Instant::now());
        }
        is_repeated
    }

    /// How many HTTP workers there are to be.
    fn workers(&self) -> u16 {
        self.arbiter.slots(GroupId::HTTP)
    }

    fn scale(&mut self, workers: u16, signal: &str, events: &mut VecDeque<Event>) {
        info!(signal, from = self.workers(), to = workers, "number of workers changed");
        self.user_scales(workers, events);
    }

    /// The user wants so many HTTP workers. Where their number follows the load that is how many there are at least.
    pub(crate) fn user_scales(&mut self, workers: u16, events: &mut VecDeque<Event>) {
        self.scaling.user_wants(GroupId::HTTP, workers, self.started.elapsed());
        events.push_back(Event::Scale(GroupId::HTTP, workers));
    }

    /// How many workers of a group there are to be after a reload: what was changed by signals and by the load lasts, as far as the
    /// configuration allows if it was changed since. Where there are no HTTP workers there are to be some again.
    pub(crate) fn workers_after(&self, group: GroupId, configured: Bounds) -> u16 {
        let workers = self.arbiter.slots(group);
        let is_as_before = configured == self.plan.spec.bounds(group);
        match workers {
            0 if group == GroupId::HTTP => configured.least,
            _ if is_as_before => workers,
            _ => configured.nearest(workers),
        }
    }

    /// Opens log files again, after they were renamed.
    pub(crate) fn reopen_logs(&mut self) {
        let access_file = self.plan.access_log.as_ref().is_some_and(|path| path.as_os_str() != "-");
        if self.plan.log_file.is_none() && !access_file {
            return info!(signal = "SIGUSR1", "there is no log file to reopen; see --log-file");
        }
        self.reopen_log();
        if access_file {
            self.reopen_access_log();
        }
    }

    fn reopen_log(&mut self) {
        let Some(path) = &self.plan.log_file else { return };
        let target = match Target::open(path) {
            Ok(target) => target,
            Err(error) => return warn!(path = %path.display(), %error, "cannot reopen the log file"),
        };
        for (_, mold) in self.molds.running() {
            if let Err(error) = mold.channel.send(&ToMold::ReopenLog, &target.descriptors()) {
                warn!(%error, "cannot send to the mold");
            }
        }
        let workers: Vec<_> = self.fleet.all().map(|(id, _)| id).collect();
        for id in workers {
            self.fleet.tell_with(id, &ToWorker::ReopenLog, &target.descriptors());
        }
        self.reopen_log_of_companions(&target);
        self.send_to_programs(&ToProgram::ReopenLog, &target.descriptors());
        match hostler_sys::logging::write_to(target) {
            Ok(()) => info!(path = %path.display(), "log file reopened"),
            Err(error) => warn!(path = %path.display(), %error, "cannot reopen the log file"),
        }
    }

    fn reopen_access_log(&mut self) {
        let Some(path) = &self.plan.access_log else { return };
        let lines = match access::open(path) {
            Ok(lines) => lines,
            Err(error) => return warn!(path = %path.display(), %error, "cannot reopen the access log"),
        };
        for (_, mold) in self.molds.running() {
            if let Err(error) = mold.channel.send(&ToMold::ReopenAccessLog, &[lines.as_fd()]) {
                warn!(%error, "cannot send to the mold");
            }
        }
        let workers: Vec<_> = self.fleet.all().map(|(id, _)| id).collect();
        for id in workers {
            self.fleet.tell_with(id, &ToWorker::ReopenAccessLog, &[lines.as_fd()]);
        }
        match access::write_to(lines) {
            Ok(()) => info!(path = %path.display(), "access log reopened"),
            Err(error) => warn!(path = %path.display(), %error, "cannot reopen the access log"),
        }
    }
}
