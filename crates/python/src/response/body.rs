//! The body of a response of an asynchronous application: whole, a file, or a stream.

use super::{Broken, FilePieces, Streaming};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// What hyper sends.
pub(crate) enum ResponseBody {
    /// Known in whole when the response began.
    Whole(Option<Bytes>),
    /// A file's content (`http.response.pathsend`, `response_file`).
    File(FilePieces),
    /// Sent piece by piece; the request is notified when hyper drops it.
    Stream(Streaming),
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::File(pieces) => Poll::Ready(pieces.next().map(|piece| piece.map(Frame::data))),
            Self::Stream(streaming) => streaming.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::File(pieces) => pieces.left() == 0,
            Self::Stream(streaming) => streaming.is_complete(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::File(pieces) => SizeHint::with_exact(pieces.left()),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
