//! What hyper calls for each request of an HTTP/2 connection.

use super::{
    body::StreamBody,
    check,
    stream::{Stream, StreamExchange},
    streams::Streams,
    tunnel::Tunnel,
};
use crate::{
    Aborted, App,
    connection::{Arriving, Event, ResponseFuture, call},
    proxy::Facts,
    request::body::RequestBody,
};
use http_body::Body as _;
use hyper::{
    Method, Request, Response,
    body::Incoming,
    header::{CONTENT_LENGTH, HeaderValue},
    service::Service,
};
use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// The service of an HTTP/2 connection.
pub(crate) struct StreamService<A: App> {
    pub(super) streams: Rc<Streams<A>>,
    pub(super) facts: Facts,
}

impl<A: App<Body: Unpin>> Service<Request<Incoming>> for StreamService<A> {
    type Response = Response<StreamBody<A::Body>>;
    type Error = Aborted;
    type Future = StreamFuture<A>;

    fn call(&self, request: Request<Incoming>) -> StreamFuture<A> {
        let (head, body) = request.into_parts();
        let limits = self.streams.handle.limits();
        let (body, report) = RequestBody::limited(body, limits.body);
        let mut request = Request::from_parts(head, body);
        let streams = &self.streams;
        streams.handle.on(Event::Head { body: request.body().is_open() });
        let (stream, lane) = streams.claim(report);
        let exchange = StreamExchange::new(Rc::clone(&stream));
        let is_head = request.method() == Method::HEAD;
        let tunnel = Tunnel::of(&request, &lane.upgrades, streams);
        let admitted = limits
            .check_body(request.body().size_hint().lower())
            .and_then(|()| check::admit(&mut request, limits, streams.server.app.serves_websocket()));
        let arriving = Arriving { request, exchange, admitted };
        StreamFuture {
            response: call(&streams.server, &lane.connection, &self.facts, arriving),
            stream,
            is_head,
            tunnel,
        }
    }
}

/// The response to a request, under way.
pub(crate) struct StreamFuture<A: App> {
    response: ResponseFuture<A, StreamExchange>,
    stream: Rc<Stream>,
    is_head: bool,
    /// For a request that may be followed by another protocol.
    tunnel: Option<Box<Tunnel<A>>>,
}

impl<A: App<Body: Unpin>> Future for StreamFuture<A> {
    type Output = Result<Response<StreamBody<A::Body>>, Aborted>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let response = ready!(Pin::new(&mut this.response).poll(cx))?;
        let (mut head, body) = response.into_parts();
        if let Some(tunnel) = this.tunnel.take() {
            match head.status.is_success() {
                true => tunnel.open(&this.stream),
                false => tunnel.refuse(),
            }
        }
        let body = match check::is_without_body(this.is_head, head.status) {
            false => StreamBody::new(body, Rc::clone(&this.stream)),
            true => {
                // A 204 and a 304 announce none (RFC 9110 §8.6), and the length of a response whose body was left out because
                // of HEAD is not known.
                if !check::is_without_body(false, head.status)
                    && let Some(length) = body.size_hint().exact().filter(|length| *length > 0)
                {
                    head.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
                }
                StreamBody::none(Rc::clone(&this.stream))
            }
        };
        Poll::Ready(Ok(Response::from_parts(head, body)))
    }
}
