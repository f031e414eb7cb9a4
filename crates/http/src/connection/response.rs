//! What hyper sends: the response of the application, or one of the server's own.

use super::{due::Due, exchange::Exchange};
use crate::{
    FileBody,
    app::body::BodyFault,
    compress::{Encoding, body::Compressed},
    files::answer::Content,
    limits::concurrency::Slot,
    log::entry::Entry,
    request::{body::BodyStatus, refusal::Refusal},
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use std::{
    error::Error,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// The body of a response.
pub(crate) struct ResponseBody<B, E> {
    source: Source<B>,
    exchange: Option<E>,
    /// Where the number of requests is limited.
    _slot: Option<Slot>,
    /// Its line in the access log, if there is to be one.
    entry: Option<Rc<Entry>>,
}

enum Source<B> {
    /// A text of the server's own.
    Server(Full<Bytes>),
    /// What the application sends.
    App(B),
    /// The same, compressed.
    Compressed(Box<Compressed<B>>),
    /// The same, to a client that does not get it, but would get it compressed (HEAD).
    Unsent(B),
    /// A file.
    File(Box<FileBody>),
}

impl<B, E> ResponseBody<B, E> {
    pub(super) fn of_app(body: B, encoding: Encoding, exchange: E, entry: Option<Rc<Entry>>) -> Self {
        let source = match encoding {
            Encoding::Unchanged => Source::App(body),
            Encoding::HeadAlone => Source::Unsent(body),
            Encoding::Encoded(encoder) => Source::Compressed(Box::new(Compressed::new(body, encoder))),
        };
        Self { source, exchange: Some(exchange), _slot: None, entry }
    }

    pub(super) fn of_answer(content: Content, exchange: Option<E>, entry: Option<Rc<Entry>>) -> Self {
        let source = match content {
            Content::Nothing => Source::Server(Full::default()),
            Content::Text(text) => Source::Server(Full::new(Bytes::from_static(text.as_bytes()))),
            Content::File(body) => Source::File(body),
        };
        Self { source, exchange, _slot: None, entry }
    }

    /// Keeps the request's slot until hyper has all of it.
    pub(super) fn holding(self, slot: Option<Slot>) -> Self {
        Self { _slot: slot, ..self }
    }

    pub(super) fn of_file(body: Box<FileBody>, exchange: E, entry: Option<Rc<Entry>>) -> Self {
        Self { source: Source::File(body), exchange: Some(exchange), _slot: None, entry }
    }
}

impl<B, E> Body for ResponseBody<B, E>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
    E: Exchange,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let polled = match &mut this.source {
            Source::Server(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Source::App(body) | Source::Unsent(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Source::Compressed(body) => body.poll_frame(cx),
            Source::File(body) => body
                .poll_piece(cx, this.exchange.as_ref().and_then(Exchange::file_parts))
                .map_ok(Frame::data)
                .map_err(|cut| {
                    let facts = this.exchange.as_ref().map(|exchange| exchange.describe_request().1);
                    cut.report(facts.unwrap_or_default());
                    cut
                })
                .map_err(Into::into),
        };
        if let (Poll::Ready(Some(Err(error))), Some(exchange)) = (&polled, &this.exchange) {
            failed(&**error, exchange);
        }
        if let Some(entry) = &this.entry {
            log(entry, &polled);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Server(body) => body.is_end_stream(),
            Source::App(body) | Source::Unsent(body) => body.is_end_stream(),
            Source::Compressed(body) => body.is_end_stream(),
            Source::File(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Server(body) => body.size_hint(),
            Source::App(body) => body.size_hint(),
            Source::Compressed(_) | Source::Unsent(_) => SizeHint::default(),
            Source::File(body) => body.size_hint(),
        }
    }
}

#[cold]
fn failed<E: Exchange>(error: &(dyn Error + Send + Sync + 'static), exchange: &E) {
    let left = matches!(exchange.body_status(), BodyStatus::Abandoned | BodyStatus::Malformed);
    BodyFault::report(error, left || exchange.connection().is_lost());
    exchange.response_failed();
}

/// Tells the access log what hyper is given.
fn log<E>(entry: &Entry, polled: &Poll<Option<Result<Frame<Bytes>, E>>>) {
    match polled {
        Poll::Ready(Some(Ok(frame))) => entry.sent(frame.data_ref().map_or(0, |data| data.len() as u64)),
        Poll::Ready(Some(Err(_))) => entry.failed(),
        Poll::Ready(None) | Poll::Pending => {}
    }
}

/// The response to a request for which there is no room now. Its connection goes on if nothing more of the request comes:
/// what has to be done for a request that is sent away should be little.
pub(super) fn busy<B, E: Exchange>(
    refusal: Refusal,
    exchange: Option<E>,
    due: &mut Due,
) -> Response<ResponseBody<B, E>> {
    let mut response = match exchange {
        Some(exchange) if exchange.body_status() == BodyStatus::Ended => {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            exchange.response_starts(refusal.status.as_u16());
            exchange.prepare_answer(&mut headers);
            text_response((refusal.status, refusal.reason), headers, Some(exchange), due)
        }
        exchange => refused(refusal, exchange, due),
    };
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The response to a request that is refused.
pub(super) fn refused<B, E: Exchange>(
    refusal: Refusal,
    exchange: Option<E>,
    due: &mut Due,
) -> Response<ResponseBody<B, E>> {
    server_response(refusal.status, refusal.reason, exchange, due)
}

/// A response of the server's own.
pub(super) fn server_response<B, E: Exchange>(
    status: StatusCode,
    text: &'static str,
    exchange: Option<E>,
    due: &mut Due,
) -> Response<ResponseBody<B, E>> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Some(exchange) = &exchange {
        exchange.response_starts(status.as_u16());
        exchange.prepare_own(&mut headers);
    }
    text_response((status, text), headers, exchange, due)
}

fn text_response<B, E>(
    (status, text): (StatusCode, &'static str),
    headers: HeaderMap,
    exchange: Option<E>,
    due: &mut Due,
) -> Response<ResponseBody<B, E>> {
    let source = Source::Server(Full::new(Bytes::from_static(text.as_bytes())));
    let mut response = Response::new(source);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    let entry = due.respond(&mut response, |_| Some(text.len() as u64));
    response.map(|source| ResponseBody { source, exchange, _slot: None, entry })
}
