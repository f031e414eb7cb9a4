//! The body of a request, which reports to its connection what becomes of it.
//!
//! A connection may read its next request, be parked or handed over only when the body was read to its end or dropped.
//! hyper knows that, but does not say; so the body reports it.

use super::trailers;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    error::Error,
    fmt, io,
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
    /// How many more bytes it may have; HTTP/1 is limited as it arrives.
    room: u64,
}

/// Why a request's body cannot be read to its end.
#[derive(Debug)]
pub enum BodyError {
    /// The client has left, or what it sent is malformed.
    Broken(hyper::Error),
    /// It is larger than `--limit-request-body` allows.
    TooLarge,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => error.fmt(f),
            Self::TooLarge => f.write_str("the request's body is larger than --limit-request-body"),
        }
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Broken(error) => error.source(),
            Self::TooLarge => None,
        }
    }
}

impl RequestBody {
    /// Reports to `report`, unless there is no body.
    pub(crate) fn new(incoming: Incoming, report: &Arc<BodyReport>) -> Self {
        let is_open = !incoming.is_end_stream();
        report.0.store(if is_open { OPEN } else { ENDED }, Relaxed);
        let report = is_open.then(|| Arc::clone(report));
        Self { incoming, reporter: Reporter { report, pieces: 0 }, room: u64::MAX }
    }

    /// With a report of its own, unless there is no body, and of at most so many bytes.
    pub(crate) fn limited(incoming: Incoming, room: u64) -> (Self, Option<Arc<BodyReport>>) {
        let report = (!incoming.is_end_stream()).then(|| Arc::new(BodyReport(AtomicU8::new(OPEN))));
        (Self { incoming, reporter: Reporter { report: report.clone(), pieces: 0 }, room }, report)
    }

    /// Whether there is a body whose end was not read.
    pub(crate) fn is_open(&self) -> bool {
        self.reporter.report.is_some()
    }

    /// What becomes of it, unless there is none.
    pub(crate) fn report(&self) -> Option<Arc<BodyReport>> {
        self.reporter.report.clone()
    }

    /// The next piece, `None` at the end. Trailers are skipped: Python's interfaces have no place for them.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
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
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let mut polled = Pin::new(&mut this.incoming).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled {
            if let Some(trailers) = frame.trailers_mut() {
                trailers::filter(trailers);
            }
            let taken = frame.data_ref().map_or(0, |piece| piece.len() as u64);
            let Some(room) = this.room.checked_sub(taken) else {
                this.reporter.finish(TOO_LARGE);
                return Poll::Ready(Some(Err(BodyError::TooLarge)));
            };
            this.room = room;
        }
        match &polled {
            Poll::Pending => this.reporter.set(AWAITED),
            Poll::Ready(Some(Ok(_))) if !this.incoming.is_end_stream() => this.reporter.arrived(),
            Poll::Ready(None | Some(Ok(_))) => this.reporter.finish(ENDED),
            Poll::Ready(Some(Err(error))) => {
                this.reporter.finish(if is_malformed(error) { MALFORMED } else { ABANDONED });
            }
        }
        polled.map_err(BodyError::Broken)
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
    /// It is refused: its framing is malformed (RFC 9112 §7.1), or it is too large.
    Malformed,
}

const ENDED: u8 = 0;
const OPEN: u8 = 1;
const AWAITED: u8 = 2;
const ABANDONED: u8 = 3;
const MALFORMED: u8 = 4;
const TOO_LARGE: u8 = 5;
/// Above the status: a count of pieces.
const STATUS: u8 = 7;
const ONE_PIECE: u8 = 8;

/// The status of the current body; one for each connection, which reads one body after the other.
#[derive(Debug, Default)]
pub(crate) struct BodyReport(AtomicU8);

impl BodyReport {
    pub(crate) fn status(&self) -> BodyStatus {
        match self.0.load(Acquire) & STATUS {
            OPEN => BodyStatus::Open { awaited: false },
            AWAITED => BodyStatus::Open { awaited: true },
            ABANDONED => BodyStatus::Abandoned,
            MALFORMED | TOO_LARGE => BodyStatus::Malformed,
            _ => BodyStatus::Ended,
        }
    }

    /// Whether more of it was read than it may have.
    pub(crate) fn is_too_large(&self) -> bool {
        self.0.load(Acquire) & STATUS == TOO_LARGE
    }

    /// Changes with every piece that has arrived, while the body is open.
    pub(crate) fn pieces(&self) -> u32 {
        u32::from(self.0.load(Relaxed) / ONE_PIECE)
    }
}

/// A body's report, until it has ended.
#[derive(Debug)]
struct Reporter {
    report: Option<Arc<BodyReport>>,
    /// How many have arrived, counted by [`ONE_PIECE`].
    pieces: u8,
}

impl Reporter {
    fn set(&self, state: u8) {
        if let Some(report) = &self.report {
            report.0.store(state | self.pieces, Relaxed);
        }
    }

    fn arrived(&mut self) {
        self.pieces = self.pieces.wrapping_add(ONE_PIECE);
        self.set(OPEN);
    }

    fn finish(&mut self, state: u8) {
        if let Some(report) = self.report.take() {
            report.0.store(state, Release);
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.finish(ABANDONED);
    }
}
