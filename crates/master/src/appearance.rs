//! What a reload, or `hostler ctl log-level`, changes of processes that run: how they log, and the titles of master and observer.
//!
//! A generation on its way logs like the server does. When it is proven, all processes change in the same turn, those that
//! still drain as well, so that the log never has lines of two formats.

use crate::{programs::Running, run::Master};
use hostler_settings::Log;
use hostler_sys::{logging, title};
use hostler_wire::{Appearance, ToCompanion, ToMold, ToProgram, ToWorker, WorkerSettings};
use std::os::fd::BorrowedFd;
use tracing::{debug, warn};

impl Master {
    /// How lines look now: as the generation says that serves, but for a level that `hostler ctl log-level` has set.
    pub(crate) fn log_now(&self) -> Log {
        let mut log = self.plan.spec.settings.options.log.clone();
        log.level = self.control.level.unwrap_or(log.level);
        log
    }

    /// How the observer appears now.
    pub(crate) fn appearance(&self) -> Appearance {
        let settings = &self.plan.spec.settings;
        Appearance {
            process_name: settings.options.process.name.clone(),
            title: settings.title().to_owned(),
            log: self.log_now(),
        }
    }

    /// Another generation serves: its settings count from now on. A level that was set lasts unless the configured one has changed.
    pub(crate) fn appear_otherwise(&mut self, before: &WorkerSettings) {
        let now = &self.plan.spec.settings;
        let (name, log) = (&now.options.process.name, &now.options.log);
        let renamed = *name != before.options.process.name || now.title() != before.title();
        let logs_otherwise = *log != before.options.log;
        if log.level != before.options.log.level {
            self.control.level = None;
        }
        if renamed {
            title::set(name.as_deref(), title::Role::Master, now.title());
        }
        if logs_otherwise {
            self.log_as_now();
        }
        if renamed || logs_otherwise {
            self.tell_programs();
        }
    }

    /// All processes log as [`Master::log_now`] says.
    pub(crate) fn log_as_now(&self) {
        let log = Box::new(self.log_now());
        logging::follow(&log);
        for (_, mold) in self.molds.running() {
            if let Err(error) = mold.channel.send(&ToMold::Log(log.clone()), &[]) {
                warn!(%error, "cannot send to the mold");
            }
        }
        for (id, _) in self.fleet.all() {
            self.fleet.tell(id, &ToWorker::Log(log.clone()));
        }
    }

    /// Sends a message to the observer and the keeper of the task queue.
    pub(crate) fn send_to_programs(&self, message: &ToProgram, descriptors: &[BorrowedFd<'_>]) {
        for Running { name, channel, .. } in self.programs.values() {
            if let Some(Err(error)) = channel.as_ref().map(|channel| channel.send(message, descriptors)) {
                debug!(companion = name, %error, "cannot send to a program of the server");
            }
        }
    }

    /// Tells the observer and the keeper of the task queue how they are to appear. One that is dead is reaped in its time.
    pub(crate) fn tell_programs(&self) {
        self.send_to_programs(&ToProgram::Appear(Box::new(self.appearance())), &[]);
        self.tell_companions(&ToCompanion::Appear(Box::new(self.appearance())));
    }
}
