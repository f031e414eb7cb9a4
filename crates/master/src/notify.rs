//! What systemd wants to know (sd_notify(3)); without NOTIFY_SOCKET nobody is told.

use sd_notify::NotifyState;
use std::time::{Duration, Instant};
use tracing::debug;

/// The line to the service manager.
pub(crate) struct Notifier {
    enabled: bool,
    /// How often the service manager wants a sign of life.
    watchdog: Option<Duration>,
    signed: Instant,
    state: State,
    status: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Serving,
    Stopping,
    /// Another process is the service.
    Elsewhere,
}

impl Notifier {
    /// `replaces`: another process is the service until this one takes over, and a start that fails is no end of it.
    pub(crate) fn new(replaces: bool) -> Self {
        // Half of what it asks for, so that one sign may be late.
        let watchdog = sd_notify::watchdog_enabled().map(|limit| limit / 2);
        Self {
            enabled: std::env::var_os("NOTIFY_SOCKET").is_some(),
            watchdog,
            signed: Instant::now(),
            state: if replaces { State::Elsewhere } else { State::Starting },
            status: String::new(),
        }
    }

    /// When the next sign of life is due.
    pub(crate) fn next_sign(&self) -> Option<Instant> {
        (self.state == State::Serving)
            .then_some(self.watchdog)
            .flatten()
            .map(|interval| self.signed + interval)
    }

    fn ready(&mut self, serving: usize, seats: usize) {
        self.state = State::Serving;
        self.status = format!("{serving} of {seats} workers serve");
        self.tell(&[NotifyState::Ready, NotifyState::Status(&self.status)]);
    }

    /// Says READY at the first call, then what changed, then that the server lives: only while somebody serves.
    pub(crate) fn alive(&mut self, serving: usize, seats: usize, requests: u64) {
        if !self.enabled {
            return;
        }
        if self.state == State::Starting {
            self.ready(serving, seats);
        }
        let status = format!("{serving} of {seats} workers serve");
        if status != self.status {
            self.tell(&[NotifyState::Status(&status)]);
            self.status = status;
        }
        let due = self.next_sign().is_some_and(|due| Instant::now() >= due);
        if due && serving > 0 {
            self.signed = Instant::now();
            let status = format!("{}, {requests} requests", self.status);
            self.tell(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
        } else if due {
            // Nobody serves: the service manager may draw its conclusions.
            self.signed = Instant::now();
        }
    }

    /// A reload began.
    pub(crate) fn reloading(&self) {
        if self.state == State::Serving
            && let Some(since) = NotifyState::monotonic_usec_now().ok().filter(|_| self.enabled)
        {
            self.tell(&[NotifyState::Reloading, since]);
        }
    }

    /// A reload ended, one way or the other.
    pub(crate) fn reload_ended(&mut self, serving: usize, seats: usize) {
        if self.state == State::Serving {
            self.ready(serving, seats);
        }
    }

    /// This process takes over from another one.
    pub(crate) fn take_over(&mut self) {
        if self.state == State::Elsewhere {
            self.state = State::Starting;
        }
    }

    /// The server stops.
    pub(crate) fn stopping(&mut self) {
        if !matches!(self.state, State::Stopping | State::Elsewhere) {
            self.state = State::Stopping;
            self.tell(&[NotifyState::Stopping]);
        }
    }

    /// Another process is the service from now on: what this one does is not the service's state any more.
    pub(crate) fn main_process(&mut self, pid: i32) {
        self.state = State::Elsewhere;
        self.tell(&[NotifyState::MainPid(pid.cast_unsigned())]);
    }

    /// This process is the service again; it is ready when it says so.
    pub(crate) fn take_back(&mut self) {
        self.state = State::Starting;
        self.tell(&[NotifyState::MainPid(std::process::id())]);
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if self.enabled
            && let Err(error) = sd_notify::notify(states)
        {
            debug!(%error, "the service manager does not listen");
        }
    }
}
