//! What the task of a connection does with HTTP/2: when the connection ends, and how.

use super::{connection::Http2Conn, leave::Step, side::Side, streams::Lane};
use crate::{
    App,
    connection::{Closing, ConnectionTask, Event, SocketOwner, WaitsFor},
    connections::Phase,
    io::transport::Transport,
};
use hyper::rt::{Read, Write};
use std::{
    error::Error,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll},
};
use tracing::{debug, warn};

impl<S, A> ConnectionTask<S, A>
where
    A: App<Body: Unpin>,
    S: Read + Write + Transport + Unpin + 'static,
{
    /// Gives a parked connection to hyper, to speak HTTP/2.
    pub(crate) fn attach_http2(&mut self) {
        let SocketOwner::Parked(io) = std::mem::replace(&mut self.owner, SocketOwner::Gone) else { return };
        let service = &self.service;
        let lane = Lane { connection: Rc::clone(&service.connection), upgrades: self.upgrades.clone() };
        let (server, info) = (Rc::clone(&service.server), self.info.clone());
        service.handle.on(Event::StreamsAttached);
        let settings = server.http.http2();
        let connection = Http2Conn::new(io, &settings, server, (info, service.facts), lane);
        self.owner = SocketOwner::Http2(Box::new(connection));
    }

    /// Polls hyper and the streams; ready when the connection has another owner.
    pub(crate) fn poll_http2(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let SocketOwner::Http2(connection) = &mut self.owner else { return Poll::Ready(()) };
        let handle = &self.service.handle;
        connection.give_up_buffers();
        loop {
            handle.poll_time.restart();
            if let Poll::Ready(ended) = connection.poll(cx) {
                match &ended {
                    Err(error) if handle.http2().is_some_and(|http2| http2.farewell().is_some()) => {
                        let (peer, cause) = (self.service.facts.peer.map(display), cause(error));
                        warn!(peer, cause, "HTTP/2 flood: the connection is closed");
                    }
                    Err(error) => debug!(%error, "connection ended"),
                    Ok(()) => {}
                }
                // A client that was idle when it was told to leave has read what it was sent.
                let all_read = connection.leaving.was_idle();
                self.close_http2(cx, all_read);
                return Poll::Ready(());
            }
            let leave = match handle.expired() {
                Some(WaitsFor::ResponseRead) => {
                    debug!("the client does not read its responses: --write-timeout");
                    handle.reset_on_close(true);
                    self.owner = SocketOwner::Gone;
                    return Poll::Ready(());
                }
                Some(_) => true,
                None => may_leave(handle.phase(), connection.streams.has_begun(), self.origin.is_new()),
            };
            match connection.leave(leave) {
                Step::Wait => return Poll::Pending,
                Step::Poll => {}
                Step::Close => {
                    // Without it, the client could not tell what it may repeat.
                    if let Some(side) = handle.http2() {
                        connection.say(&side.all_served());
                    }
                    // It may have sent more: until it has read this, the connection is not reset.
                    self.close_http2(cx, false);
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Closes the connection. `all_read`: the client has read all of it.
    fn close_http2(&mut self, cx: &Context<'_>, all_read: bool) {
        let SocketOwner::Http2(mut connection) = std::mem::replace(&mut self.owner, SocketOwner::Gone) else {
            return;
        };
        self.service.handle.set_task(cx.waker());
        let io = connection.take_io();
        drop(connection);
        if let Some(io) = io {
            if let Some(farewell) = self.service.handle.http2().and_then(Side::farewell) {
                io.put(&farewell);
            }
            self.owner = SocketOwner::Closing(Box::new(Closing::new(io, all_read)));
        }
    }
}

/// What an error is about.
fn cause(error: &hyper::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

fn display(peer: SocketAddr) -> String {
    peer.to_string()
}

/// Whether a connection is to end, once its streams have. One without any yet is kept while its client may be about to open
/// one: it could but connect again.
fn may_leave(phase: Phase, has_begun: bool, is_new: bool) -> bool {
    match phase {
        Phase::Serving => false,
        Phase::LameDuck => has_begun,
        Phase::HandingOver | Phase::Draining | Phase::Closing => has_begun || !is_new,
    }
}
