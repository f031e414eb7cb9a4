//! What others learn of the server: the service manager by notifications, administrators by the pid file.

use crate::notify::Notifier;
use hostler_arbiter::Arbiter;
use hostler_sys::{own_file::OwnFile, pid_file};
use hostler_wire::GroupId;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use tracing::{info, warn};

/// How often to try to write the pid file.
const RETRY: Duration = Duration::from_secs(1);

/// Reports the server's state to others.
pub(crate) struct Announcer {
    notifier: Notifier,
    pid_file: Option<PathBuf>,
    /// When to try again to write it.
    retry_at: Option<Instant>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not all slots have been filled since this server is the service.
    Starting,
    /// They have, and that was announced.
    Serving,
}

/// How many HTTP workers serve, and how many there are to be. Those that a reload replaces serve on for a while; they count
/// only where their successors do not serve yet.
fn workers(arbiter: &Arbiter) -> (usize, usize) {
    let slots = usize::from(arbiter.slots(GroupId::HTTP));
    (arbiter.serving(GroupId::HTTP).min(slots), slots)
}

impl Announcer {
    /// `replaces`: another server is the service until this one takes over.
    pub(crate) fn new(replaces: bool, pid_file: Option<PathBuf>) -> Self {
        Self { notifier: Notifier::new(replaces), pid_file, retry_at: None, state: State::Starting }
    }

    /// Announces what has changed. Whether that is that the server serves, for the first time since it is the service.
    /// A pid file that is written is added to `owned_files`.
    pub(crate) fn update(
        &mut self,
        arbiter: &Arbiter,
        requests: u64,
        owned_files: &mut Vec<OwnFile>,
    ) -> bool {
        self.notifier.send_unsent();
        if arbiter.is_stopping() {
            self.retry_at = None;
            self.notifier.stopping();
            let (serving, slots) = workers(arbiter);
            self.notifier.extend(serving, slots);
            return false;
        }
        if self.retry_at.is_some_and(|due| Instant::now() >= due) {
            self.write_pid_file(owned_files);
        }
        let begins = self.state == State::Starting && arbiter.is_complete();
        if begins {
            self.state = State::Serving;
            self.write_pid_file(owned_files);
            self.notifier.take_over();
        }
        let (serving, slots) = workers(arbiter);
        match self.state {
            State::Starting => self.notifier.extend(serving, slots),
            State::Serving => self.notifier.alive(serving, slots, requests),
        }
        begins
    }

    /// When there is something to announce, if nothing else happens.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.notifier.next().into_iter().chain(self.retry_at).min()
    }

    /// A reload began.
    pub(crate) fn reloading(&mut self) {
        self.notifier.reloading();
    }

    /// A reload ended, one way or the other.
    pub(crate) fn reload_ended(&mut self, arbiter: &Arbiter) {
        let (serving, slots) = workers(arbiter);
        self.notifier.reload_ended(serving, slots);
    }

    /// Another process is the service from now on.
    pub(crate) fn main_process(&mut self, pid: i32) {
        self.notifier.main_process(pid);
    }

    /// This server is the service again; that it serves is announced anew.
    pub(crate) fn take_back(&mut self) {
        self.notifier.take_back();
        self.state = State::Starting;
    }

    fn write_pid_file(&mut self, owned_files: &mut Vec<OwnFile>) {
        let Some(path) = &self.pid_file else { return };
        let again = self.retry_at.take().is_some();
        match pid_file::write(path) {
            Ok(made) => {
                // One from before this server was replaced for a while is gone.
                owned_files.retain(|file| file.path() != path);
                owned_files.push(made);
                if again {
                    info!(path = %path.display(), "pid file written");
                }
            }
            Err(error) => {
                self.retry_at = Some(Instant::now() + RETRY);
                if !again {
                    warn!(path = %path.display(), %error, "cannot write the pid file: retrying");
                }
            }
        }
    }
}
