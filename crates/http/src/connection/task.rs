//! The future of a connection: who has its socket, and what is done when the state machine allows it.
//!
//! hyper is taken apart only while the connection is idle, because its buffers are lost with it.

use super::{
    Origin,
    closing::Closing,
    http_conn::HttpConn,
    idle::Idle,
    service::AppService,
    speech::Speaking,
    state::{Event, WaitsFor},
};
use crate::{
    App, ConnectionInfo, TlsProtocol, Upgrades,
    connections::Registration,
    h2::{begins_with_preface, connection::Http2Conn},
    io::{CoalescingIo, transport::Transport},
    request::refusal::Refusal,
};
use bytes::Bytes;
use hostler_settings::HttpVersion;
use hostler_sys::stream::Disconnect;
use hyper::{
    StatusCode,
    rt::{Read, Write},
};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};
use tracing::debug;

/// How much of a request is read before hyper has the connection, in bytes: the heads of most requests.
const FIRST_READ: usize = 1024;

/// The response to a client that speaks another version than the one that is served.
const HTTP2_ONLY: Refusal =
    Refusal::with(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "only HTTP/2 is spoken here (--http)");

/// How a TLS handshake begins.
const TLS: &[u8] = &[0x16, 3];
/// The response to one on an address that is served without TLS.
const NO_TLS: Refusal = Refusal::malformed("TLS, and this address is served without it: use http://");

/// What a connection is known to speak while the task has its socket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    /// Nothing was received yet.
    Unknown,
    /// The beginning of what an HTTP/2 client sends first.
    Undecided,
    /// HTTP/1.
    Http1,
}

/// Who has the socket.
pub(crate) enum SocketOwner<S: Read + Write + Transport + Unpin + 'static, A: App<Body: Unpin>> {
    /// The task: the connection is idle for a while, or no byte was received yet. hyper's buffers are half of what a
    /// connection takes, and most connections are idle most of the time.
    Parked(CoalescingIo<S>),
    /// hyper, for HTTP/1.
    Http(HttpConn<S, A>),
    /// hyper, for HTTP/2.
    Http2(Box<Http2Conn<S, A>>),
    /// The protocol that follows a 101.
    Upgraded(Box<Speaking<S>>),
    /// The task, which sends what is left and closes it.
    Closing(Box<Closing<S>>),
    /// Another worker, or it is closed: the task is over.
    Gone,
}

/// The connection's future.
pub(crate) struct ConnectionTask<S: Read + Write + Transport + Unpin + 'static, A: App<Body: Unpin>> {
    pub(crate) owner: SocketOwner<S, A>,
    /// What hyper calls; hyper gets a copy whenever it is given the socket.
    pub(crate) service: AppService<A>,
    pub(crate) info: ConnectionInfo,
    pub(crate) upgrades: Upgrades,
    pub(crate) origin: Origin,
    /// What the client has shown that it speaks.
    version: Version,
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
        self.service.handle.ended();
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
        (info, upgrades): (ConnectionInfo, Upgrades),
        origin: Origin,
        registration: Registration,
    ) -> Self {
        Self {
            owner: SocketOwner::Parked(io),
            service,
            info,
            upgrades,
            version: Version::Unknown,
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
                SocketOwner::Http2(_) => match self.poll_http2(cx) {
                    Poll::Ready(()) => false,
                    Poll::Pending => return Poll::Pending,
                },
                SocketOwner::Upgraded(speaking) => match speaking.poll(cx) {
                    Poll::Ready(true) => self.linger(),
                    polled => return polled.map(drop),
                },
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
        // What was read already was not enough to go by.
        let before = if self.version == Version::Undecided { io.take_unread() } else { Bytes::new() };
        let polled = Pin::new(&mut *io).poll_read(cx, first.unfilled());
        io.unread_first(Bytes::copy_from_slice(first.filled()));
        io.unread_first(before);
        if ready!(polled).is_err() || first.filled().is_empty() {
            return Poll::Ready(false);
        }
        match self.version {
            Version::Http1 => self.attach(),
            Version::Unknown | Version::Undecided => self.attach_first(),
        }
        Poll::Ready(true)
    }

    /// Gives a new connection to hyper, once it is known which version of HTTP it speaks.
    fn attach_first(&mut self) {
        let SocketOwner::Parked(io) = &self.owner else { return };
        if self.info.tls.is_none() && io.unread().starts_with(TLS) {
            // There is no certificate, so it is told in HTTP.
            return self.refuse_parked(NO_TLS);
        }
        let agreed = self.info.tls.as_ref().and_then(|tls| tls.protocol);
        let speaks_http2 = match (agreed, self.service.server.versions) {
            (Some(agreed), _) => agreed == TlsProtocol::Http2,
            (None, HttpVersion::One) => false,
            (None, HttpVersion::Auto | HttpVersion::Two) => match begins_with_preface(io.unread()) {
                Some(speaks) => speaks,
                None => {
                    // More follows, or nothing: the limit on heads ends that.
                    self.version = Version::Undecided;
                    self.service.handle.is_undecided(true);
                    return;
                }
            },
        };
        self.version = Version::Http1;
        self.service.handle.is_undecided(false);
        match (speaks_http2, self.service.server.versions) {
            (true, _) => self.attach_http2(),
            (false, HttpVersion::Two) => self.refuse_parked(HTTP2_ONLY),
            (false, HttpVersion::Auto | HttpVersion::One) => self.attach(),
        }
    }

    /// Tells a client, in HTTP/1, why what it sends is not spoken here.
    #[cold]
    fn refuse_parked(&mut self, refusal: Refusal) {
        if let SocketOwner::Parked(io) = &self.owner {
            // It was not inspected yet; what does not look like a request has no method.
            let _ = self.service.handle.framing.borrow_mut().read(io.unread(), self.service.handle.limits());
            self.service.handle.refuse(refusal);
            self.close(false);
        }
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
        if let Err(error) = &ended
            && !handle.failed(error)
        {
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
            SocketOwner::Http2(_)
            | SocketOwner::Upgraded(_)
            | SocketOwner::Closing(_)
            | SocketOwner::Gone => None,
        }
    }

    /// Lets another protocol have the socket, if the application responded with one.
    fn upgrade(&mut self) -> bool {
        // hyper may end before it has written its 101, after responses that the client does not read.
        if self.service.handle.state().is_in_hyper() {
            return false;
        }
        let Some(protocol) = self.upgrades.take() else { return false };
        let Some(mut io) = self.take_io() else { return false };
        let handle = &self.service.handle;
        let (ahead, content) = handle.framing.borrow_mut().switch();
        io.keep_unread(ahead);
        handle.on(Event::Upgraded);
        self.watch(false);
        self.owner = SocketOwner::Upgraded(Box::new(Speaking::begin(protocol, io, content)));
        true
    }

    /// Closes the connection once the client has what the protocol has said last.
    fn linger(&mut self) -> bool {
        if let SocketOwner::Upgraded(speaking) = std::mem::replace(&mut self.owner, SocketOwner::Gone) {
            self.owner = SocketOwner::Closing(Box::new(Closing::of_protocol(speaking.into_io())));
        }
        false
    }

    /// Closes the connection once the client has its last response. `cleanly`: hyper reported no error.
    pub(super) fn close(&mut self, cleanly: bool) {
        self.watch(false);
        let handle = &self.service.handle;
        if !cleanly {
            handle.broken();
        }
        if handle.state().has_failed() && handle.resets_on_close() {
            self.owner = SocketOwner::Gone;
            return;
        }
        handle.reset_on_close(false);
        // hyper never had a connection that is parked.
        let is_parked = matches!(self.owner, SocketOwner::Parked(_)) && handle.refusal().is_some();
        let refuses = is_parked || handle.owes_refusal();
        let request_read = cleanly && !refuses && handle.state().is_request_read();
        let Some(io) = self.take_io() else { return };
        if refuses {
            io.append(&self.service.refusal_response());
        }
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
