//! The body of a request, which tells its connection what becomes of it.
//!
//! A connection may only take its next request, rest or go to another worker when the body was read to its end or
//! given up. hyper knows, but tells nobody; so the body itself reports.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    error::Error as _,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicU8,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::{Context, Poll},
};

/// The body of a request: the frames of hyper's, and its errors.
///
/// It can be sent to other threads. Dropping it before its end gives the rest up: the connection ends after the answer,
/// unless the rest was at hand.
#[derive(Debug)]
pub struct RequestBody {
    // Dropped first: hyper is to know before the connection does.
    incoming: Incoming,
    reporter: Reporter,
}

impl RequestBody {
    /// Reports to `told`, unless there is no body.
    pub(crate) fn new(incoming: Incoming, told: &Arc<BodyReport>) -> Self {
        let held = !incoming.is_end_stream();
        told.0.store(if held { HELD } else { ENDED }, Relaxed);
        let reporter = held.then(|| Arc::clone(told));
        Self { incoming, reporter: Reporter(reporter) }
    }

    /// Whether there is one, whose end nobody has read.
    pub(crate) fn is_held(&self) -> bool {
        self.reporter.0.is_some()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.incoming).poll_frame(cx);
        match &polled {
            Poll::Pending => this.reporter.tell(WANTED),
            Poll::Ready(Some(Ok(_))) if !this.incoming.is_end_stream() => this.reporter.tell(HELD),
            Poll::Ready(None | Some(Ok(_))) => this.reporter.finish(ENDED),
            Poll::Ready(Some(Err(error))) => {
                this.reporter.finish(if is_malformed(error) { MALFORMED } else { GIVEN_UP });
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Whether the client broke the rules, rather than the connection.
fn is_malformed(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause
        .is_some_and(|cause| matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput))
}

/// What became of a connection's current body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFate {
    /// Somebody has it; whether they wait for the client.
    Held {
        /// They do.
        wanted: bool,
    },
    /// It was read to its end, or there is none.
    Ended,
    /// It was dropped before, or the connection broke.
    GivenUp,
    /// Its framing is wrong (RFC 9112 §7.1).
    Malformed,
}

const ENDED: u8 = 0;
const HELD: u8 = 1;
const WANTED: u8 = 2;
const GIVEN_UP: u8 = 3;
const MALFORMED: u8 = 4;

/// Where a body reports to: one for each connection, which reads one body after the other.
#[derive(Debug, Default)]
pub(crate) struct BodyReport(AtomicU8);

impl BodyReport {
    pub(crate) fn fate(&self) -> BodyFate {
        match self.0.load(Acquire) {
            HELD => BodyFate::Held { wanted: false },
            WANTED => BodyFate::Held { wanted: true },
            GIVEN_UP => BodyFate::GivenUp,
            MALFORMED => BodyFate::Malformed,
            _ => BodyFate::Ended,
        }
    }
}

/// A body's way to its connection, until it has told its end.
#[derive(Debug)]
struct Reporter(Option<Arc<BodyReport>>);

impl Reporter {
    fn tell(&self, state: u8) {
        if let Some(report) = &self.0 {
            report.0.store(state, Relaxed);
        }
    }

    fn finish(&mut self, state: u8) {
        if let Some(report) = self.0.take() {
            report.0.store(state, Release);
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.finish(GIVEN_UP);
    }
}
