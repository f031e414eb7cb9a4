//! The body of a response of an asynchronous application: whole, a file, or a stream.

use super::{Broken, Streaming};
use bytes::Bytes;
use hostler_http::FileBody;
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
    File(Box<FileBody>),
    /// Sent piece by piece; the request is notified when hyper drops it.
    Stream(Streaming),
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes))
    }
}

impl ResponseBody {
    /// The file, if it is one.
    pub(crate) fn take_file(&mut self) -> Option<Box<FileBody>> {
        if !matches!(self, Self::File(_)) {
            return None;
        }
        match std::mem::replace(self, Self::Whole(None)) {
            Self::File(file) => Some(file),
            Self::Whole(_) | Self::Stream(_) => None,
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::File(file) => Pin::new(file).poll_frame(cx).map_err(|_| Broken),
            Self::Stream(streaming) => streaming.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::File(file) => file.is_end_stream(),
            Self::Stream(streaming) => streaming.is_complete(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::File(file) => file.size_hint(),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
