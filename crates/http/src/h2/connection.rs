//! hyper's HTTP/2 connection, with its streams.

use super::{
    leave::Leaving,
    ready::CONNECTION,
    service::StreamService,
    side::{CheckStreams, Side},
    streams::{InTask, Lane, Streams},
};
use crate::{
    App, ConnectionInfo,
    connection::{ConnectionHandle, Server},
    io::{CoalescingIo, transport::Transport},
    proxy::Facts,
};
use hostler_settings::Http2;
use hyper::{
    rt::{Read, Write},
    server::conn::http2,
};
use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// How often hyper and the streams take turns before other connections have theirs.
const MAX_ROUNDS: usize = 32;

/// hyper refuses these itself: it has h2 reset the stream, and is ready as if the connection were over, which goes on when
/// it is polled again.
const CONNECT_WITH_LENGTH: &str = "CONNECT with a Content-Length other than 0";

/// How often in a row hyper may be ready without an end of the connection, which is so for a reason that is not known.
const MAX_REFUSED: u32 = 10_000;

type HyperConnection<S, A> = http2::Connection<CoalescingIo<S>, StreamService<A>, InTask<A>>;

/// An HTTP/2 connection.
pub(crate) struct Http2Conn<S: Read + Write + Transport + Unpin + 'static, A: App<Body: Unpin>> {
    hyper: HyperConnection<S, A>,
    pub(super) streams: Rc<Streams<A>>,
    /// Shares the socket with hyper, which does not give it back.
    io: Option<CoalescingIo<S>>,
    pub(super) leaving: Leaving,
    /// How many requests in a row hyper has refused itself.
    refused: u32,
    waker: std::task::Waker,
    woken: Vec<u32>,
}

impl<S: Read + Write + Transport + Unpin + 'static, A: App<Body: Unpin>> Http2Conn<S, A> {
    /// Gives a socket to hyper.
    pub(crate) fn new(
        io: CoalescingIo<S>,
        settings: &Http2,
        server: Rc<Server<A>>,
        (info, facts): (ConnectionInfo, Facts),
        first: Lane<A>,
    ) -> Self {
        let handle: Rc<ConnectionHandle> = Rc::clone(io.handle());
        let streams = Streams::new(server, Rc::clone(&handle), info, first);
        let waker = streams.connection_waker();
        waker.wake_by_ref();
        let checked: Rc<dyn CheckStreams> = Rc::<Streams<A>>::clone(&streams);
        handle.speaks_http2(Side::new(Rc::downgrade(&checked), settings));
        // What wakes the connection wakes hyper.
        handle.set_task(&waker);
        let (twin, websocket) = (io.twin(), streams.server.app.serves_websocket());
        let service = StreamService { streams: Rc::clone(&streams), facts };
        let hyper =
            super::builder(settings, websocket, InTask(Rc::clone(&streams))).serve_connection(io, service);
        let (leaving, refused, woken) = Default::default();
        Self { hyper, streams, io: Some(twin), leaving, refused, waker, woken }
    }

    /// Lets hyper and the streams that were woken go on; ready when hyper is done with the connection.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.streams.ready().run(cx.waker());
        for _ in 0..MAX_ROUNDS {
            self.woken.clear();
            if !self.streams.ready().take(&mut self.woken) {
                return Poll::Pending;
            }
            // Resets and window updates come before the streams that they are for.
            if self.woken.contains(&CONNECTION) {
                self.streams.connection_taken();
                if let Poll::Ready(ended) = self.poll_hyper() {
                    self.streams.clear();
                    return Poll::Ready(ended);
                }
            }
            for number in self.woken.iter().copied().filter(|number| *number != CONNECTION) {
                self.streams.poll(number);
            }
        }
        self.streams.ready().pause();
        Poll::Pending
    }

    /// Gives up buffers, once no stream was open for a while.
    pub(super) fn give_up_buffers(&self) {
        if self.streams.gives_up()
            && let Some(io) = &self.io
        {
            io.shrink();
        }
    }

    /// Polls hyper's connection; ready when it is over.
    fn poll_hyper(&mut self) -> Poll<hyper::Result<()>> {
        let polled = Pin::new(&mut self.hyper).poll(&mut Context::from_waker(&self.waker));
        if !matches!(polled, Poll::Ready(Ok(()))) {
            self.refused = 0;
            return polled;
        }
        let handle = &self.streams.handle;
        let is_over = handle.is_lost() || handle.http2().is_none_or(Side::is_closing);
        if is_over || self.refused == MAX_REFUSED {
            return polled;
        }
        self.refused += 1;
        handle.report_reset(CONNECT_WITH_LENGTH);
        self.waker.wake_by_ref();
        Poll::Pending
    }

    /// Has hyper tell the client to open no more streams, and end when those on their way were served (RFC 9113 §6.8).
    pub(super) fn shut_down(&mut self) {
        Pin::new(&mut self.hyper).graceful_shutdown();
        self.waker.wake_by_ref();
    }

    /// No stream is open, and the socket has every response.
    pub(super) fn is_idle(&self) -> bool {
        let handle = &self.streams.handle;
        self.streams.open() == 0 && !handle.has_unsent_streams() && handle.state().owes_no_bytes()
    }

    /// Sends a frame behind what hyper has written, when the connection is closed.
    pub(super) fn say(&self, frame: &[u8]) {
        if let Some(io) = &self.io {
            io.put(frame);
        }
    }

    /// Takes the socket back. What hyper has still to write is lost.
    pub(super) fn take_io(&mut self) -> Option<CoalescingIo<S>> {
        self.io.take()
    }
}

impl<S: Read + Write + Transport + Unpin + 'static, A: App<Body: Unpin>> Drop for Http2Conn<S, A> {
    fn drop(&mut self) {
        // The futures of streams hold the executor, and with it the streams.
        self.streams.clear();
    }
}
