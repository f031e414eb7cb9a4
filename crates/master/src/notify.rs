//! Notifications to systemd (sd_notify(3)); disabled without NOTIFY_SOCKET.
//!
//! A service manager that does not read is not waited for: what it must know is sent again later, the rest is dropped.

use sd_notify::NotifyState;
use std::{
    collections::VecDeque,
    ffi::OsString,
    fmt::Write as _,
    io::ErrorKind,
    time::{Duration, Instant},
};
use tracing::debug;

/// How often to try again.
const RETRY: Duration = Duration::from_secs(1);
/// How often a service manager is asked for more time, and for how much: one request may be late.
const EXTENSION: Duration = Duration::from_secs(10);
const EXTENDED_BY: Duration = Duration::from_secs(30);
/// More than this has not happened since the service manager read last, or it will not read any more.
const MAX_UNSENT: usize = 64;

/// The line to the service manager.
pub(crate) struct Notifier {
    socket: Option<OsString>,
    /// What it has not taken yet, the oldest first.
    unsent: VecDeque<String>,
    /// How often the service manager wants a sign of life.
    watchdog: Option<Duration>,
    signed: Instant,
    /// When more time was asked for, to start or to stop.
    extended: Option<Instant>,
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
            socket: std::env::var_os("NOTIFY_SOCKET"),
            unsent: VecDeque::new(),
            watchdog,
            signed: Instant::now(),
            extended: None,
            state: if replaces { State::Elsewhere } else { State::Starting },
            status: String::new(),
        }
    }

    /// When the next sign of life is due, or something is to be sent again.
    pub(crate) fn next(&self) -> Option<Instant> {
        let retry = (!self.unsent.is_empty()).then(|| Instant::now() + RETRY);
        self.next_sign().into_iter().chain(self.next_extension()).chain(retry).min()
    }

    fn next_extension(&self) -> Option<Instant> {
        let waits = matches!(self.state, State::Starting | State::Stopping) && self.socket.is_some();
        waits.then(|| self.extended.map_or_else(Instant::now, |asked| asked + EXTENSION))
    }

    /// Asks for more time while a start or a stop is under way: `--boot-timeout` and `--graceful-timeout` bound them.
    pub(crate) fn extend(&mut self, serving: usize, slots: usize) {
        if self.next_extension().is_none_or(|due| Instant::now() < due) {
            return;
        }
        self.extended = Some(Instant::now());
        let doing = if self.state == State::Starting { "starting" } else { "stopping" };
        let status = format!("{doing}: {serving} of {slots} workers serve");
        let micros = u32::try_from(EXTENDED_BY.as_micros()).unwrap_or(u32::MAX);
        self.mention(&[NotifyState::ExtendTimeoutUsec(micros), NotifyState::Status(&status)]);
    }

    fn next_sign(&self) -> Option<Instant> {
        (self.state == State::Serving)
            .then_some(self.watchdog)
            .flatten()
            .map(|interval| self.signed + interval)
    }

    fn ready(&mut self, serving: usize, slots: usize) {
        self.state = State::Serving;
        let status = format!("{serving} of {slots} workers serve");
        self.tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
        self.status = status;
    }

    /// Sends READY at the first call, then changes, and the watchdog's keep-alive while workers serve.
    pub(crate) fn alive(&mut self, serving: usize, slots: usize, requests: u64) {
        if self.socket.is_none() {
            return;
        }
        if self.state == State::Starting {
            self.ready(serving, slots);
        }
        let status = format!("{serving} of {slots} workers serve");
        if status != self.status {
            self.mention(&[NotifyState::Status(&status)]);
            self.status = status;
        }
        let due = self.next_sign().is_some_and(|due| Instant::now() >= due);
        if due && serving > 0 {
            self.signed = Instant::now();
            let status = format!("{}, {requests} requests", self.status);
            self.mention(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
        } else if due {
            // No worker serves: the keep-alive is left out.
            self.signed = Instant::now();
        }
    }

    /// A reload began.
    pub(crate) fn reloading(&mut self) {
        if self.state == State::Serving
            && let Ok(since) = NotifyState::monotonic_usec_now()
        {
            self.tell(&[NotifyState::Reloading, since]);
        }
    }

    /// A reload ended, one way or the other.
    pub(crate) fn reload_ended(&mut self, serving: usize, slots: usize) {
        if self.state == State::Serving {
            self.ready(serving, slots);
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

    /// This process is the service again; READY is sent anew.
    pub(crate) fn take_back(&mut self) {
        self.state = State::Starting;
        self.tell(&[NotifyState::MainPid(std::process::id())]);
    }

    /// Sends what it has not taken yet; to be called now and then.
    pub(crate) fn send_unsent(&mut self) {
        let Some(socket) = &self.socket else { return };
        while let Some(text) = self.unsent.front() {
            match hostler_sys::socket::send_datagram(socket, text.as_bytes()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => debug!(%error, "cannot notify the service manager"),
                Ok(()) => {}
            }
            self.unsent.pop_front();
        }
    }

    /// Says what must arrive.
    fn tell(&mut self, states: &[NotifyState<'_>]) {
        if self.unsent.len() == MAX_UNSENT {
            self.unsent.pop_front();
        }
        if self.socket.is_some() {
            self.unsent.push_back(text(states));
        }
        self.send_unsent();
    }

    /// Says what is news now and old later.
    fn mention(&mut self, states: &[NotifyState<'_>]) {
        self.send_unsent();
        if self.unsent.is_empty() {
            self.tell(states);
        }
    }
}

fn text(states: &[NotifyState<'_>]) -> String {
    let mut text = String::new();
    for state in states {
        let _ = writeln!(text, "{state}");
    }
    text
}
