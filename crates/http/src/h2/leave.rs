//! The end of a connection whose client may open more streams: when it is told to open none (GOAWAY, RFC 9113 §6.8).
//!
//! A server may say so at any time, and in two steps: first that no stream is refused yet, later which was the last. But
//! Python's package `h2`, and with it httpx, gives up all open streams at the first GOAWAY, and the next one too unless it is
//! beyond the last stream that the GOAWAY names. So the client is told when no stream is open, with the last stream that was
//! served: what it opens then it may send again, without being asked. That moment is behind a response, if it opens one stream
//! at a time, else after some silence, so that hardly any stream is on its way. A client that leaves no such moment is told by hyper
//! in two steps, whatever is open.

use super::{connection::Http2Conn, side::Side};
use crate::{App, io::transport::Transport};
use hyper::rt::{Read, Write};
use std::time::{Duration, Instant};

/// How long a client has been silent before it is told.
const SILENCE: Duration = Duration::from_millis(25);
/// For how long the connection is not told although streams are opened, and for how long a client is waited for that
/// does not confirm that it opens no more.
const LIMIT: Duration = Duration::from_secs(2);

/// How far a connection is on its way to its end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Leaving {
    #[default]
    No,
    /// It is to end, since the client had opened this stream; it was not told.
    Wanted { since: Instant, last_stream: u32, rest: Rest },
    /// It was told by hyper, which also asks it to confirm that it opens no more.
    Asked { since: Instant, was_busy: bool },
}

impl Leaving {
    /// Whether the client was told, and had no open streams then: it has read what it was sent.
    pub(super) fn was_idle(self) -> bool {
        matches!(self, Self::Asked { was_busy: false, .. })
    }
}

/// What was seen of a connection that is to end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rest {
    /// A stream was open.
    Busy,
    /// None was, and the client has opened none after this one.
    Since(Instant, u32),
}

/// What is to be done with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing until it is woken.
    Wait,
    /// It is to be polled again.
    Poll,
    /// It is over: the client is told of the last stream that was served.
    Close,
}

impl<S: Read + Write + Transport + Unpin + 'static, A: App<Body: Unpin>> Http2Conn<S, A> {
    /// Ends the connection step by step, if that is `wanted` or has begun. Called after each poll.
    #[inline]
    pub(super) fn leave(&mut self, wanted: bool) -> Step {
        match self.leaving {
            Leaving::No if !wanted => Step::Wait,
            _ => self.go_on_leaving(Instant::now()),
        }
    }

    #[cold]
    fn go_on_leaving(&mut self, now: Instant) -> Step {
        match self.leaving {
            Leaving::No => {
                let (last_stream, rest) = (self.last_stream(), self.rest(now));
                self.leaving = Leaving::Wanted { since: now, last_stream, rest };
                self.streams.handle.wake_at(now + LIMIT);
                Step::Wait
            }
            Leaving::Wanted { since, last_stream, rest } => {
                let opens_more = self.last_stream() != last_stream || self.is_frame_begun();
                if now - since >= LIMIT && opens_more {
                    return self.ask(now);
                }
                match (rest, self.rests()) {
                    (Rest::Since(then, stream), true) if stream == self.last_stream() => {
                        return if now - then >= SILENCE { Step::Close } else { Step::Wait };
                    }
                    // The response was sent just now.
                    (_, true) if !self.streams.have_overlapped() => return Step::Close,
                    _ => self.leaving = Leaving::Wanted { since, last_stream, rest: self.rest(now) },
                }
                Step::Wait
            }
            Leaving::Asked { since, .. } if self.is_idle() && now - since >= LIMIT => Step::Close,
            Leaving::Asked { .. } => Step::Wait,
        }
    }

    /// Whether a stream is open; if not, the client is looked at again when it was silent for long enough.
    fn rest(&self, now: Instant) -> Rest {
        if !self.rests() {
            return Rest::Busy;
        }
        self.streams.handle.wake_at(now + SILENCE);
        Rest::Since(now, self.last_stream())
    }

    /// Has hyper tell the client, in two steps: streams on their way are still served.
    fn ask(&mut self, now: Instant) -> Step {
        self.leaving = Leaving::Asked { since: now, was_busy: !self.is_idle() };
        self.shut_down();
        self.streams.handle.wake_at(now + LIMIT);
        Step::Poll
    }

    /// No stream is open or begun, and the kernel has every response.
    fn rests(&self) -> bool {
        self.is_idle() && !self.is_frame_begun()
    }

    fn last_stream(&self) -> u32 {
        self.streams.handle.http2().map_or(0, Side::last_stream)
    }

    fn is_frame_begun(&self) -> bool {
        self.streams.handle.http2().is_some_and(Side::is_frame_begun)
    }
}
