//! One connection: hyper's HTTP/1 state machine, our checks before the application, and the drain.

use crate::{
    Aborted, App, ConnectionInfo, Interim, Line, Link, PeerAddress, ReplyBody, Upgraded, Upgrades,
    batch::Batched,
    check::refusal,
    deadline::Timer,
    departures::Departures,
    drain::{Activity, Connections, Guard, Phase},
    handover::Descriptor,
    load::{Load, Tracked},
};
use bytes::Bytes;
use hostler_sys::socket::Departure;
use hostler_wire::Handover;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, CONTENT_TYPE, HeaderValue},
    rt::{Read, Write},
    server::conn::http1,
    service::Service,
};
use hyper_util::rt::TokioIo;
use std::{
    future::Future,
    net::SocketAddr,
    os::fd::RawFd,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tracing::{debug, warn};

/// What all connections of a worker share.
pub(crate) struct Server<A> {
    pub(crate) app: A,
    pub(crate) connections: Connections,
    pub(crate) load: Load,
    pub(crate) line: Line,
    pub(crate) departures: Departures,
    pub(crate) request_timeout: Option<Duration>,
}

/// Where a connection came from.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    /// The listener's place among the worker's.
    pub(crate) listener: usize,
}

impl<A: App<Body: Unpin>> Server<A> {
    /// Serves one connection until either side ends it or another worker takes it over.
    pub(crate) async fn serve<S>(
        self: Rc<Self>,
        builder: Rc<http1::Builder>,
        io: Batched<S>,
        info: ConnectionInfo,
        origin: Origin,
    ) where
        S: Read + Write + Descriptor + Unpin + 'static,
    {
        let peer = match info.peer {
            PeerAddress::Tcp(peer) => Some(peer),
            PeerAddress::Unix(_) => None,
        };
        let activity = Rc::new(Activity::default());
        let upgrades = Upgrades::default();
        let interim = io.interim();
        let link = Link { upgrades: upgrades.clone(), interim: interim.clone() };
        let application = Rc::new(self.app.connect(info, link));
        let descriptor = io.descriptor_number();
        let service = AppService {
            connection: Rc::clone(&application),
            server: Rc::clone(&self),
            activity: Rc::clone(&activity),
            interim,
            peer,
        };
        let connection = Some(builder.serve_connection(io, service));
        let _counted = self.load.connection();
        let ended = UntilEnded {
            connection,
            server: self,
            application,
            activity,
            upgrades,
            protocol: None,
            origin,
            descriptor,
            watched: false,
            guard: None,
        }
        .await;
        if let Err(error) = ended {
            debug!(?peer, %error, "connection failed");
        }
    }
}

/// The connection's future, which also hears of the drain.
struct UntilEnded<S: Read + Write + Descriptor + Unpin + 'static, A: App<Body: Unpin>> {
    /// Taken when another worker takes it over.
    connection: Option<http1::Connection<Batched<S>, AppService<A>>>,
    server: Rc<Server<A>>,
    application: Rc<A::Connection>,
    activity: Rc<Activity>,
    upgrades: Upgrades,
    /// What is spoken after a 101.
    protocol: Option<Pin<Box<dyn Future<Output = ()>>>>,
    origin: Origin,
    /// The socket's, to look whether the client has left.
    descriptor: RawFd,
    watched: bool,
    guard: Option<Guard>,
}

impl<S: Read + Write + Descriptor + Unpin + 'static, A: App<Body: Unpin>> UntilEnded<S, A> {
    /// Has the client watched by this task, or no more.
    fn watch(&mut self, task: Option<&Waker>) {
        match (task, self.watched) {
            (Some(waker), false) => self.server.departures.watch(self.descriptor, waker, &self.activity),
            (None, true) => self.server.departures.forget(self.descriptor),
            _ => return,
        }
        self.watched = task.is_some();
    }
}

impl<S: Read + Write + Descriptor + Unpin + 'static, A: App<Body: Unpin>> Drop for UntilEnded<S, A> {
    fn drop(&mut self) {
        self.watch(None);
    }
}

impl<S, A> Future for UntilEnded<S, A>
where
    A: App<Body: Unpin>,
    S: Read + Write + Descriptor + Unpin + 'static,
{
    type Output = Result<(), hyper::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let connections = &this.server.connections;
        if this.guard.is_none() {
            this.guard = Some(connections.register(cx.waker().clone(), Rc::clone(&this.activity)));
        }
        if this.protocol.is_some() {
            return this.poll_protocol(cx);
        }
        let Some(connection) = &mut this.connection else { return Poll::Ready(Ok(())) };
        match Pin::new(connection).poll(cx) {
            Poll::Ready(Ok(())) if this.upgrade() => return this.poll_protocol(cx),
            Poll::Pending => {}
            ended @ Poll::Ready(_) => return ended,
        }
        if !this.activity.is_idle() {
            return if this.client_is_served(cx.waker()) { Poll::Pending } else { Poll::Ready(Ok(())) };
        }
        this.watch(None);
        match this.server.connections.phase() {
            Phase::HandingOver if this.hand_over(cx) => Poll::Ready(Ok(())),
            Phase::Closing => Poll::Ready(Ok(())),
            _ if this.activity.has_expired() => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }
}

impl<S, A> UntilEnded<S, A>
where
    A: App<Body: Unpin>,
    S: Read + Write + Descriptor + Unpin + 'static,
{
    /// Lets another protocol have the connection, if the application answered with one.
    fn upgrade(&mut self) -> bool {
        let Some(protocol) = self.upgrades.take() else { return false };
        let Some(connection) = self.connection.take() else { return false };
        let http1::Parts { mut io, read_buf, .. } = connection.into_parts();
        io.unread_first(read_buf);
        // A request without an end, for those who look whether the connection is idle.
        self.activity.request_began();
        self.watch(None);
        self.protocol = Some(protocol(Upgraded::new(TokioIo::new(io))));
        true
    }

    fn poll_protocol(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        match &mut self.protocol {
            Some(protocol) => protocol.as_mut().poll(cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Looks whether the client of the request in flight is there; false if nobody is left to be answered.
    fn client_is_served(&mut self, waker: &Waker) -> bool {
        match self.activity.departure() {
            None => {
                self.watch(Some(waker));
                true
            }
            Some(Departure::Finished) => self.server.app.client_finished(&self.application),
            Some(Departure::Broken) => false,
        }
    }

    /// Sends the idle connection to another worker; whether that was possible.
    fn hand_over(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(connection) = self.connection.take() else { return false };
        let parts = connection.into_parts();
        // Nothing can be left to send: hyper has flushed, and only a client that reads nothing fills a socket.
        if !parts.io.is_emptied(cx) {
            debug!("a connection whose client does not read cannot be handed over and is closed");
            return true;
        }
        match parts.io.copy_descriptor() {
            Ok(socket) => {
                let unread = [parts.read_buf.as_ref(), parts.io.unread()].concat();
                let handover = Handover { listener: self.origin.listener, unread };
                self.server.line.offer(handover, socket);
            }
            Err(error) => debug!(%error, "a connection cannot be handed over and is closed"),
        }
        true
    }
}

/// What hyper sends.
type Reply<A> = Response<ReplyBody<InFlight<<A as App>::Body>>>;

/// The application as hyper calls it.
struct AppService<A: App> {
    server: Rc<Server<A>>,
    connection: Rc<A::Connection>,
    activity: Rc<Activity>,
    interim: Interim,
    peer: Option<SocketAddr>,
}

impl<A: App<Body: Unpin>> Service<Request<Incoming>> for AppService<A> {
    type Response = Reply<A>;
    type Error = Aborted;
    type Future = Answer<A>;

    fn call(&self, mut request: Request<Incoming>) -> Answer<A> {
        if let Some(reason) = refusal(&request) {
            self.interim.answered();
            return Answer(Stage::Refused(reason));
        }
        let server = &self.server;
        let count = Counted {
            tracked: server.load.begin(request.method(), request.uri(), self.peer),
            activity: Rc::clone(&self.activity),
        };
        self.activity.request_began();
        self.interim.asked();
        let timer = server.request_timeout.map(|limit| {
            let timer = Timer::new(limit);
            request.extensions_mut().insert(timer.deadline());
            timer
        });
        Answer(Stage::Called(Called {
            answer: server.app.call(&self.connection, request),
            timer,
            count: Some(count),
            connections: server.connections.clone(),
            interim: self.interim.clone(),
        }))
    }
}

struct Answer<A: App>(Stage<A>);

enum Stage<A: App> {
    Refused(&'static str),
    Called(Called<A>),
}

struct Called<A: App> {
    answer: A::Answer,
    timer: Option<Timer>,
    count: Option<Counted>,
    connections: Connections,
    interim: Interim,
}

impl<A: App<Body: Unpin>> Future for Answer<A> {
    type Output = Result<Reply<A>, Aborted>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Stage::Refused(reason) => Poll::Ready(Ok(own_answer(StatusCode::BAD_REQUEST, reason))),
            Stage::Called(called) => called.poll(cx),
        }
    }
}

impl<A: App<Body: Unpin>> Called<A> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply<A>, Aborted>> {
        let polled = Pin::new(&mut self.answer).poll(cx);
        if polled.is_pending()
            && let Some(timer) = &mut self.timer
        {
            ready!(timer.poll_expired(cx));
            A::time_out(&mut self.answer);
            self.interim.answered();
            if let Some(mut count) = self.count.take() {
                warn!(request = count.tracked.describe(), "request timeout: answered with 504");
                count.tracked.status = StatusCode::GATEWAY_TIMEOUT.as_u16();
            }
            let text = "the application took longer than --request-timeout";
            return Poll::Ready(Ok(own_answer(StatusCode::GATEWAY_TIMEOUT, text)));
        }
        let answer = ready!(polled)?;
        self.interim.answered();
        let mut count = self.count.take();
        if let Some(count) = &mut count {
            count.tracked.status = answer.status().as_u16();
        }
        let mut answer = answer.map(|body| ReplyBody::App(InFlight { body, _count: count }));
        let upgrades = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        if self.connections.phase().ends_connections() && !upgrades {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(answer))
    }
}

/// A request from the call until its answer is sent or dropped.
struct Counted {
    tracked: Tracked,
    activity: Rc<Activity>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.activity.request_ended();
    }
}

/// The application's body, counted as in flight until hyper lets go of it.
pub(crate) struct InFlight<B> {
    body: B,
    _count: Option<Counted>,
}

impl<B: http_body::Body + Unpin> http_body::Body for InFlight<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// An answer of the server's own, after which the connection ends.
fn own_answer<B>(status: StatusCode, text: &'static str) -> Response<ReplyBody<B>> {
    let mut response = Response::new(ReplyBody::Own(Full::new(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
