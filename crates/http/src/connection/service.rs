//! What hyper calls for each request: the checks before the application, the request timeout, and the count of requests
//! in flight.
//!
//! A request is refused here ([`check::admit`]); another stage beside [`Stage::Refused`] is the place for responses
//! without the application, such as files.

use super::{
    handle::ConnectionHandle,
    response::{ExchangeGuard, HttpResponse, ResponseBody, server_response},
    state::{Event, WaitsFor},
};
use crate::{
    Aborted, App,
    h1::{
        check::{self, Refusal},
        framing::BodyLength,
    },
    limits::deadline::Timer,
    request::body::{BodyStatus, RequestBody},
};
use http_body::Body as _;
use hyper::{
    Request, StatusCode, Version,
    body::Incoming,
    header::{CONNECTION, CONTENT_LENGTH, HeaderValue},
    service::Service,
};
use std::{
    future::Future,
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::task::yield_now;
use tracing::warn;

/// A time limit that was exceeded: the response, and the log line.
struct TimedOut {
    status: StatusCode,
    event: &'static str,
    text: &'static str,
}

const BODY_TIMEOUT: TimedOut = TimedOut {
    status: StatusCode::REQUEST_TIMEOUT,
    event: "body read timeout: responded with 408",
    text: "the request's body did not arrive within --body-read-timeout",
};
const REQUEST_TIMEOUT: TimedOut = TimedOut {
    status: StatusCode::GATEWAY_TIMEOUT,
    event: "request timeout: responded with 504",
    text: "the application took longer than --request-timeout",
};

/// What hyper calls for each request of a connection.
pub(super) struct AppService<A: App> {
    pub(super) server: Rc<super::Server<A>>,
    pub(super) connection: Rc<A::Connection>,
    pub(super) handle: Rc<ConnectionHandle>,
    pub(super) peer: Option<SocketAddr>,
}

impl<A: App> Clone for AppService<A> {
    fn clone(&self) -> Self {
        Self {
            server: Rc::clone(&self.server),
            connection: Rc::clone(&self.connection),
            handle: Rc::clone(&self.handle),
            peer: self.peer,
        }
    }
}

impl<A: App<Body: Unpin>> Service<Request<Incoming>> for AppService<A> {
    type Response = HttpResponse<A>;
    type Error = Aborted;
    type Future = ResponseFuture<A>;

    fn call(&self, request: Request<Incoming>) -> ResponseFuture<A> {
        let mut request = request.map(|body| RequestBody::new(body, &self.handle.body));
        self.handle.on(Event::Head { body: request.body().is_open() });
        let exchange = ExchangeGuard::new(Rc::clone(&self.handle));
        let length = match request.body().is_open() {
            true => request.body().size_hint().exact().map_or(BodyLength::Chunked, BodyLength::Known),
            false => BodyLength::Known(0),
        };
        let framed = self.handle.framing.borrow_mut().head(request.method(), request.uri(), length);
        if let Err(refusal) = check::admit(&mut request, framed, length) {
            return ResponseFuture(Stage::Refused(refusal, Some(exchange)));
        }
        let server = &self.server;
        let waits_for_turn = self.handle.begin(server.load.begin(request.method(), request.uri(), self.peer));
        let timer = server.request_timeout.map(|limit| {
            let timer = Timer::new(limit);
            request.extensions_mut().insert(timer.deadline());
            timer
        });
        ResponseFuture(Stage::Called(Called {
            is_http_10: request.version() == Version::HTTP_10,
            response: server.app.call(&self.connection, request),
            timer,
            exchange: Some(exchange),
            waits_for_turn,
        }))
    }
}

/// A response under way.
pub(super) struct ResponseFuture<A: App>(Stage<A>);

enum Stage<A: App> {
    Refused(Refusal, Option<ExchangeGuard>),
    Called(Called<A>),
}

struct Called<A: App> {
    /// The client speaks HTTP/1.0: a response without a length ends with the connection.
    is_http_10: bool,
    response: A::ResponseFuture,
    timer: Option<Timer>,
    /// Until there is a response.
    exchange: Option<ExchangeGuard>,
    /// The loop is to turn before the application is called.
    waits_for_turn: bool,
}

impl<A: App<Body: Unpin>> Future for ResponseFuture<A> {
    type Output = Result<HttpResponse<A>, Aborted>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Stage::Refused(refusal, exchange) => {
                Poll::Ready(Ok(server_response(refusal.status, refusal.reason, exchange.take())))
            }
            Stage::Called(called) => called.poll(cx),
        }
    }
}

impl<A: App<Body: Unpin>> Called<A> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<HttpResponse<A>, Aborted>> {
        if self.waits_for_turn {
            ready!(self.poll_turn(cx));
        }
        match Pin::new(&mut self.response).poll(cx) {
            Poll::Ready(response) => Poll::Ready(self.responded(response)),
            Poll::Pending if self.is_body_overdue() => Poll::Ready(Ok(self.expire(&BODY_TIMEOUT))),
            Poll::Pending if self.timer.as_mut().is_some_and(|timer| timer.poll_expired(cx).is_ready()) => {
                Poll::Ready(Ok(self.expire(&REQUEST_TIMEOUT)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready once the loop has turned, if the client is still there; otherwise the connection's task ends.
    #[cold]
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(exchange) = &self.exchange else { return Poll::Ready(()) };
        if exchange.handle().poll_time.is_running() {
            // The first poll registers the task with the runtime, which wakes it when it has polled sockets and timers;
            // being woken by another task would do no harm.
            return pin!(yield_now()).poll(cx);
        }
        if !exchange.handle().has_turned() {
            return Poll::Pending;
        }
        self.waits_for_turn = false;
        if let Some(timer) = &self.timer {
            timer.restart();
        }
        // The application may block this thread, as in `Load::begin`.
        hostler_sys::attendant::wake();
        Poll::Ready(())
    }

    fn is_body_overdue(&self) -> bool {
        self.exchange
            .as_ref()
            .is_some_and(|exchange| exchange.handle().expired() == Some(WaitsFor::RequestBody))
    }

    /// Responds in place of the application, which is asked to stop.
    fn expire(&mut self, limit: &TimedOut) -> HttpResponse<A> {
        A::time_out(&mut self.response);
        if let Some(exchange) = &self.exchange {
            warn!(request = exchange.handle().describe_request(), "{}", limit.event);
        }
        server_response(limit.status, limit.text, self.exchange.take())
    }

    fn responded(
        &mut self,
        response: Result<hyper::Response<A::Body>, Aborted>,
    ) -> Result<HttpResponse<A>, Aborted> {
        let Some(exchange) = self.exchange.take() else { return Err(Aborted) };
        let handle = exchange.handle();
        let failed =
            response.as_ref().map_or(true, |response| response.status() == StatusCode::INTERNAL_SERVER_ERROR);
        if failed && handle.body.status() == BodyStatus::Malformed {
            let text = "the body's framing is malformed";
            return Ok(server_response(StatusCode::BAD_REQUEST, text, Some(exchange)));
        }
        let mut response = response?;
        if self.is_http_10 && !has_length(&response) {
            // If this process dies in between, the client must not take what it received for the whole response.
            handle.reset_on_close(true);
        }
        handle.response_starts(response.status().as_u16());
        let upgrades = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if handle.phase().ends_connections() && !upgrades {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| ResponseBody::of_app(body, exchange)))
    }
}

fn has_length<B: http_body::Body>(response: &hyper::Response<B>) -> bool {
    response.body().size_hint().exact().is_some() || response.headers().contains_key(CONTENT_LENGTH)
}
