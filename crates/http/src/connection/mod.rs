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
    request_body::{BodyReport, RequestBody},
};
use bytes::Bytes;
use hostler_sys::socket::Departure;
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
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};
use tracing::{debug, warn};

/// How much of a request is read before hyper has the connection: most requests' heads.
const FIRST_READ: usize = 1024;

/// How long after it was refused a connection is offered to other workers again.
const OFFER_AGAIN: Duration = Duration::from_millis(100);

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
        let _counted = self.load.connection();
        let body = Arc::default();
        let service = AppService { connection: application, server: self, activity, body, interim, peer };
        let ended = UntilEnded {
            wire: Wire::Resting(io),
            builder,
            service,
            upgrades,
            protocol: None,
            origin,
            descriptor,
            watched: false,
            guard: None,
            refused: None,
        }
        .await;
        if let Err(error) = ended {
            debug!(?peer, %error, "connection failed");
        }
    }
}

/// Who has the connection.
enum Wire<S: Read + Write + Descriptor + Unpin + 'static, A: App<Body: Unpin>> {
    /// Nobody: the client has said nothing for a while, or nothing yet. hyper's buffers are half of what a connection
    /// takes, and most connections rest most of the time.
    Resting(Batched<S>),
    /// hyper. In a box, so that a resting connection is small.
    Speaking(Box<http1::Connection<Batched<S>, AppService<A>>>),
    /// Another protocol, or another worker.
    Gone,
}

/// The connection's future, which also hears of the drain.
struct UntilEnded<S: Read + Write + Descriptor + Unpin + 'static, A: App<Body: Unpin>> {
    wire: Wire<S, A>,
    builder: Rc<http1::Builder>,
    /// What hyper calls; it gets a copy whenever it takes the connection.
    service: AppService<A>,
    upgrades: Upgrades,
    /// What is spoken after a 101.
    protocol: Option<Pin<Box<dyn Future<Output = ()>>>>,
    origin: Origin,
    /// The socket's, to look whether the client has left.
    descriptor: RawFd,
    watched: bool,
    guard: Option<Guard>,
    /// When it could not be handed over.
    refused: Option<Instant>,
}

impl<S: Read + Write + Descriptor + Unpin + 'static, A: App<Body: Unpin>> UntilEnded<S, A> {
    /// Has the client watched by this task, or no more.
    fn watch(&mut self, task: Option<&Waker>) {
        match (task, self.watched) {
            (Some(waker), false) => {
                self.service.server.departures.watch(self.descriptor, waker, &self.service.activity)
            }
            (None, true) => self.service.server.departures.forget(self.descriptor),
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
        let connections = &this.service.server.connections;
        if this.guard.is_none() {
            this.guard = Some(connections.register(cx.waker().clone(), Rc::clone(&this.service.activity)));
        }
        if this.protocol.is_some() {
            return this.poll_protocol(cx);
        }
        if let Poll::Ready(false) = this.poll_begin(cx) {
            return Poll::Ready(Ok(()));
        }
        if let Wire::Speaking(connection) = &mut this.wire {
            match Pin::new(&mut **connection).poll(cx) {
                Poll::Ready(Ok(())) if this.upgrade() => return this.poll_protocol(cx),
                Poll::Pending => {}
                ended @ Poll::Ready(_) => return ended,
            }
        }
        if !this.service.activity.is_idle() {
            return if this.client_is_served(cx.waker()) { Poll::Pending } else { Poll::Ready(Ok(())) };
        }
        this.watch(None);
        match this.service.server.connections.phase() {
            Phase::HandingOver if this.may_offer() && this.hand_over(cx) => Poll::Ready(Ok(())),
            Phase::Closing => Poll::Ready(Ok(())),
            _ if this.service.activity.has_expired() => Poll::Ready(Ok(())),
            _ => {
                if this.service.activity.should_rest() {
                    this.rest();
                    // The socket is to wake this task from now on, not hyper.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
        }
    }
}

impl<S, A> UntilEnded<S, A>
where
    A: App<Body: Unpin>,
    S: Read + Write + Descriptor + Unpin + 'static,
{
    /// Gives the connection to hyper when the client says something; false when it leaves instead.
    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Wire::Resting(io) = &mut self.wire else { return Poll::Ready(true) };
        let mut storage = [0; FIRST_READ];
        let mut first = hyper::rt::ReadBuf::new(&mut storage);
        if ready!(Pin::new(&mut *io).poll_read(cx, first.unfilled())).is_err() || first.filled().is_empty() {
            return Poll::Ready(false);
        }
        io.unread_first(Bytes::copy_from_slice(first.filled()));
        self.speak();
        Poll::Ready(true)
    }

    fn speak(&mut self) {
        if let Wire::Resting(io) = std::mem::replace(&mut self.wire, Wire::Gone) {
            let connection = self.builder.serve_connection(io, self.service.clone());
            self.wire = Wire::Speaking(Box::new(connection));
        }
    }

    /// Takes the connection back from hyper, with its buffers.
    fn rest(&mut self) {
        let Some((io, unread)) = self.take_apart() else { return };
        io.shrink();
        let begun = !unread.is_empty() || !io.unread().is_empty();
        self.wire = Wire::Resting(io);
        if let Wire::Resting(io) = &mut self.wire
            && begun
        {
            // The beginning of a request is not nothing.
            io.unread_first(unread);
            self.speak();
        }
    }

    /// The connection itself, and what hyper has read beyond the last request.
    fn take_apart(&mut self) -> Option<(Batched<S>, Bytes)> {
        match std::mem::replace(&mut self.wire, Wire::Gone) {
            Wire::Speaking(connection) => {
                let http1::Parts { io, read_buf, .. } = connection.into_parts();
                Some((io, read_buf))
            }
            Wire::Resting(io) => Some((io, Bytes::new())),
            Wire::Gone => None,
        }
    }

    /// Lets another protocol have the connection, if the application answered with one.
    fn upgrade(&mut self) -> bool {
        let Some(protocol) = self.upgrades.take() else { return false };
        let Some((mut io, unread)) = self.take_apart() else { return false };
        io.unread_first(unread);
        // A request without an end, for those who look whether the connection is idle.
        self.service.activity.request_began();
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
        match self.service.activity.departure() {
            None => {
                self.watch(Some(waker));
                true
            }
            Some(Departure::Finished) => self.service.server.app.client_finished(&self.service.connection),
            Some(Departure::Broken) => false,
        }
    }

    /// Sends the idle connection to another worker; whether that was possible.
    fn hand_over(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((io, read)) = self.take_apart() else { return false };
        // Nothing can be left to send: hyper has flushed, and only a client that reads nothing fills a socket.
        if !io.is_emptied(cx) {
            debug!("a connection whose client does not read cannot be handed over and is closed");
            return true;
        }
        let unread = [read.as_ref(), io.unread()].concat();
        let listener = u16::try_from(self.origin.listener).unwrap_or_default();
        let offered = io.with_descriptor(|socket| self.service.server.line.offer(listener, &unread, socket));
        if let Err(error) = offered {
            debug!(%error, "a connection cannot be handed over and is served on");
            self.serve_on(io, read, cx);
            return false;
        }
        true
    }

    /// Goes on with a connection that was taken apart; it is offered again after a while.
    fn serve_on(&mut self, io: Batched<S>, read: Bytes, cx: &mut Context<'_>) {
        let begun = !read.is_empty() || !io.unread().is_empty();
        self.wire = Wire::Resting(io);
        if let Wire::Resting(io) = &mut self.wire
            && begun
        {
            io.unread_first(read);
            self.speak();
        }
        self.refused = Some(Instant::now());
        // The socket is to wake this task from now on; and later, time.
        cx.waker().wake_by_ref();
        let waker = cx.waker().clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(OFFER_AGAIN).await;
            waker.wake();
        });
    }

    fn may_offer(&self) -> bool {
        self.refused.is_none_or(|at| at.elapsed() >= OFFER_AGAIN)
    }
}

/// What hyper sends.
type Reply<A> = Response<ReplyBody<InFlight<<A as App>::Body>>>;

/// The application as hyper calls it.
struct AppService<A: App> {
    server: Rc<Server<A>>,
    connection: Rc<A::Connection>,
    activity: Rc<Activity>,
    body: Arc<BodyReport>,
    interim: Interim,
    peer: Option<SocketAddr>,
}

impl<A: App> Clone for AppService<A> {
    fn clone(&self) -> Self {
        Self {
            server: Rc::clone(&self.server),
            connection: Rc::clone(&self.connection),
            activity: Rc::clone(&self.activity),
            body: Arc::clone(&self.body),
            interim: self.interim.clone(),
            peer: self.peer,
        }
    }
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
            answer: server.app.call(&self.connection, request.map(|body| RequestBody::new(body, &self.body))),
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
