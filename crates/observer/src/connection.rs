//! A client's connection.

use crate::respond::{Observer, respond};
use hyper::{
    header::{self, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    cell::Cell,
    convert::Infallible,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, sleep, sleep_until},
};

/// How long a request's head may take.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// How long a connection may be idle, or its client read nothing: longer than Prometheus usually waits between scrapes.
const IDLE_LIMIT: Duration = Duration::from_secs(75);
/// How often to look whether another server has the service.
const REPLACED_CHECK: Duration = Duration::from_millis(500);
/// How large a request's head may be: hyper's least.
const HEAD_BYTES: usize = 8192;

/// A socket, and when bytes last moved on it.
struct Watched<S> {
    socket: S,
    moved: Rc<Cell<Instant>>,
}

impl<S> Watched<S> {
    fn watch<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_ready() {
            self.moved.set(Instant::now());
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_read(cx, buf);
        self.watch(polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.watch(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Serves a client until it leaves, or nothing moves for too long.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(observer: Rc<Observer>, socket: S) {
    let moved = Rc::new(Cell::new(Instant::now()));
    let io = TokioIo::new(Watched { socket, moved: Rc::clone(&moved) });
    let has_asked = Cell::new(false);
    let service = service_fn(async |request| {
        has_asked.set(true);
        let mut response = respond(&observer, request).await?;
        if observer.leaves() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok::<_, Infallible>(response)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(io, service);
    let mut served = pin!(served);
    tokio::select! {
        // Whatever is wrong with a client is its own affair.
        _ = served.as_mut() => return,
        () = still(&moved) => return,
        // A first request is still served, with `Connection: close`: hyper would close a connection that has sent none.
        () = ends(&observer) => if has_asked.get() { served.as_mut().graceful_shutdown() },
    }
    tokio::select! {
        _ = served => {}
        () = still(&moved) => {}
    }
}

/// Waits until this observer ends, or another server has the service: clients that keep their connections are to ask that
/// one's observer.
async fn ends(observer: &Observer) {
    let mut ending = observer.ending.subscribe();
    tokio::select! {
        () = replaced(observer) => {}
        _ = ending.wait_for(|ends| *ends) => {}
    }
}

async fn replaced(observer: &Observer) {
    while observer.has_service() {
        sleep(REPLACED_CHECK).await;
    }
}

/// Waits until nothing has moved for too long.
async fn still(moved: &Cell<Instant>) {
    loop {
        let limit = moved.get() + IDLE_LIMIT;
        if Instant::now() >= limit {
            return;
        }
        sleep_until(limit).await;
    }
}
