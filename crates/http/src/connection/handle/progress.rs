//! The checks of a connection, some time after one another: whether its client moves, and whether it is idle.

use super::{ConnectionHandle, IdleChecks};
use crate::{
    connection::state::{ConnState, WaitsFor},
    h2::side::Side,
    limits::progress::Progress,
    request::body::BodyStatus,
};

impl ConnectionHandle {
    /// What the client was waited for too long.
    pub(crate) fn expired(&self) -> Option<WaitsFor> {
        self.expired.get()
    }

    /// Checks for progress, some time after the last check; see [`crate::limits::progress::ProgressChecks::record`].
    pub(crate) fn check_progress(&self, max_checks: impl Fn(WaitsFor) -> Option<u32>) {
        if let Some(http2) = self.http2.get() {
            http2.check_progress(&max_checks);
        }
        let expired = self.checks.record(self.progress(), max_checks);
        // No event tells a closing connection that the client's kernel has taken the rest.
        if self.state() == ConnState::Closing {
            self.wake();
        }
        if expired.is_some() {
            self.expired.set(expired);
            self.wake();
        }
    }

    fn progress(&self) -> Progress {
        let reading = self.body.status() == BodyStatus::Open { awaited: true };
        let mut waits_for = self.state().waits_for(reading, self.blocked.get());
        // The linger time begins when the client has everything.
        if waits_for == Some(WaitsFor::Linger) && self.has_unsent() {
            waits_for = Some(WaitsFor::ResponseRead);
        }
        if waits_for == Some(WaitsFor::Request) && self.undecided.get() && self.state() == ConnState::Parked {
            waits_for = Some(WaitsFor::RequestHead);
        }
        if let Some(progress) = self.http2().and_then(|http2| self.progress_of_streams(http2, waits_for)) {
            return progress;
        }
        // Heads and lingering are limited in all, bodies and responses from one piece to the next.
        let (moves, unsent_bytes) = match waits_for {
            Some(WaitsFor::RequestBody) => (u64::from(self.reads.get()), 0),
            // The socket becomes writable only when much of its buffer is free, and the buffer may be megabytes.
            Some(WaitsFor::ResponseRead) => (self.sent.get(), hostler_sys::stream::unsent(self.descriptor)),
            Some(WaitsFor::Request | WaitsFor::RequestHead | WaitsFor::Linger) | None => (0, 0),
        };
        Progress { waits_for, turns: self.turns.get(), moves, unsent_bytes }
    }

    /// What differs on an HTTP/2 connection. Streams that are open are checked one by one.
    fn progress_of_streams(&self, http2: &Side, waits_for: Option<WaitsFor>) -> Option<Progress> {
        let waits_for = match waits_for {
            // h2 has responses for which the client makes no room, and nothing can reset their streams.
            None | Some(WaitsFor::Request) if http2.has_left() => WaitsFor::ResponseRead,
            Some(WaitsFor::Request) if http2.is_frame_begun() => WaitsFor::RequestHead,
            _ => return None,
        };
        let moves = if waits_for == WaitsFor::ResponseRead { http2.written() } else { 0 };
        Some(Progress { waits_for: Some(waits_for), turns: 0, moves, unsent_bytes: 0 })
    }

    /// Checks whether the connection is idle, some time after the last check; wakes it to be parked after the second.
    pub(crate) fn check_idle(&self) {
        if let Some(http2) = self.http2() {
            http2.check_idle();
        }
        if !self.state().may_park() {
            return;
        }
        match self.idle.get() {
            IdleChecks::Zero => self.idle.set(IdleChecks::One),
            IdleChecks::One => {
                self.idle.set(IdleChecks::Two);
                self.wake();
            }
            IdleChecks::Two => {}
        }
    }

    /// Whether two checks in a row have found the connection idle.
    pub(crate) fn should_park(&self) -> bool {
        self.idle.get() == IdleChecks::Two && self.state().may_park()
    }
}
