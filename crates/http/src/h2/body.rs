//! The body of a response on a stream, of which each piece knows when it was written.

use super::stream::{Stream, StreamExchange};
use crate::connection::ResponseBody;
use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::HeaderMap;
use std::{
    error::Error,
    io::IoSlice,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// What hyper sends on a stream.
pub(crate) struct StreamBody<B> {
    /// `None`: the response has no body.
    body: Option<ResponseBody<B, StreamExchange>>,
    stream: Rc<Stream>,
    /// How many bytes of it were given to h2.
    given: u64,
    end: End,
}

/// The end of a body.
enum End {
    /// The body has not come to it.
    Ahead,
    /// It is kept back until h2 has written the rest, with trailers.
    Kept(Option<Box<HeaderMap>>),
}

impl<B> StreamBody<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    pub(super) fn new(body: ResponseBody<B, StreamExchange>, stream: Rc<Stream>) -> Self {
        if body.is_end_stream() {
            stream.complete();
        }
        Self { body: Some(body), stream, given: 0, end: End::Ahead }
    }

    /// No body, although the application may have sent one: that of a response to HEAD, for example.
    pub(super) fn none(stream: Rc<Stream>) -> Self {
        stream.complete();
        Self { body: None, stream, given: 0, end: End::Ahead }
    }
}

impl<B> Body for StreamBody<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    type Data = Piece;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Self::Error>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if matches!(this.end, End::Ahead) {
            match ready!(Pin::new(&mut *body).poll_frame(cx)).transpose()?.map(Frame::into_data) {
                Some(Ok(bytes)) => return Poll::Ready(Some(Ok(Frame::data(this.give(bytes))))),
                Some(Err(frame)) => this.end = End::Kept(frame.into_trailers().ok().map(Box::new)),
                None => this.end = End::Kept(None),
            }
        }
        this.poll_end().map(|trailers| trailers.map(|trailers| Ok(Frame::trailers(*trailers))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.end, End::Ahead) && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> StreamBody<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    /// A piece for h2.
    fn give(&mut self, bytes: Bytes) -> Piece {
        self.given += bytes.len() as u64;
        if self.body.as_ref().is_some_and(Body::is_end_stream) {
            match self.stream.may_be_stuck(self.given) {
                true => self.end = End::Kept(None),
                false => self.stream.complete(),
            }
        }
        Piece::new(bytes, &self.stream)
    }

    /// The end: trailers, or nothing.
    fn poll_end(&mut self) -> Poll<Option<Box<HeaderMap>>> {
        if self.stream.may_be_stuck(self.given) && self.stream.keeps_end() {
            return Poll::Pending;
        }
        self.stream.complete();
        self.body = None;
        match std::mem::replace(&mut self.end, End::Ahead) {
            End::Kept(trailers) => Poll::Ready(trailers),
            End::Ahead => Poll::Ready(None),
        }
    }
}

/// A piece of a response, until it was written.
pub(crate) struct Piece {
    bytes: Bytes,
    stream: Rc<Stream>,
}

impl Piece {
    fn new(bytes: Bytes, stream: &Rc<Stream>) -> Self {
        stream.piece_given();
        Self { bytes, stream: Rc::clone(stream) }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.stream.piece_gone();
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.stream.piece_moves(count);
        self.bytes.advance(count);
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        self.bytes.chunks_vectored(into)
    }
}
