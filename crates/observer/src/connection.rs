//! A client's connection: what it reads and writes is watched, so that one on which nothing moves can be closed.

use crate::respond::{Observer, respond};
use hyper::{
    header::{self, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    cell::Cell,
    convert::Infallible,
    io::{self, IoSlice},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
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

/// What is known of a client.
pub(crate) struct Client {
    /// Whether it came over a network, and so may be a browser that does what a page of anybody's says.
    pub(crate) is_remote: bool,
    /// When bytes last moved.
    moved_at: Cell<Instant>,
    /// Since when its socket has taken nothing of what there is to write.
    blocked_since: Cell<Option<Instant>>,
    closed: Cell<bool>,
    closing: Notify,
}

impl Client {
    pub(crate) fn new(is_remote: bool) -> Self {
        Self {
            is_remote,
            moved_at: Cell::new(Instant::now()),
            blocked_since: Cell::new(None),
            closed: Cell::new(false),
            closing: Notify::new(),
        }
    }

    /// Since when its socket has taken nothing; `None` if it does, or is about to be closed.
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since.get().filter(|_| !self.closed.get())
    }

    /// Has the connection closed, whatever is on its way.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.closing.notify_one();
    }

    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether its socket takes no more now.
    pub(crate) fn blocks(&self, blocks: bool) {
        let since = || self.blocked_since.get().unwrap_or_else(Instant::now);
        self.blocked_since.set(blocks.then(since));
    }

    fn moves<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_ready() {
            self.moved_at.set(Instant::now());
        }
        polled
    }

    fn writes<T>(&self, polled: Poll<T>) -> Poll<T> {
        self.blocks(polled.is_pending());
        self.moves(polled)
    }

    /// Waits until nothing has moved for too long.
    async fn still(&self) {
        loop {
            let limit = self.moved_at.get() + IDLE_LIMIT;
            if Instant::now() >= limit {
                return;
            }
            sleep_until(limit).await;
        }
    }
}

/// A client's socket.
struct Watched<S> {
    socket: S,
    client: Rc<Client>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_read(cx, buf);
        self.client.moves(polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.client.writes(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.client.writes(polled)
    }

    /// Without it hyper would copy each response.
    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Serves a client until it leaves, nothing moves for too long, or others need its memory.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    observer: Rc<Observer>,
    socket: S,
    client: Rc<Client>,
) {
    observer.documents.admit(&client);
    let io = TokioIo::new(Watched { socket, client: Rc::clone(&client) });
    let has_asked = Cell::new(false);
    let service = service_fn(async |request| {
        has_asked.set(true);
        let mut response = respond(&observer, &client, request).await?;
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
        () = client.still() => return,
        () = client.closing.notified() => return,
        // A first request is still served, with `Connection: close`: hyper would close a connection that has sent none.
        () = ends(&observer) => if has_asked.get() { served.as_mut().graceful_shutdown() },
    }
    tokio::select! {
        _ = served => {}
        () = client.still() => {}
        () = client.closing.notified() => {}
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
