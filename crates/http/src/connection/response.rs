//! What hyper sends: the response of the application, or one of the server's own.

use super::{handle::ConnectionHandle, state::Event};
use crate::App;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, HeaderValue},
};
use std::{
    error::Error,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// What hyper sends.
pub(super) type HttpResponse<A> = Response<ResponseBody<<A as App>::Body>>;

/// A request from hyper's call until hyper has the whole response. Dropping it says that hyper has it, or never will.
pub(super) struct ExchangeGuard(Rc<ConnectionHandle>);

impl ExchangeGuard {
    pub(super) fn new(handle: Rc<ConnectionHandle>) -> Self {
        Self(handle)
    }

    /// The connection.
    pub(super) fn handle(&self) -> &ConnectionHandle {
        &self.0
    }
}

impl Drop for ExchangeGuard {
    fn drop(&mut self) {
        self.0.on(Event::ResponseComplete);
    }
}

/// The body of a response.
pub(super) struct ResponseBody<B> {
    source: Source<B>,
    exchange: Option<ExchangeGuard>,
}

enum Source<B> {
    /// A text of the server's own.
    Server(Full<Bytes>),
    /// What the application sends.
    App(B),
}

impl<B> ResponseBody<B> {
    pub(super) fn of_app(body: B, exchange: ExchangeGuard) -> Self {
        Self { source: Source::App(body), exchange: Some(exchange) }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let polled = match &mut this.source {
            Source::Server(body) => return Pin::new(body).poll_frame(cx).map_err(Into::into),
            Source::App(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        };
        if let (Poll::Ready(Some(Err(_))), Some(exchange)) = (&polled, &this.exchange) {
            exchange.handle().on(Event::ResponseFailed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Server(body) => body.is_end_stream(),
            Source::App(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Server(body) => body.size_hint(),
            Source::App(body) => body.size_hint(),
        }
    }
}

/// A response of the server's own, after which the connection ends.
pub(super) fn server_response<B>(
    status: StatusCode,
    text: &'static str,
    exchange: Option<ExchangeGuard>,
) -> Response<ResponseBody<B>> {
    if let Some(exchange) = &exchange {
        exchange.handle().response_starts(status.as_u16());
        exchange.handle().ends_with_response();
    }
    let source = Source::Server(Full::new(Bytes::from_static(text.as_bytes())));
    let mut response = Response::new(ResponseBody { source, exchange });
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
