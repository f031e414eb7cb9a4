//! How far a response has come, and what an event of the application does to it.
//!
//! ```text
//! Open ──start──► Headed ──body, more──► Streaming ──body, last──► Complete
//!                    └──body, last; file──────────────────────────►┘
//! Streaming ──body, last──► Trailing ──trailers, last──► Complete     (if the start announced trailers)
//! any ──client gone, body cut──► Gone            (events sent then raise OSError)
//! ```
//! Pure: nothing here calls Python, waits or wakes.

use crate::response::{BodySender, Counted, FilePieces, Head, MAX_HEADERS, Stream, WrongLength};
use bytes::Bytes;
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
    File { pieces: FilePieces, length: u64 },
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
        pieces: Option<FilePieces>,
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

    /// Takes an event: the next phase, and what is to be done.
    #[inline]
    #[must_use]
    pub(super) fn step(self, event: Event, head_request: bool) -> (Self, Effect) {
        match (self, event) {
            (Self::Open, Event::Start { head, trailers }) => {
                (Self::Headed { head, trailers }, Effect::Nothing)
            }
            (Self::Open, Event::EarlyHint) => (Self::Open, Effect::EarlyHint),
            (Self::Headed { head, trailers: false }, Event::Body { piece, more: false }) => {
                whole(head, piece, head_request)
            }
            (Self::Headed { head, trailers }, Event::Body { piece, more }) => {
                begin(head, trailers, piece, more, head_request)
            }
            (Self::Headed { head, trailers }, Event::File { pieces, length }) => {
                file(head, trailers, pieces, length, head_request)
            }
            (Self::Streaming { sender, trailers, delivered }, Event::Body { piece, more }) => {
                go_on(sender, trailers, delivered, piece, more)
            }
            (Self::Trailing { stream, trailers }, Event::Trailers { fields, more }) => {
                trail(stream, trailers, fields, more)
            }
            (phase, event) => {
                let (misuse, piece) = misuse(&phase, event);
                (phase, Effect::Refuse(misuse, piece))
            }
        }
    }
}

#[inline]
fn whole(head: Head, body: Bytes, head_request: bool) -> (Phase, Effect) {
    let bodiless = head.is_bodiless(head_request);
    if let Err(wrong) = head.check_length(body.len() as u64, bodiless) {
        return (Phase::Headed { head, trailers: false }, Effect::Refuse(Misuse::WrongLength(wrong), body));
    }
    // To HEAD, the length is that of the body that GET would get (RFC 9110 §9.3.2).
    let wanted = !bodiless || head.length.is_none();
    (Phase::Complete, Effect::Whole { head, body, wanted })
}

fn begin(head: Head, trailers: bool, piece: Bytes, more: bool, head_request: bool) -> (Phase, Effect) {
    let mut sender = BodySender::new(&head, head_request);
    let last = !more;
    match sender.count(piece.len(), last) {
        Ok(counted) => {
            let (phase, then) = after_piece(sender, trailers, false, last);
            (phase, Effect::Piece { begin: Some(head), counted, piece, then })
        }
        Err(wrong) => (Phase::Headed { head, trailers }, Effect::Refuse(Misuse::WrongLength(wrong), piece)),
    }
}

fn go_on(
    mut sender: BodySender,
    trailers: bool,
    delivered: bool,
    piece: Bytes,
    more: bool,
) -> (Phase, Effect) {
    match sender.count(piece.len(), !more) {
        Ok(counted) => {
            let (phase, then) = after_piece(sender, trailers, delivered, !more);
            (phase, Effect::Piece { begin: None, counted, piece, then })
        }
        Err(wrong) => {
            let phase = Phase::Streaming { sender, trailers, delivered };
            (phase, Effect::Refuse(Misuse::WrongLength(wrong), piece))
        }
    }
}

fn after_piece(sender: BodySender, trailers: bool, delivered: bool, last: bool) -> (Phase, Then) {
    match (last, trailers) {
        (false, _) => (Phase::Streaming { sender, trailers, delivered }, Then::More),
        (true, true) => {
            (Phase::Trailing { stream: sender.stream(), trailers: HeaderMap::new() }, Then::Trailers)
        }
        (true, false) => (Phase::Complete, Then::End),
    }
}

fn file(
    mut head: Head,
    trailers: bool,
    pieces: FilePieces,
    length: u64,
    head_request: bool,
) -> (Phase, Effect) {
    if let Err(wrong) = head.check_length(length, false) {
        return (Phase::Headed { head, trailers }, Effect::Refuse(Misuse::WrongLength(wrong), Bytes::new()));
    }
    // To HEAD, too (RFC 9110 §9.3.2).
    head.set_length(length);
    let pieces = (!head.is_bodiless(head_request)).then_some(pieces);
    (Phase::Complete, Effect::File { head, pieces })
}

fn trail(stream: Rc<Stream>, mut trailers: HeaderMap, fields: HeaderMap, more: bool) -> (Phase, Effect) {
    if trailers.len() + fields.len() > MAX_HEADERS {
        let phase = Phase::Trailing { stream, trailers };
        return (phase, Effect::Refuse(Misuse::TooManyTrailers, Bytes::new()));
    }
    trailers.extend(fields);
    match more {
        true => (Phase::Trailing { stream, trailers }, Effect::Nothing),
        false => (Phase::Complete, Effect::Trailers(stream, trailers)),
    }
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
