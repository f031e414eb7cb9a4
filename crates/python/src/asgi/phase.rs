//! How far a response has come, and what an event of the application does to it.
//!
//! ```text
//! Open ──start──► Headed ──body, more──► Streaming ──body, last──► Complete
//!                    └──body, last; file──────────────────────────►┘
//! Streaming ──body, last──► Trailing ──trailers, last──► Complete     (if the start announced trailers)
//! any ──client gone, body cut──► Gone            (events sent then raise OSError)
//! ```
//! Pure: nothing here calls Python, waits or wakes.

use crate::response::{BodySender, Counted, Head, MAX_HEADERS, Stream, WrongLength};
use bytes::Bytes;
use hostler_http::FileBody;
use hyper::HeaderMap;
use std::rc::Rc;

/// How far a response has come.
pub(super) enum Phase {
    Open,
    Headed {
        head: Head,
        /// They follow the body.
        trailers: bool,
    },
    Streaming {
        sender: BodySender,
        trailers: bool,
        /// hyper has the whole response, and has dropped its body.
        delivered: bool,
    },
    /// The body is sent.
    Trailing {
        stream: Rc<Stream>,
        /// As far as they came.
        trailers: HeaderMap,
    },
    Complete,
    Gone,
}

/// What the application sends.
pub(super) enum Event {
    Start { head: Head, trailers: bool },
    Body { piece: Bytes, more: bool },
    File { pieces: FileBody, length: u64 },
    Trailers { fields: HeaderMap, more: bool },
    EarlyHint,
}

/// What is to be done about an event.
pub(super) enum Effect {
    Nothing,
    /// It comes at the wrong time. Its piece is to be dropped where Python code may run.
    Refuse(Misuse, Bytes),
    /// The response is complete; its body is left away if it is not `wanted`.
    Whole {
        head: Head,
        body: Bytes,
        wanted: bool,
    },
    /// The response is complete, with a file as its body, unless the client gets the head alone.
    File {
        head: Head,
        pieces: Option<FileBody>,
    },
    /// A piece of the body; with the first one the response begins.
    Piece {
        begin: Option<Head>,
        counted: Counted,
        piece: Bytes,
        then: Then,
    },
    /// Trailers complete the response.
    Trailers(Rc<Stream>, HeaderMap),
    EarlyHint,
}

/// What follows a piece of the body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    More,
    Trailers,
    End,
}

/// Why an event is refused.
pub(super) enum Misuse {
    Gone,
    StartedAgain,
    BodyBeforeStart,
    BodyAfterEnd,
    WrongLength(WrongLength),
    FileOutOfPlace,
    TrailersOutOfPlace,
    TooManyTrailers,
    HintAfterStart,
}

impl Phase {
    /// Nothing more is sent.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Complete | Self::Gone)
    }

    /// The body, while it is sent.
    pub(super) fn stream(&self) -> Option<Rc<Stream>> {
        match self {
            Self::Streaming { sender, .. } => Some(sender.stream()),
            Self::Trailing { stream, .. } => Some(Rc::clone(stream)),
            Self::Open | Self::Headed { .. } | Self::Complete | Self::Gone => None,
        }
    }

    /// The body, while more of it may follow.
    pub(super) fn streaming(&self) -> Option<&Stream> {
        match self {
            Self::Streaming { sender, .. } => Some(sender.its_stream()),
            Self::Open | Self::Headed { .. } | Self::Trailing { .. } | Self::Complete | Self::Gone => None,
        }
    }

    /// hyper has the whole response.
    pub(super) fn delivered(&mut self) {
        if let Self::Streaming { delivered, .. } = self {
            *delivered = true;
        }
    }

    /// Whether the application still sends what a client of HEAD does not get.
    pub(super) fn outlives_head(&self) -> bool {
        matches!(self, Self::Streaming { sender, delivered: true, .. } if sender.is_bodiless())
    }

    /// Takes an event: moves to the next phase, and says what is to be done. An event that is refused changes nothing.
    #[inline]
    #[must_use]
    pub(super) fn step(&mut self, event: Event, head_request: bool) -> Effect {
        match (&mut *self, event) {
            (Self::Open, Event::Start { head, trailers }) => {
                *self = Self::Headed { head, trailers };
                Effect::Nothing
            }
            (Self::Open, Event::EarlyHint) => Effect::EarlyHint,
            (Self::Headed { trailers: false, .. }, Event::Body { piece, more: false }) => {
                self.whole(piece, head_request)
            }
            (Self::Headed { .. }, Event::Body { piece, more }) => self.begin(piece, more, head_request),
            (Self::Headed { .. }, Event::File { pieces, length }) => self.file(pieces, length, head_request),
            (Self::Streaming { .. }, Event::Body { piece, more }) => self.continue_body(piece, more),
            (Self::Trailing { .. }, Event::Trailers { fields, more }) => self.trail(fields, more),
            (phase, event) => {
                let (misuse, piece) = misuse(phase, event);
                Effect::Refuse(misuse, piece)
            }
        }
    }

    #[inline]
    fn whole(&mut self, body: Bytes, head_request: bool) -> Effect {
        let Self::Headed { head, .. } = self else { return refused(Misuse::BodyBeforeStart) };
        let bodiless = head.is_bodiless(head_request);
        if let Err(wrong) = head.check_length(body.len() as u64, bodiless) {
            return Effect::Refuse(Misuse::WrongLength(wrong), body);
        }
        // To HEAD, the length is that of the body that GET would get (RFC 9110 §9.3.2).
        let wanted = !bodiless || head.length.is_none();
        let head = std::mem::take(head);
        *self = Self::Complete;
        Effect::Whole { head, body, wanted }
    }

    fn begin(&mut self, piece: Bytes, more: bool, head_request: bool) -> Effect {
        let Self::Headed { head, trailers } = self else { return refused(Misuse::BodyBeforeStart) };
        let mut sender = BodySender::new(head, head_request);
        let counted = match sender.count(piece.len(), !more) {
            Ok(counted) => counted,
            Err(wrong) => return Effect::Refuse(Misuse::WrongLength(wrong), piece),
        };
        let (head, trailers) = (std::mem::take(head), *trailers);
        *self = Self::Streaming { sender, trailers, delivered: false };
        let then = self.after_piece(more);
        Effect::Piece { begin: Some(head), counted, piece, then }
    }

    fn continue_body(&mut self, piece: Bytes, more: bool) -> Effect {
        let Self::Streaming { sender, .. } = self else { return refused(Misuse::BodyAfterEnd) };
        match sender.count(piece.len(), !more) {
            Ok(counted) => {
                let then = self.after_piece(more);
                Effect::Piece { begin: None, counted, piece, then }
            }
            Err(wrong) => Effect::Refuse(Misuse::WrongLength(wrong), piece),
        }
    }

    fn after_piece(&mut self, more: bool) -> Then {
        match self {
            Self::Streaming { .. } if more => Then::More,
            Self::Streaming { sender, trailers: true, .. } => {
                *self = Self::Trailing { stream: sender.stream(), trailers: HeaderMap::new() };
                Then::Trailers
            }
            _ => {
                *self = Self::Complete;
                Then::End
            }
        }
    }

    fn file(&mut self, pieces: FileBody, length: u64, head_request: bool) -> Effect {
        let Self::Headed { head, .. } = self else { return refused(Misuse::FileOutOfPlace) };
        if let Err(wrong) = head.check_length(length, false) {
            return refused(Misuse::WrongLength(wrong));
        }
        let mut head = std::mem::take(head);
        *self = Self::Complete;
        // To HEAD, too (RFC 9110 §9.3.2).
        head.set_length(length);
        head.in_place_of_file = head.is_bodiless(head_request);
        let pieces = (!head.in_place_of_file).then_some(pieces);
        Effect::File { head, pieces }
    }

    fn trail(&mut self, fields: HeaderMap, more: bool) -> Effect {
        let Self::Trailing { stream, trailers } = self else { return refused(Misuse::TrailersOutOfPlace) };
        if trailers.len() + fields.len() > MAX_HEADERS {
            return refused(Misuse::TooManyTrailers);
        }
        trailers.extend(fields);
        if more {
            return Effect::Nothing;
        }
        let (stream, trailers) = (Rc::clone(stream), std::mem::take(trailers));
        *self = Self::Complete;
        Effect::Trailers(stream, trailers)
    }
}

fn refused(misuse: Misuse) -> Effect {
    Effect::Refuse(misuse, Bytes::new())
}

/// Why an event that changes nothing is refused.
fn misuse(phase: &Phase, event: Event) -> (Misuse, Bytes) {
    let piece = match event {
        Event::Body { piece, .. } => {
            let misuse = match phase {
                Phase::Gone => Misuse::Gone,
                Phase::Open => Misuse::BodyBeforeStart,
                _ => Misuse::BodyAfterEnd,
            };
            return (misuse, piece);
        }
        Event::Start { .. } => Misuse::StartedAgain,
        Event::File { .. } => Misuse::FileOutOfPlace,
        Event::Trailers { .. } => Misuse::TrailersOutOfPlace,
        Event::EarlyHint => Misuse::HintAfterStart,
    };
    (if matches!(phase, Phase::Gone) { Misuse::Gone } else { piece }, Bytes::new())
}
