//! Pings, and how long a client may be silent.
//!
//! A client that does not answer a ping is disconnected. Time in which nothing is read, because the session has no room
//! for messages, does not count, since the pong may be unread; neither does time in which the client reads, however
//! slowly. One that reads nothing is disconnected after the same time as one that sends nothing.

use hostler_settings::WebSocket;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a client may take to reply to our close (RFC 6455 §7.1.1 leaves that to us).
pub(super) const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// What is due.
pub(super) enum Due {
    /// A ping is to be sent.
    Ping,
    /// The client did not reply to a ping, or to our close.
    Silent,
}

pub(super) struct Keepalive {
    /// When the next ping is sent, or its pong or the reply to our close is overdue.
    timer: Pin<Box<Sleep>>,
    ping_interval: Duration,
    ping_timeout: Duration,
    waits_for_pong: bool,
    /// Nothing is read, because there is no room for it: a pong may be behind that.
    read_paused: bool,
    /// Since when the client has taken nothing of what is to be sent.
    stalled: Option<Instant>,
    /// Nothing follows what is to be sent.
    ending: bool,
}

impl Keepalive {
    pub(super) fn new(settings: &WebSocket) -> Self {
        Self {
            timer: Box::pin(sleep_until(Instant::now() + settings.ping_interval)),
            ping_interval: settings.ping_interval,
            ping_timeout: settings.ping_timeout,
            waits_for_pong: false,
            read_paused: false,
            stalled: None,
            ending: false,
        }
    }

    /// The last frame is on its way: the client has five seconds from the last bytes that it took.
    pub(super) fn on_closing(&mut self) {
        self.ending = true;
        self.wait(CLOSE_LIMIT);
    }

    /// The client has taken all.
    pub(super) fn on_flushed(&mut self) {
        if self.stalled.take().is_some() && !self.ending {
            self.wait(if self.waits_for_pong { self.ping_timeout } else { self.ping_interval });
        }
    }

    /// The client takes no more now; whether it took something.
    pub(super) fn on_write_blocked(&mut self, progress: bool) {
        if progress && self.ending {
            self.wait(CLOSE_LIMIT);
        }
        if progress || self.stalled.is_none() {
            self.stalled = Some(Instant::now());
        }
    }

    /// There is room for what the client sends.
    pub(super) fn on_reading(&mut self) {
        if std::mem::take(&mut self.read_paused) && self.waits_for_pong && !self.ending {
            self.wait(self.ping_timeout);
        }
    }

    /// There is no room for what the client sends.
    pub(super) fn on_read_paused(&mut self) {
        self.read_paused = true;
    }

    /// The client sent something.
    pub(super) fn on_received(&mut self) {
        if std::mem::take(&mut self.waits_for_pong) && !self.ending {
            self.wait(self.ping_interval);
        }
    }

    /// Ready when something is due; the task is woken again after that.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        ready!(self.timer.as_mut().poll(cx));
        if self.ending {
            return Poll::Ready(Due::Silent);
        }
        // Polled again, to write the ping and to wait for the new time.
        cx.waker().wake_by_ref();
        if let Some(since) = self.stalled {
            let due = since + self.ping_interval + self.ping_timeout;
            if due <= Instant::now() {
                return Poll::Ready(Due::Silent);
            }
            self.timer.as_mut().reset(due);
            return Poll::Pending;
        }
        if self.waits_for_pong && !self.read_paused {
            return Poll::Ready(Due::Silent);
        }
        self.waits_for_pong = true;
        self.wait(if self.read_paused { self.ping_interval } else { self.ping_timeout });
        Poll::Ready(Due::Ping)
    }

    fn wait(&mut self, limit: Duration) {
        self.timer.as_mut().reset(Instant::now() + limit);
    }
}
