//! The future of a connection: who has its socket, and what is done when the state machine allows it.
//!
//! hyper is taken apart only while the connection is idle, because its buffers are lost with it.

use super::{
    Origin,
    closing::Closing,
    http_conn::HttpConn,
    idle::Idle,
    service::AppService,
    state::{Event, WaitsFor},
};
use crate::{
    App, Upgraded, Upgrades,
    connections::Registration,
    io::{CoalescingIo, transport::Transport},
};
use bytes::Bytes;
use hostler_sys::stream::Disconnect;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};
use tracing::debug;

/// How much of a request is read before hyper has the connection, in bytes: the heads of most requests.
const FIRST_READ: usize = 1024;

/// Who has the socket.
pub(super) enum SocketOwner<S: Read + Write + Transport + Unpin + 'static, A: App<Body: Unpin>> {
    /// The task: the connection is idle for a while, or no byte was received yet. hyper's buffers are half of what a
    /// connection takes, and most connections are idle most of the time.
    Parked(CoalescingIo<S>),
    /// hyper.
    Http(HttpConn<S, A>),
    /// The protocol that follows a 101.
    Upgraded(Pin<Box<dyn Future<Output = ()>>>),
    /// The task, which sends what is left and closes it.
    Closing(Box<Closing<S>>),
    /// Another worker, or it is closed: the task is over.
    Gone,
}

/// The connection's future.
pub(super) struct ConnectionTask<S: Read + Write + Transport + Unpin + 'static, A: App<Body: Unpin>> {
    pub(super) owner: SocketOwner<S, A>,
    /// What hyper calls; hyper gets a copy whenever it is given the socket.
    pub(super) service: AppService<A>,
    upgrades: Upgrades,
    pub(super) origin: Origin,
    /// Whether the client is watched for a disconnect.
    watched: bool,
    /// When the handover channel last refused the connection.
    pub(super) refused: Option<Instant>,
    /// Whether it was polled, so that the handle knows its waker.
    polled: bool,
    /// From the moment the connection was accepted.
    _registration: Registration,
}

impl<S: Read + Write + Transport + Unpin + 'static, A: App<Body: Unpin>> Drop for ConnectionTask<S, A> {
    fn drop(&mut self) {
        self.watch(false);
        // A protocol that was never started may hold the application's connection, which holds this.
        drop(self.upgrades.take());
    }
}

impl<S, A> Future for ConnectionTask<S, A>
where
    A: App<Body: Unpin>,
    S: Read + Write + Transport + Unpin + 'static,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.polled, true) {
            this.service.handle.set_task(cx.waker());
        }
        this.poll_owner(cx)
    }
}

impl<S, A> ConnectionTask<S, A>
where
    A: App<Body: Unpin>,
    S: Read + Write + Transport + Unpin + 'static,
{
    pub(super) fn new(
        io: CoalescingIo<S>,
        service: AppService<A>,
        upgrades: Upgrades,
        origin: Origin,
        registration: Registration,
    ) -> Self {
        Self {
            owner: SocketOwner::Parked(io),
            service,
            upgrades,
            origin,
            watched: false,
            refused: None,
            polled: false,
            _registration: registration,
        }
    }

    fn poll_owner(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let pending = match &mut self.owner {
                SocketOwner::Parked(_) => match self.poll_parked(cx) {
                    Poll::Ready(false) => return Poll::Ready(()),
                    polled => polled.is_pending(),
                },
                SocketOwner::Http(_) => self.poll_http(cx).is_pending(),
                SocketOwner::Upgraded(_) if self.service.handle.expired().is_some() => return Poll::Ready(()),
                SocketOwner::Upgraded(protocol) => return protocol.as_mut().poll(cx),
                SocketOwner::Closing(closing) => return closing.poll(cx),
                SocketOwner::Gone => return Poll::Ready(()),
            };
            if !pending {
                continue;
            }
            if !self.service.handle.id().is_idle() {
                if self.service.handle.is_over_early() {
                    self.close(false);
                    continue;
                }
                return if self.is_client_served() { Poll::Pending } else { Poll::Ready(()) };
            }
            self.watch(false);
            match self.idle() {
                Idle::Stays => return Poll::Pending,
                Idle::Changed => {}
                Idle::Over => return Poll::Ready(()),
            }
        }
    }

    /// Gives the connection to hyper when the client sends something; false when it disconnects instead.
    fn poll_parked(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let SocketOwner::Parked(io) = &mut self.owner else { return Poll::Ready(true) };
        let mut storage = [0; FIRST_READ];
        let mut first = hyper::rt::ReadBuf::new(&mut storage);
        if ready!(Pin::new(&mut *io).poll_read(cx, first.unfilled())).is_err() || first.filled().is_empty() {
            return Poll::Ready(false);
        }
        io.unread_first(Bytes::copy_from_slice(first.filled()));
        self.attach();
        Poll::Ready(true)
    }

    /// Gives a parked connection to hyper.
    pub(super) fn attach(&mut self) {
        if let SocketOwner::Parked(io) = std::mem::replace(&mut self.owner, SocketOwner::Gone) {
            self.owner = SocketOwner::Http(self.service.server.http.serve(io, self.service.clone()));
            self.service.handle.on(Event::Attached);
        }
    }

    /// Polls hyper; ready when hyper is done with the connection, which has another owner by then.
    fn poll_http(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let SocketOwner::Http(connection) = &mut self.owner else { return Poll::Ready(()) };
        let handle = &self.service.handle;
        handle.sync_body();
        handle.poll_time.restart();
        let awaits_hyper = handle.id().awaits_hyper();
        let Poll::Ready(ended) = connection.poll(cx) else {
            // hyper knew that the body was abandoned, and has nothing left to write: it would have ended the connection.
            if awaits_hyper {
                handle.on(Event::BodyDrained);
            }
            handle.sync_body();
            return Poll::Pending;
        };
        if let Err(error) = &ended {
            debug!(%error, "connection ended");
        }
        if !(ended.is_ok() && self.upgrade()) {
            self.close(ended.is_ok());
        }
        Poll::Ready(())
    }

    /// Takes the socket back from its owner. Only for a connection that is idle, or with which hyper is done.
    pub(super) fn take_io(&mut self) -> Option<CoalescingIo<S>> {
        match std::mem::replace(&mut self.owner, SocketOwner::Gone) {
            SocketOwner::Http(connection) => Some(connection.into_io()),
            SocketOwner::Parked(io) => Some(io),
            SocketOwner::Upgraded(_) | SocketOwner::Closing(_) | SocketOwner::Gone => None,
        }
    }

    /// Lets another protocol have the socket, if the application responded with one.
    fn upgrade(&mut self) -> bool {
        // hyper may end before it has written its 101, after responses that the client does not read.
        if self.service.handle.state().is_in_hyper() {
            return false;
        }
        let Some(protocol) = self.upgrades.take() else { return false };
        let Some(io) = self.take_io() else { return false };
        self.service.handle.on(Event::Upgraded);
        self.watch(false);
        self.owner = SocketOwner::Upgraded(protocol(Upgraded::new(TokioIo::new(io))));
        true
    }

    /// Closes the connection once the client has its last response. `cleanly`: hyper reported no error.
    pub(super) fn close(&mut self, cleanly: bool) {
        self.watch(false);
        let handle = &self.service.handle;
        if handle.state().has_failed() && handle.resets_on_close() {
            self.owner = SocketOwner::Gone;
            return;
        }
        handle.reset_on_close(false);
        let request_read = cleanly && self.service.handle.state().is_request_read();
        let Some(io) = self.take_io() else { return };
        let request_read = request_read && io.unread().is_empty();
        self.owner = SocketOwner::Closing(Box::new(Closing::new(io, request_read)));
    }

    /// Starts or stops watching the client for a disconnect while an application works for it.
    fn watch(&mut self, watched: bool) {
        if self.watched != watched {
            self.watched = watched;
            let disconnects = &self.service.server.disconnects;
            match watched {
                true => disconnects.watch(&self.service.handle),
                false => disconnects.forget(&self.service.handle),
            }
        }
    }

    /// Checks on the client of the request in flight; false if the request is not to be responded to any more.
    fn is_client_served(&mut self) -> bool {
        let handle = &self.service.handle;
        let id = handle.id();
        let awaited = id.awaits_application();
        match (handle.expired(), handle.disconnect()) {
            (None, None) => {}
            (Some(WaitsFor::ResponseRead), _) => {
                debug!("the client does not read its response: --write-timeout");
                handle.reset_on_close(true);
                return false;
            }
            // Without a response yet, it was responded to with a 408 by now.
            (Some(WaitsFor::RequestBody), _) if awaited => return false,
            (_, Some(Disconnect::Broken)) => return false,
            (_, Some(Disconnect::HalfClosed)) if awaited => {
                return self.service.server.app.client_half_closed(&self.service.connection);
            }
            _ => {}
        }
        // A body that the application keeps unread would hide that the client has disconnected.
        self.watch(awaited || id.is_responded_early());
        true
    }
}
