//! What hyper sends: an application's answer or a few words of our own, and the request that it ends.

use super::{shared::ConnectionState, state::Event};
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
pub(super) type Reply<A> = Response<ReplyBody<<A as App>::Body>>;

/// A request from hyper's call until hyper has the whole answer. Dropping it says that hyper has it, or never will.
pub(super) struct InFlight(Rc<ConnectionState>);

impl InFlight {
    pub(super) fn new(state: Rc<ConnectionState>) -> Self {
        Self(state)
    }

    /// The connection it came on.
    pub(super) fn state(&self) -> &ConnectionState {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.on(Event::AnswerComplete);
    }
}

/// The body of an answer.
pub(super) struct ReplyBody<B> {
    source: Source<B>,
    exchange: Option<InFlight>,
}

enum Source<B> {
    /// The server's own words.
    Own(Full<Bytes>),
    /// What the application sends.
    App(B),
}

impl<B> ReplyBody<B> {
    pub(super) fn of_app(body: B, exchange: InFlight) -> Self {
        Self { source: Source::App(body), exchange: Some(exchange) }
    }
}

impl<B> Body for ReplyBody<B>
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
            Source::Own(body) => return Pin::new(body).poll_frame(cx).map_err(Into::into),
            Source::App(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        };
        if let (Poll::Ready(Some(Err(_))), Some(exchange)) = (&polled, &this.exchange) {
            exchange.state().on(Event::AnswerBroken);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(body) => body.is_end_stream(),
            Source::App(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(body) => body.size_hint(),
            Source::App(body) => body.size_hint(),
        }
    }
}

/// An answer of the server's own, after which the connection ends.
pub(super) fn own_answer<B>(
    status: StatusCode,
    text: &'static str,
    exchange: Option<InFlight>,
) -> Response<ReplyBody<B>> {
    if let Some(exchange) = &exchange {
        exchange.state().answer_begins(status.as_u16());
        exchange.state().ends_with_answer();
    }
    let source = Source::Own(Full::new(Bytes::from_static(text.as_bytes())));
    let mut response = Response::new(ReplyBody { source, exchange });
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
