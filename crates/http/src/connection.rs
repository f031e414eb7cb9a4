//! One connection: hyper's HTTP/1 state machine, our checks before the application, and the drain.

use crate::{
    Aborted, App, ConnectionInfo, ReplyBody,
    check::refusal,
    drain::{Activity, Connections, Guard, Phase},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, CONTENT_TYPE, HeaderValue},
    rt::{Read, Write},
    server::conn::http1,
    service::Service,
};
use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tracing::debug;

/// Serves one connection until either side ends it.
pub(crate) async fn serve_connection<A, I>(
    app: Rc<A>,
    builder: Rc<http1::Builder>,
    io: I,
    info: ConnectionInfo,
    connections: Connections,
) where
    A: App<Body: Unpin>,
    I: Read + Write + Unpin + 'static,
{
    let peer = info.peer.clone();
    let activity = Rc::new(Activity::default());
    let service = AppService { connection: Rc::new(app.connect(info)), app, activity: Rc::clone(&activity) };
    let connection = builder.serve_connection(io, service);
    let ended = UntilEnded { connection, connections, activity, guard: None, told: false }.await;
    if let Err(error) = ended {
        debug!(?peer, %error, "connection failed");
    }
}

/// The connection's future, which also hears of the drain.
struct UntilEnded<I: Read + Write + Unpin, A: App<Body: Unpin>> {
    connection: http1::Connection<I, AppService<A>>,
    connections: Connections,
    activity: Rc<Activity>,
    guard: Option<Guard>,
    told: bool,
}

impl<I, A> Future for UntilEnded<I, A>
where
    A: App<Body: Unpin>,
    I: Read + Write + Unpin + 'static,
{
    type Output = Result<(), hyper::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.guard.is_none() {
            this.guard = Some(this.connections.register(cx.waker().clone(), Rc::clone(&this.activity)));
        }
        let phase = this.connections.phase();
        if phase > Phase::Serving && !this.told {
            this.told = true;
            Pin::new(&mut this.connection).graceful_shutdown();
        }
        let ended = Pin::new(&mut this.connection).poll(cx);
        let unwanted = this.activity.has_expired() || phase == Phase::Closing;
        if ended.is_pending() && unwanted && this.activity.is_idle() {
            return Poll::Ready(Ok(()));
        }
        ended
    }
}

/// The application as hyper calls it.
struct AppService<A: App> {
    app: Rc<A>,
    connection: Rc<A::Connection>,
    activity: Rc<Activity>,
}

impl<A: App<Body: Unpin>> Service<Request<Incoming>> for AppService<A> {
    type Response = Response<ReplyBody<InFlight<A::Body>>>;
    type Error = Aborted;
    type Future = Answer<A>;

    fn call(&self, request: Request<Incoming>) -> Answer<A> {
        match refusal(&request) {
            Some(reason) => Answer::Refused(reason),
            None => Answer::Called {
                answer: self.app.call(&self.connection, request),
                count: Some(Counted::new(&self.activity)),
            },
        }
    }
}

enum Answer<A: App> {
    Refused(&'static str),
    Called { answer: A::Answer, count: Option<Counted> },
}

impl<A: App<Body: Unpin>> Future for Answer<A> {
    type Output = Result<Response<ReplyBody<InFlight<A::Body>>>, Aborted>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Refused(reason) => Poll::Ready(Ok(bad_request(reason))),
            Self::Called { answer, count } => {
                let answer = ready!(Pin::new(answer).poll(cx))?;
                let count = count.take();
                Poll::Ready(Ok(answer.map(|body| ReplyBody::App(InFlight { body, _count: count }))))
            }
        }
    }
}

/// Counts a request from the call until its answer is sent or dropped.
struct Counted(Rc<Activity>);

impl Counted {
    fn new(activity: &Rc<Activity>) -> Self {
        activity.request_began();
        Self(Rc::clone(activity))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.request_ended();
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

fn bad_request<B>(reason: &'static str) -> Response<ReplyBody<B>> {
    let mut response = Response::new(ReplyBody::Own(Full::new(Bytes::from_static(reason.as_bytes()))));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
