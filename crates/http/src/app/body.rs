//! The body of a native service's response: held to the length that its head announces, and told of in the log when it fails.
//!
//! Compression and both versions of HTTP are behind it, so none of them takes the beginning of a body for all of it.

use crate::{RequestFacts, log::facts::RequestName};
use bytes::Bytes;
use hostler_sys::logging::panics::{self, ServicePanic};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    Response, StatusCode,
    header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING},
};
use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tracing::error;

/// What a native service responds with.
pub struct ServiceBody<B> {
    inner: B,
    /// `None`: any is right, or the response has no body.
    length: Option<Length>,
    request: RequestName,
    /// Why the rest does not come: hyper is told when it has written what came before.
    fault: Option<Box<BodyFault>>,
}

/// How much of a body was announced, and how much of that is to come.
#[derive(Clone, Copy)]
struct Length {
    announced: u64,
    left: u64,
}

impl<B: Body> ServiceBody<B> {
    /// The service has responded: corrects the head, and has the body held to it.
    #[inline]
    pub(super) fn respond(
        mut response: Response<B>,
        to_head: bool,
        request: RequestName,
    ) -> Result<Response<Self>, (WrongHead, RequestName)> {
        let length = match lengths(&mut response, to_head) {
            Ok(length) => length.map(|announced| Length { announced, left: announced }),
            Err(wrong) => return Err((wrong, request)),
        };
        Ok(response.map(|inner| Self { inner, length, request, fault: None }))
    }
}

/// How long the body is to be, if that is known.
#[inline]
fn lengths<B: Body>(response: &mut Response<B>, to_head: bool) -> Result<Option<u64>, WrongHead> {
    let status = response.status();
    if to_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        without_body(status, response.headers_mut());
        return Ok(None);
    }
    let known = response.body().size_hint().exact();
    match (announced(response.headers())?, known) {
        (Some(announced), Some(known)) if announced != known => Err(WrongHead::Differs { known, announced }),
        (announced, known) => Ok(announced.or(known)),
    }
}

/// A 204 has no length (RFC 9110 §8.6, RFC 9112 §6.1), and a 304 that of the 200 that it stands for: the zero that frameworks add
/// is the length of the body that it does not have.
#[cold]
fn without_body(status: StatusCode, headers: &mut HeaderMap) {
    match status {
        StatusCode::NO_CONTENT => {
            headers.remove(TRANSFER_ENCODING);
            headers.remove(CONTENT_LENGTH);
        }
        StatusCode::NOT_MODIFIED if headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0") => {
            headers.remove(CONTENT_LENGTH);
        }
        _ => {}
    }
}

/// What Content-Length says: once, in digits (RFC 9110 §8.6).
fn announced(headers: &HeaderMap) -> Result<Option<u64>, WrongHead> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let digit = |byte: u8| Some(u64::from(byte.wrapping_sub(b'0'))).filter(|digit| *digit < 10);
    let add = |length: u64, byte: &u8| length.checked_mul(10)?.checked_add(digit(*byte)?);
    let length = value.as_bytes().iter().try_fold(0, add);
    match (length, value.is_empty(), values.next()) {
        (Some(length), false, None) => Ok(Some(length)),
        _ => Err(WrongHead::NoLength),
    }
}

impl<B> Body for ServiceBody<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Some(fault) = this.fault.take() {
            return Poll::Ready(Some(Err(fault)));
        }
        let cause = match panics::of_service(|| Pin::new(&mut this.inner).poll_frame(cx)) {
            Ok(polled) => match this.judge(ready!(polled)) {
                Ok(frame) => return Poll::Ready(frame.map(Ok)),
                Err(cause) => cause,
            },
            Err(panic) => Cause::Panicked(panic),
        };
        this.break_off(cause, cx)
    }

    fn is_end_stream(&self) -> bool {
        self.length.is_none_or(|length| length.left == 0) && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> ServiceBody<B> {
    /// What hyper is given of what the body gave; an error ends it.
    #[inline]
    fn judge<E: Into<Box<dyn Error + Send + Sync>>>(
        &mut self,
        polled: Option<Result<Frame<Bytes>, E>>,
    ) -> Result<Option<Frame<Bytes>>, Cause> {
        let frame = polled.transpose().map_err(|error| Cause::Failed(error.into()))?;
        self.count(frame.as_ref().and_then(Frame::data_ref))?;
        Ok(frame)
    }

    /// Counts a piece; `None` is the end, with trailers or without.
    fn count(&mut self, piece: Option<&Bytes>) -> Result<(), Cause> {
        let Some(Length { announced, left }) = &mut self.length else { return Ok(()) };
        match piece.map(|piece| piece.len() as u64) {
            Some(size) if size <= *left => *left -= size,
            Some(size) => {
                return Err(Cause::TooLong { sent: *announced - *left + size, announced: *announced });
            }
            None if *left == 0 => {}
            None => return Err(Cause::TooShort { sent: *announced - *left, announced: *announced }),
        }
        Ok(())
    }

    /// hyper drops what it has not written of a body that fails, and writes it while the body has nothing to give.
    #[cold]
    fn break_off<T>(&mut self, cause: Cause, cx: &Context<'_>) -> Poll<T> {
        self.fault = Some(Box::new(BodyFault { cause, request: self.request.take() }));
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A service's head says of the body what cannot be.
#[derive(Clone, Copy, Debug)]
pub(super) enum WrongHead {
    /// A body of a known length is not as long.
    Differs { known: u64, announced: u64 },
    /// There are several values, or one that is no number.
    NoLength,
}

impl fmt::Display for WrongHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs { known, announced } => {
                write!(f, "the response's body has {known} bytes, but its Content-Length says {announced}")
            }
            Self::NoLength => f.write_str("the response's Content-Length is not one number"),
        }
    }
}

impl Error for WrongHead {}

/// The body of a native service's response cannot be sent to its end.
#[derive(Debug)]
pub(crate) struct BodyFault {
    cause: Cause,
    request: RequestName,
}

#[derive(Debug)]
enum Cause {
    Failed(Box<dyn Error + Send + Sync>),
    Panicked(ServicePanic),
    TooShort { sent: u64, announced: u64 },
    TooLong { sent: u64, announced: u64 },
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Failed(error) => error.fmt(f),
            Cause::Panicked(panic) => f.write_str(&panic.message),
            Cause::TooShort { .. } => f.write_str("the body is shorter than its Content-Length"),
            Cause::TooLong { .. } => f.write_str("the body is longer than its Content-Length"),
        }
    }
}

impl Error for BodyFault {}

impl BodyFault {
    /// Logs an error of a response's body, if it is a service's. `client_left`: what the service waited for may have failed
    /// with it.
    #[cold]
    pub(crate) fn report(error: &(dyn Error + Send + Sync + 'static), client_left: bool) {
        let Some(Self { cause, request }) = error.downcast_ref() else { return };
        let what = match cause {
            Cause::Failed(_) if client_left => return,
            Cause::Failed(_) => "the body of the service's response failed: the response is cut off",
            Cause::Panicked(_) => "the body of the service's response panicked: the response is cut off",
            Cause::TooShort { .. } => {
                "the service's response is shorter than its Content-Length: it is cut off"
            }
            Cause::TooLong { .. } => {
                "the service's response is longer than its Content-Length: it is cut off"
            }
        };
        let RequestFacts { method, path, client, request_id, worker, pid } = request.facts();
        match cause {
            Cause::Failed(error) => {
                error!(%error, method, path, client, request_id, worker, pid, "{what}");
            }
            Cause::Panicked(ServicePanic { message: error, at }) => {
                error!(error, at, method, path, client, request_id, worker, pid, "{what}");
            }
            Cause::TooShort { sent, announced } | Cause::TooLong { sent, announced } => {
                error!(sent, announced, method, path, client, request_id, worker, pid, "{what}");
            }
        }
    }
}
