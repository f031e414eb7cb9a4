//! A request from hyper's call until hyper has its response: what it waits for, the request timeout, and the response.

use super::{
    due::Due,
    exchange::Exchange,
    response::{ResponseBody, busy, refused, server_response},
};
use crate::{
    Aborted, App, RequestFacts,
    compress::Encoding,
    files::{answer::Answer, x_sendfile::Asked},
    limits::{
        concurrency::{Place, Slot},
        deadline::Timer,
    },
    request::{body::BodyStatus, refusal::Refusal},
    tls::redirect,
};
use hostler_wire::InFlight;
use http_body::Body as _;
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    header::{HeaderValue, LOCATION},
};
use std::{
    future::Future,
    net::SocketAddr,
    pin::{Pin, pin},
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

/// A client that has only half-closed the connection reads this.
const CLIENT_LEFT: Refusal = Refusal::with(
    StatusCode::SERVICE_UNAVAILABLE,
    "the server is busy: the client closed its side while the request waited",
);

/// What hyper sends.
pub(super) type HttpResponse<A, E> = Response<ResponseBody<<A as App>::Body, E>>;

/// A response under way.
pub(crate) struct ResponseFuture<A: App, E>(Stage<A, E>);

enum Stage<A: App, E> {
    Refused(Refusal, Option<E>, Due),
    /// To the same URL over TLS.
    Redirected(HeaderValue, Option<E>, Due),
    /// With a file, before the application.
    Answered(Option<Box<Answered<E>>>),
    /// There is no room for the request now.
    Busy(Refusal, Option<E>, Due),
    Called(Called<A, E>),
}

/// A file, before the application.
pub(super) struct Answered<E> {
    pub(super) answer: Answer,
    pub(super) exchange: Option<E>,
    pub(super) due: Due,
    /// The loop is to turn before the response.
    pub(super) waits_for_turn: bool,
}

/// A request that the application has, or will have when it is its turn.
pub(super) struct Called<A: App, E> {
    /// The client speaks HTTP/1.0: a response without a length ends with the connection.
    pub(super) is_http_10: bool,
    /// Kept for a response that names a file (`--x-sendfile`).
    pub(super) asked: Option<Box<Asked>>,
    pub(super) response: A::ResponseFuture,
    pub(super) timer: Option<Timer>,
    /// Until there is a response.
    pub(super) exchange: Option<E>,
    /// Where the number of requests is limited, once it is the request's turn.
    pub(super) slot: Option<Slot>,
    /// Among the requests that wait because too many run.
    pub(super) place: Option<Box<Place>>,
    pub(super) due: Due,
    /// What the log says of a request that takes too long: the page has no room for long paths, nor for many requests.
    pub(super) named: Option<Box<Named>>,
    /// The loop is to turn before the application is called.
    pub(super) waits_for_turn: bool,
}

/// A request that the page does not show in full.
pub(super) struct Named {
    method: Method,
    uri: Uri,
    client: Option<SocketAddr>,
    began: u64,
}

impl Named {
    #[cold]
    pub(super) fn of<B>(request: &Request<B>, client: Option<SocketAddr>, began: u64) -> Self {
        Self { method: request.method().clone(), uri: request.uri().clone(), client, began }
    }

    /// As the page would show it.
    fn describe(&self) -> String {
        let request = InFlight {
            started_at: self.began,
            status: 0,
            is_background: false,
            method: self.method.as_str().to_owned(),
            path: hostler_access::path(&self.uri).to_owned(),
            peer: self.client,
            id: None,
        };
        hostler_sys::board::describe(&[request])
    }
}

impl<A: App, E> ResponseFuture<A, E> {
    pub(super) fn refused(refusal: Refusal, exchange: E, due: Due) -> Self {
        Self(Stage::Refused(refusal, Some(exchange), due))
    }

    pub(super) fn redirected(location: HeaderValue, exchange: E, due: Due) -> Self {
        Self(Stage::Redirected(location, Some(exchange), due))
    }

    pub(super) fn answered(answered: Answered<E>) -> Self {
        Self(Stage::Answered(Some(Box::new(answered))))
    }

    pub(super) fn busy(refusal: Refusal, exchange: E, due: Due) -> Self {
        Self(Stage::Busy(refusal, Some(exchange), due))
    }

    #[inline]
    pub(super) fn called(called: Called<A, E>) -> Self {
        Self(Stage::Called(called))
    }
}

impl<A: App<Body: Unpin>, E: Exchange> Future for ResponseFuture<A, E> {
    type Output = Result<HttpResponse<A, E>, Aborted>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Stage::Refused(refusal, exchange, due) => {
                Poll::Ready(Ok(refused(*refusal, exchange.take(), due)))
            }
            Stage::Busy(refusal, exchange, due) => Poll::Ready(Ok(busy(*refusal, exchange.take(), due))),
            Stage::Redirected(location, exchange, due) => {
                let text = "this address is served over TLS";
                let mut response = server_response(redirect::STATUS, text, exchange.take(), due);
                response.headers_mut().insert(LOCATION, location.clone());
                Poll::Ready(Ok(response))
            }
            Stage::Answered(answered) => Answered::poll(answered, cx).map(Ok),
            Stage::Called(called) => called.poll(cx),
        }
    }
}

impl<E: Exchange> Answered<E> {
    fn poll<B>(answered: &mut Option<Box<Self>>, cx: &mut Context<'_>) -> Poll<Response<ResponseBody<B, E>>> {
        if let Some(Self { exchange: Some(exchange), waits_for_turn: true, .. }) = answered.as_deref() {
            ready!(poll_turn(exchange, cx));
        }
        let Some(mut answered) = answered.take() else { return Poll::Pending };
        Poll::Ready(self::answered(answered.answer, answered.exchange, &mut answered.due))
    }
}

/// A response with a file, as the connection sends it.
fn answered<B, E: Exchange>(
    mut answer: Answer,
    exchange: Option<E>,
    due: &mut Due,
) -> Response<ResponseBody<B, E>> {
    if let Some(exchange) = &exchange {
        exchange.response_starts(answer.status().as_u16());
        exchange.prepare_answer(answer.headers_mut());
    }
    let entry = due.respond(&mut answer, |_| None);
    answer.map(|content| ResponseBody::of_answer(content, exchange, entry))
}

/// Ready once the loop has turned, if the client is still there; otherwise the connection's task ends.
#[cold]
fn poll_turn(exchange: &impl Exchange, cx: &mut Context<'_>) -> Poll<()> {
    if exchange.connection().poll_time.is_running() {
        // The first poll registers the task with the runtime, which wakes it when it has polled sockets and timers;
        // being woken by another task would do no harm.
        return pin!(yield_now()).poll(cx);
    }
    if exchange.has_turned() { Poll::Ready(()) } else { Poll::Pending }
}

impl<A: App<Body: Unpin>, E: Exchange> Called<A, E> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<HttpResponse<A, E>, Aborted>> {
        if self.place.is_some()
            && let Err(refusal) = ready!(self.poll_place(cx))
        {
            if let Some(exchange) = &self.exchange {
                exchange.connection().report(&refusal, || self.describe(exchange).1);
            }
            return Poll::Ready(Ok(busy(refusal, self.exchange.take(), &mut self.due)));
        }
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

    /// Ready when the request has a slot, or will have none.
    #[cold]
    fn poll_place(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        let Some(place) = &mut self.place else { return Poll::Ready(Ok(())) };
        let has_left =
            self.exchange.as_ref().is_some_and(|exchange| exchange.connection().disconnect().is_some());
        let slot = if has_left { Err(CLIENT_LEFT) } else { ready!(place.poll(cx)) };
        self.place = None;
        self.due.turn_comes();
        self.slot = Some(slot?);
        self.starts_late();
        Poll::Ready(Ok(()))
    }

    /// The application is called some time after the request's head was read.
    fn starts_late(&self) {
        if let Some(timer) = &self.timer {
            timer.restart();
        }
        // The application may block this thread, as in `Load::begin`.
        hostler_sys::attendant::wake();
    }

    /// Ready once the loop has turned, if the client is still there; otherwise the connection's task ends.
    #[cold]
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(exchange) = &self.exchange else { return Poll::Ready(()) };
        ready!(poll_turn(exchange, cx));
        self.waits_for_turn = false;
        self.starts_late();
        Poll::Ready(())
    }

    fn is_body_overdue(&self) -> bool {
        self.exchange.as_ref().is_some_and(Exchange::is_body_overdue)
    }

    /// What the log says of the request: as one text with its age, and in parts.
    fn describe(&self, exchange: &E) -> (String, RequestFacts) {
        let (mut text, mut facts) = exchange.describe_request();
        if let Some(named) = self.named.as_deref() {
            facts.name(&named.method, &named.uri, named.client);
            if text.is_empty() {
                text = named.describe();
            }
        }
        (text, facts)
    }

    /// Responds in place of the application, which is asked to stop.
    fn expire(&mut self, limit: &TimedOut) -> HttpResponse<A, E> {
        A::time_out(&mut self.response);
        if let Some(exchange) = &self.exchange {
            let (request, facts) = self.describe(exchange);
            let RequestFacts { method, path, client, request_id, worker, pid } = facts;
            warn!(request, method, path, client, request_id, worker, pid, "{}", limit.event);
        }
        server_response(limit.status, limit.text, self.exchange.take(), &mut self.due)
    }

    fn responded(
        &mut self,
        response: Result<Response<A::Body>, Aborted>,
    ) -> Result<HttpResponse<A, E>, Aborted> {
        let Some(exchange) = self.exchange.take() else { return Err(Aborted) };
        let failed =
            response.as_ref().map_or(true, |response| response.status() == StatusCode::INTERNAL_SERVER_ERROR);
        if failed && exchange.body_status() == BodyStatus::Malformed {
            let malformed = Refusal::malformed("the body's framing is malformed");
            let refusal = exchange.refusal().unwrap_or(malformed);
            return Ok(refused(refusal, Some(exchange), &mut self.due));
        }
        let has_left = || {
            let connection = exchange.connection();
            connection.is_lost()
                || connection.disconnect().is_some()
                || exchange.body_status() == BodyStatus::Abandoned
        };
        if response.is_err() && !has_left() {
            self.due.failed();
        }
        let mut response = response?;
        if let Some(answer) = self.asked.as_ref().and_then(|asked| asked.answer(&mut response)) {
            return Ok(answered(answer, Some(exchange), &mut self.due));
        }
        let file = A::take_file(response.body_mut());
        let encoding = if file.is_none() { self.due.encoding(&mut response) } else { Encoding::Unchanged };
        exchange.prepare(&mut response, self.is_http_10);
        exchange.response_starts(response.status().as_u16());
        let slot = self.slot.take();
        let entry = self.due.respond(&mut response, |body| match (&file, &encoding) {
            (Some(file), _) => Some(file.left()),
            (None, Encoding::HeadAlone | Encoding::Encoded(_)) => None,
            (None, Encoding::Unchanged) => body.size_hint().exact(),
        });
        Ok(response.map(|body| {
            let body = match file {
                Some(file) => ResponseBody::of_file(file, exchange, entry),
                None => ResponseBody::of_app(body, encoding, exchange, entry),
            };
            body.holding(slot)
        }))
    }
}
