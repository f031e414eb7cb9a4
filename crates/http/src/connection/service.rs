//! The application as hyper calls it: our checks before it, the request's time, and the count of requests in flight.

use super::{
    reply::{InFlight, Reply, ReplyBody, own_answer},
    shared::ConnectionState,
    state::{Event, WaitsFor},
};
use crate::{
    Aborted, App,
    check::{self, Refusal},
    deadline::Timer,
    framing::Follows,
    request_body::{BodyFate, RequestBody},
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
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};
use tracing::warn;

/// Who was waited for too long, and what is said of it.
struct Late {
    status: StatusCode,
    event: &'static str,
    text: &'static str,
}

const LATE_BODY: Late = Late {
    status: StatusCode::REQUEST_TIMEOUT,
    event: "body read timeout: answered with 408",
    text: "the request's body did not come within --body-read-timeout",
};
const LATE_ANSWER: Late = Late {
    status: StatusCode::GATEWAY_TIMEOUT,
    event: "request timeout: answered with 504",
    text: "the application took longer than --request-timeout",
};

/// What hyper calls for each request of a connection.
pub(super) struct AppService<A: App> {
    pub(super) server: Rc<super::Server<A>>,
    pub(super) connection: Rc<A::Connection>,
    pub(super) state: Rc<ConnectionState>,
    pub(super) peer: Option<SocketAddr>,
}

impl<A: App> Clone for AppService<A> {
    fn clone(&self) -> Self {
        Self {
            server: Rc::clone(&self.server),
            connection: Rc::clone(&self.connection),
            state: Rc::clone(&self.state),
            peer: self.peer,
        }
    }
}

impl<A: App<Body: Unpin>> Service<Request<Incoming>> for AppService<A> {
    type Response = Reply<A>;
    type Error = Aborted;
    type Future = Answer<A>;

    fn call(&self, request: Request<Incoming>) -> Answer<A> {
        let mut request = request.map(|body| RequestBody::new(body, &self.state.body));
        self.state.on(Event::Head { body: request.body().is_held() });
        let exchange = InFlight::new(Rc::clone(&self.state));
        let follows = match request.body().is_held() {
            true => request.body().size_hint().exact().map_or(Follows::Chunks, Follows::Bytes),
            false => Follows::Bytes(0),
        };
        let framed = self.state.framing.borrow_mut().head(request.method(), request.uri(), follows);
        if let Err(refusal) = check::admit(&mut request, framed, follows) {
            return Answer(Stage::Refused(refusal, Some(exchange)));
        }
        let server = &self.server;
        self.state.begin(server.load.begin(request.method(), request.uri(), self.peer));
        let timer = server.request_timeout.map(|limit| {
            let timer = Timer::new(limit);
            request.extensions_mut().insert(timer.deadline());
            timer
        });
        Answer(Stage::Called(Called {
            old: request.version() == Version::HTTP_10,
            answer: server.app.call(&self.connection, request),
            timer,
            exchange: Some(exchange),
        }))
    }
}

/// An answer under way.
pub(super) struct Answer<A: App>(Stage<A>);

enum Stage<A: App> {
    Refused(Refusal, Option<InFlight>),
    Called(Called<A>),
}

struct Called<A: App> {
    /// The client speaks HTTP/1.0: an answer without a length ends with the connection.
    old: bool,
    answer: A::Answer,
    timer: Option<Timer>,
    /// Until there is an answer.
    exchange: Option<InFlight>,
}

impl<A: App<Body: Unpin>> Future for Answer<A> {
    type Output = Result<Reply<A>, Aborted>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Stage::Refused(refusal, exchange) => {
                Poll::Ready(Ok(own_answer(refusal.status, refusal.reason, exchange.take())))
            }
            Stage::Called(called) => called.poll(cx),
        }
    }
}

impl<A: App<Body: Unpin>> Called<A> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply<A>, Aborted>> {
        match Pin::new(&mut self.answer).poll(cx) {
            Poll::Ready(answered) => Poll::Ready(self.answered(answered)),
            Poll::Pending if self.is_body_late() => Poll::Ready(Ok(self.give_up(&LATE_BODY))),
            Poll::Pending if self.timer.as_mut().is_some_and(|timer| timer.poll_expired(cx).is_ready()) => {
                Poll::Ready(Ok(self.give_up(&LATE_ANSWER)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_body_late(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| exchange.state().expired() == Some(WaitsFor::Body))
    }

    /// Answers in the application's place, which is told to stop.
    fn give_up(&mut self, late: &Late) -> Reply<A> {
        A::time_out(&mut self.answer);
        if let Some(exchange) = &self.exchange {
            warn!(request = exchange.state().describe_request(), "{}", late.event);
        }
        own_answer(late.status, late.text, self.exchange.take())
    }

    fn answered(&mut self, answered: Result<hyper::Response<A::Body>, Aborted>) -> Result<Reply<A>, Aborted> {
        let Some(exchange) = self.exchange.take() else { return Err(Aborted) };
        let state = exchange.state();
        let failed =
            answered.as_ref().map_or(true, |answer| answer.status() == StatusCode::INTERNAL_SERVER_ERROR);
        if failed && state.body.fate() == BodyFate::Malformed {
            let text = "the body's framing is malformed";
            return Ok(own_answer(StatusCode::BAD_REQUEST, text, Some(exchange)));
        }
        let mut answer = answered?;
        if self.old && !has_length(&answer) {
            // Should this process die in the middle, the client is not to take what it got for all there is.
            state.reset_on_close(true);
        }
        state.answer_begins(answer.status().as_u16());
        let upgrades = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        if state.phase().ends_connections() && !upgrades {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(answer.map(|body| ReplyBody::of_app(body, exchange)))
    }
}

fn has_length<B: http_body::Body>(answer: &hyper::Response<B>) -> bool {
    answer.body().size_hint().exact().is_some() || answer.headers().contains_key(CONTENT_LENGTH)
}
