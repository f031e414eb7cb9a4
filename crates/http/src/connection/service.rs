//! What hyper calls for each request: the checks before the application, and the count of requests in flight.
//!
//! A request is refused here ([`check::admit`]), answered with a file, or passed to the application; what becomes of it is
//! [`super::stages`]'s.

use super::{
    due::{AboutCall, Due},
    exchange::{Exchange, H1Exchange},
    handle::ConnectionHandle,
    stages::{Answered, Called, HttpResponse, Named, ResponseFuture},
    state::Event,
};
use crate::{
    Aborted, App, Began, Load, RequestFacts, Scheme,
    h1::{check, framing::BodyLength},
    limits::{concurrency::Turn, deadline::Timer},
    log::queue::Waiting,
    proxy::Facts,
    request::{body::RequestBody, refusal::Refusal},
};
use hostler_sys::clock;
use http_body::Body as _;
use hyper::{Request, Version, body::Incoming, service::Service};
use std::{net::SocketAddr, rc::Rc};

/// What hyper calls for each request of a connection.
pub(crate) struct AppService<A: App> {
    pub(crate) server: Rc<super::Server<A>>,
    pub(crate) connection: Rc<A::Connection>,
    pub(crate) handle: Rc<ConnectionHandle>,
    pub(crate) facts: Facts,
}

impl<A: App> AppService<A> {
    /// The response to a request that is refused before it has become one.
    pub(super) fn refusal_response(&self) -> Vec<u8> {
        self.handle.refusal_response(&self.server.load, &self.facts)
    }
}

impl<A: App> Clone for AppService<A> {
    fn clone(&self) -> Self {
        Self {
            server: Rc::clone(&self.server),
            connection: Rc::clone(&self.connection),
            handle: Rc::clone(&self.handle),
            facts: self.facts,
        }
    }
}

impl<A: App<Body: Unpin>> Service<Request<Incoming>> for AppService<A> {
    type Response = HttpResponse<A, H1Exchange>;
    type Error = Aborted;
    type Future = ResponseFuture<A, H1Exchange>;

    fn call(&self, request: Request<Incoming>) -> ResponseFuture<A, H1Exchange> {
        let mut request = request.map(|body| RequestBody::new(body, &self.handle.body));
        self.handle.on(Event::Head { body: request.body().is_open() });
        let exchange = H1Exchange::new(Rc::clone(&self.handle));
        let length = match request.body().is_open() {
            true => request.body().size_hint().exact().map_or(BodyLength::Chunked, BodyLength::Known),
            false => BodyLength::Known(0),
        };
        let limits = self.handle.limits();
        let framed = self.handle.framing.borrow_mut().head(length, limits);
        let admitted = check::admit(&mut request, framed, length, limits);
        call(&self.server, &self.connection, &self.facts, Arriving { request, exchange, admitted })
    }
}

/// A request that has passed the checks of its version of HTTP, or not.
pub(crate) struct Arriving<E> {
    pub(crate) request: Request<RequestBody>,
    pub(crate) exchange: E,
    pub(crate) admitted: Result<(), Refusal>,
}

/// Passes a request through the stages before the application, whichever version of HTTP it came by. `lane` handles one
/// request at a time.
#[inline]
pub(crate) fn call<A: App<Body: Unpin>, E: Exchange>(
    server: &super::Server<A>,
    lane: &Rc<A::Connection>,
    facts: &Facts,
    arriving: Arriving<E>,
) -> ResponseFuture<A, E> {
    let Arriving { mut request, exchange, admitted } = arriving;
    let load = &server.load;
    let mut due = Due::identify(load, &mut request, facts.is_trusted());
    let client = match admitted.and_then(|()| server.proxies.apply(facts, &mut request)) {
        Ok(client) => client,
        Err(refusal) => {
            let logged = (facts.peer, facts.scheme());
            return refuse(load, refusal, (&request, logged), exchange, due);
        }
    };
    let logged = (client, facts.scheme());
    if let Some(redirect) = server.redirect {
        match redirect.location(facts.scheme, &request) {
            Ok(None) => {}
            Ok(Some(location)) => {
                begin_refused(load, &request, logged, (&exchange, &mut due));
                return ResponseFuture::redirected(location, exchange, due);
            }
            Err(refusal) => return refuse(load, refusal, (&request, logged), exchange, due),
        }
    }
    if let Some(files) = &server.files
        && let Some(answer) = files.respond(request.method(), request.uri(), request.headers())
    {
        let mut record = load.begin_without_application(request.method(), request.uri(), client);
        due.begin(load, &request, logged, &mut record);
        let waits_for_turn = exchange.begin(record);
        return ResponseFuture::answered(Answered { answer, exchange: Some(exchange), due, waits_for_turn });
    }
    let (mut slot, mut place) = (None, None);
    if let Some(concurrency) = &server.concurrency {
        let is_stale = concurrency.is_stale(load.page().turned_at(), exchange.connection().descriptor());
        match concurrency.ask(request.uri().path(), is_stale) {
            Turn::Now(now) => slot = Some(now),
            Turn::Later(later) => place = Some(later),
            Turn::Never(refusal) => {
                let began = begin_refused(load, &request, logged, (&exchange, &mut due));
                exchange.connection().report(&refusal, || facts_of(load, &request, client, began));
                due.waited(load, exchange.connection().descriptor());
                return ResponseFuture::busy(refusal, exchange, due);
            }
        }
    }
    let mut record = load.begin(request.method(), request.uri(), client);
    due.begin(load, &request, logged, &mut record);
    let about_call = |queued, waiting| AboutCall { bypasses: server.app.bypasses(), queued, waiting };
    let waiting = (server.app.queues() || place.is_some()).then(|| Waiting::since(record.began_nanos));
    if let (Some(place), Some(waiting)) = (&mut place, &waiting) {
        place.note(waiting.clone());
    }
    let queued = load.kernel_wait(exchange.connection().descriptor(), record.began_nanos);
    record.is_queued(queued.unwrap_or(0), waiting.clone());
    if let Some(waiting) = waiting.as_ref().filter(|_| server.app.queues()) {
        request.extensions_mut().insert(waiting.clone());
    }
    due.call(load, &mut request, about_call(queued, waiting));
    let began = record.began_nanos;
    let is_shown = record.shows_whole(request.method(), request.uri().path());
    let waits_for_turn = exchange.begin(record);
    let may_be_late = server.request_timeout.is_some() || request.body().is_open();
    let named = (may_be_late && !is_shown).then(|| Box::new(Named::of(&request, client, began)));
    let timer = server.request_timeout.map(|limit| {
        let timer = Timer::new(limit);
        request.extensions_mut().insert(timer.deadline());
        timer
    });
    ResponseFuture::called(Called {
        is_http_10: request.version() == Version::HTTP_10,
        asked: server.x_sendfile.as_ref().map(|allowed| allowed.asked(request.method(), request.headers())),
        response: server.app.call(lane, request),
        timer,
        exchange: Some(exchange),
        slot,
        place,
        due,
        named,
        waits_for_turn,
    })
}

/// A client, and the scheme of its connection.
type Client = (Option<SocketAddr>, Scheme);

#[cold]
fn refuse<A: App, E: Exchange>(
    load: &Load,
    refusal: Refusal,
    (request, client): (&Request<RequestBody>, Client),
    exchange: E,
    mut due: Due,
) -> ResponseFuture<A, E> {
    let began = begin_refused(load, request, client, (&exchange, &mut due));
    exchange.connection().report(&refusal, || facts_of(load, request, client.0, began));
    ResponseFuture::refused(refusal, exchange, due)
}

/// A request is not passed on: it is counted, and has a line in the access log, all the same. Returns when it began.
#[cold]
fn begin_refused<E: Exchange>(
    load: &Load,
    request: &Request<RequestBody>,
    client: Client,
    (exchange, due): (&E, &mut Due),
) -> u64 {
    let began = clock::now();
    exchange.begin(due.refuse(load, request, client, began));
    began
}

/// What the log says of a request that began then and was given its id.
fn facts_of(
    load: &Load,
    request: &Request<RequestBody>,
    client: Option<SocketAddr>,
    began: u64,
) -> RequestFacts {
    let id = load.ids().given(request.headers());
    RequestFacts::of(Began(began), (request.method(), request.uri()), client, id.as_ref())
}
