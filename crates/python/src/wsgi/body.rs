//! The body of a WSGI answer.

use super::call::{Closing, Rest};
use crate::response::FilePieces;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pyo3::Python;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::mpsc::Receiver;

/// What hyper sends.
pub(crate) enum WsgiBody {
    /// All of it.
    Whole(Option<Bytes>),
    /// Pulled from the application's iterable, in place, whenever hyper has room.
    Pulled { first: Option<Bytes>, rest: Option<Rest> },
    /// A file's content (`wsgi.file_wrapper`), whose wrapper is closed when it is sent or nobody wants it any more.
    File { pieces: FilePieces, _closing: Closing },
    /// Sent by a thread of the pool.
    Sent(Receiver<Result<Bytes, Broken>>),
}

/// The application failed after its answer began; the connection is closed so that the client notices.
#[derive(Debug)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the application failed after its answer began")
    }
}

impl std::error::Error for Broken {}

impl Body for WsgiBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let piece = match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Self::Sent(receiver) => receiver.poll_recv(cx),
            Self::File { pieces, .. } => Poll::Ready(pieces.next().map(|piece| piece.map_err(|_| Broken))),
            Self::Pulled { first, rest } => Poll::Ready(match first.take() {
                Some(first) => Some(Ok(first)),
                None => pull(rest),
            }),
        };
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Pulled { first, rest } => first.is_none() && rest.is_none(),
            Self::File { pieces, .. } => pieces.left() == 0,
            Self::Sent(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::File { pieces, .. } => SizeHint::with_exact(pieces.left()),
            Self::Pulled { .. } | Self::Sent(_) => SizeHint::default(),
        }
    }
}

fn pull(slot: &mut Option<Rest>) -> Option<Result<Bytes, Broken>> {
    let rest = slot.as_mut()?;
    let piece = Python::attach(|py| rest.next(py));
    if !matches!(piece, Some(Ok(_))) {
        // Dropping it calls the iterable's `close()`.
        *slot = None;
    }
    piece
}
