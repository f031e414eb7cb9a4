//! The body of a WSGI response, as hyper sends it.

use super::{
    body_queue, closing::Closing, gate::Entered, iterable::ResponseIter, shared::Shared, turn::Turn,
};
use crate::response::Broken;
use bytes::Bytes;
use hostler_http::FileBody;
use http_body::{Body, Frame, SizeHint};
use pyo3::Python;
use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// What hyper sends.
pub(crate) enum WsgiBody {
    /// All of it.
    Whole(Option<Bytes>),
    /// Nothing, in place of a body of unknown length (HEAD).
    Unknown,
    /// Pulled from the application's iterable, in place.
    Pulled(Box<Pulled>),
    /// A file's content (`wsgi.file_wrapper`); its wrapper is closed when this is dropped.
    File(Box<FileBody>),
    /// Sent by a pool thread.
    Sent(body_queue::Receiver),
}

impl From<Bytes> for WsgiBody {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes))
    }
}

impl WsgiBody {
    /// A file that was wrapped by the application.
    pub(super) fn of_file(file: FileBody, closing: Closing) -> Self {
        Self::File(Box::new(file.keeping(closing)))
    }

    /// The file, if it is one.
    pub(super) fn take_file(&mut self) -> Option<Box<FileBody>> {
        if !matches!(self, Self::File(_)) {
            return None;
        }
        match std::mem::replace(self, Self::Whole(None)) {
            Self::File(file) => Some(file),
            Self::Whole(_) | Self::Unknown | Self::Pulled(_) | Self::Sent(_) => None,
        }
    }
}

impl Body for WsgiBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let piece = match self.get_mut() {
            Self::File(file) => return Pin::new(file).poll_frame(cx).map_err(|_| Broken),
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Self::Unknown => Poll::Ready(None),
            Self::Sent(receiver) => receiver.poll(cx),
            Self::Pulled(pulled) => pulled.poll(cx),
        };
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Unknown => false,
            Self::Pulled(pulled) => pulled.first.is_none() && pulled.rest.is_none(),
            Self::File(file) => file.is_end_stream(),
            Self::Sent(receiver) => receiver.is_complete(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::File(file) => file.size_hint(),
            Self::Unknown | Self::Pulled(_) | Self::Sent(_) => SizeHint::default(),
        }
    }
}

/// An iterable that is followed on the loop's thread. The loop turns after each piece, so that it is on its way to the
/// client before the next one is asked for (PEP 3333 §Buffering and Streaming), and other requests are served between.
pub(crate) struct Pulled {
    first: Option<Bytes>,
    rest: Option<ResponseIter>,
    shared: Rc<Shared>,
    turn: Turn,
    /// The loop has turned since the last piece.
    turned: bool,
    /// Waiting for another thread to finish its call.
    entering: Option<Pin<Box<dyn Future<Output = Entered>>>>,
}

impl Pulled {
    pub(super) fn new(first: Bytes, rest: ResponseIter, shared: Rc<Shared>) -> Box<Self> {
        let (turn, entering) = (Turn::default(), None);
        Box::new(Self { first: Some(first), rest: Some(rest), shared, turn, turned: false, entering })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        loop {
            let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
            if !self.turned {
                ready!(self.turn.poll(cx));
                self.turned = true;
            }
            let entered = ready!(poll_enter(&mut self.entering, &self.shared, cx));
            self.turned = false;
            let piece = Python::attach(|py| rest.next(py));
            drop(entered);
            match piece {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => return Poll::Ready(Some(Ok(piece))),
                end => {
                    // Dropping it has the iterable closed.
                    self.rest = None;
                    return Poll::Ready(end);
                }
            }
        }
    }
}

fn poll_enter(
    entering: &mut Option<Pin<Box<dyn Future<Output = Entered>>>>,
    shared: &Shared,
    cx: &mut Context<'_>,
) -> Poll<Entered> {
    if entering.is_none() {
        let gate = shared.gate();
        if let Some(entered) = gate.try_enter() {
            return Poll::Ready(entered);
        }
        *entering = Some(Box::pin(async move { gate.enter().await }));
    }
    match entering {
        Some(future) => {
            let entered = ready!(future.as_mut().poll(cx));
            *entering = None;
            Poll::Ready(entered)
        }
        None => Poll::Pending,
    }
}
