//! The body of a request, which reports to its connection what becomes of it.
//!
//! A connection may read its next request, be parked or handed over only when the body was read to its end or dropped.
//! hyper knows that, but does not say; so the body reports it.

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
    task::{Context, Poll, ready},
};

/// The body of a request: hyper's frames and errors, whichever version of HTTP it came by.
///
/// It can be sent to other threads. Dropping it before its end discards the rest: the connection ends after the
/// response, unless the rest had arrived already.
#[derive(Debug)]
pub struct RequestBody {
    // Dropped first: hyper has to know before the connection does.
    incoming: Incoming,
    reporter: Reporter,
}

impl RequestBody {
    /// Reports to `report`, unless there is no body.
    pub(crate) fn new(incoming: Incoming, report: &Arc<BodyReport>) -> Self {
        let is_open = !incoming.is_end_stream();
        report.0.store(if is_open { OPEN } else { ENDED }, Relaxed);
        let reporter = is_open.then(|| Arc::clone(report));
        Self { incoming, reporter: Reporter(reporter) }
    }

    /// Whether there is a body whose end was not read.
    pub(crate) fn is_open(&self) -> bool {
        self.reporter.0.is_some()
    }

    /// The next piece, `None` at the end. Trailers are skipped: Python's interfaces have no place for them.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        while !self.is_end_stream() {
            match ready!(Pin::new(&mut *self).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Poll::Ready(Some(Ok(piece)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => break,
            }
        }
        Poll::Ready(None)
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
            Poll::Pending => this.reporter.set(AWAITED),
            Poll::Ready(Some(Ok(_))) if !this.incoming.is_end_stream() => this.reporter.set(OPEN),
            Poll::Ready(None | Some(Ok(_))) => this.reporter.finish(ENDED),
            Poll::Ready(Some(Err(error))) => {
                this.reporter.finish(if is_malformed(error) { MALFORMED } else { ABANDONED });
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

/// Whether the body is malformed, rather than the connection broken.
fn is_malformed(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause
        .is_some_and(|cause| matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput))
}

/// What became of the current body of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyStatus {
    /// The application has it.
    Open {
        /// It waits for the client to send more.
        awaited: bool,
    },
    /// It was read to its end, or there is none.
    Ended,
    /// It was dropped before its end, or the connection broke.
    Abandoned,
    /// Its framing is malformed (RFC 9112 §7.1).
    Malformed,
}

const ENDED: u8 = 0;
const OPEN: u8 = 1;
const AWAITED: u8 = 2;
const ABANDONED: u8 = 3;
const MALFORMED: u8 = 4;

/// The status of the current body; one for each connection, which reads one body after the other.
#[derive(Debug, Default)]
pub(crate) struct BodyReport(AtomicU8);

impl BodyReport {
    pub(crate) fn status(&self) -> BodyStatus {
        match self.0.load(Acquire) {
            OPEN => BodyStatus::Open { awaited: false },
            AWAITED => BodyStatus::Open { awaited: true },
            ABANDONED => BodyStatus::Abandoned,
            MALFORMED => BodyStatus::Malformed,
            _ => BodyStatus::Ended,
        }
    }
}

/// A body's report, until it has ended.
#[derive(Debug)]
struct Reporter(Option<Arc<BodyReport>>);

impl Reporter {
    fn set(&self, state: u8) {
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
        self.finish(ABANDONED);
    }
}
