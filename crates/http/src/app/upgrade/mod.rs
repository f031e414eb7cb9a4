//! Protocols that follow a request to a native service: WebSocket, or any other that it gets hyper's [`OnUpgrade`] for.
//!
//! hyper gives a service the socket itself, from any thread. Here the connection's task keeps the socket, which is not
//! [`Send`], with all that belongs to it (drain, limits, access log, TLS, streams of HTTP/2), and the service is given a
//! pipe in memory ([`pipe`]). The task carries the bytes between the two ([`carry`]).
//!
//! A service expects hyper's own type, which hyper alone can make. So a connection of hyper's is made whose socket is the
//! pipe ([`handshake`]): it upgrades when the real one has.

mod carry;
mod ending;
mod handshake;
mod pipe;

pub(super) use ending::begin as begin_to_end;
pub use ending::worker_ends;

use crate::{
    Interim, RequestBody, Upgrades,
    request::body::{BodyReport, BodyStatus},
};
use carry::Carry;
use handshake::Handshake;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{CONTENT_LENGTH, EXPECT},
    upgrade::OnUpgrade,
};
use pipe::ConnectionEnd;
use std::{error::Error, fmt, sync::Arc};

/// What a service was offered for a request that another protocol may follow.
pub(super) struct Offer {
    handshake: Handshake,
    connection: ConnectionEnd,
    /// Where the protocol is left.
    upgrades: Upgrades,
    /// The status that says that it follows is any of success.
    is_connect: bool,
    /// The client waits for a 100 before it sends the request's body.
    expecting: Option<Expecting>,
}

/// A client that waits for a 100, which it gets before a 101 (RFC 9110 §7.8).
struct Expecting {
    body: Arc<BodyReport>,
    interim: Interim,
}

impl Expecting {
    /// If the client does.
    fn of(request: &Request<RequestBody>, interim: &Interim) -> Option<Self> {
        let expects = request.headers().get(EXPECT)?.as_bytes().eq_ignore_ascii_case(b"100-continue");
        let body = request.body().report().filter(|_| expects)?;
        Some(Self { body, interim: interim.clone() })
    }

    /// Sends a 100, unless hyper has because the service has read the body.
    fn proceed(self) {
        if self.body.status() != BodyStatus::Ended {
            self.interim.proceed();
        }
    }
}

impl Offer {
    /// Puts an offer into a request in the place of hyper's, if another protocol may follow it.
    #[inline]
    pub(super) fn to(
        request: &mut Request<RequestBody>,
        upgrades: &Upgrades,
        interim: &Interim,
    ) -> Option<Box<Self>> {
        request.extensions_mut().remove::<OnUpgrade>()?;
        Self::replace(request, upgrades, interim)
    }

    #[cold]
    fn replace(
        request: &mut Request<RequestBody>,
        upgrades: &Upgrades,
        interim: &Interim,
    ) -> Option<Box<Self>> {
        let (service, connection) = pipe::pipe();
        let (handshake, upgrade) = Handshake::begin(service)?;
        request.extensions_mut().insert(upgrade);
        let is_connect = request.method() == Method::CONNECT;
        let expecting = Expecting::of(request, interim);
        Some(Box::new(Self { handshake, connection, upgrades: upgrades.clone(), is_connect, expecting }))
    }

    /// The service has responded: the protocol follows, or the service is told that it does not.
    #[cold]
    pub(super) fn answered<B>(self, response: &mut Response<B>) -> Result<(), OutOfPlace> {
        let status = response.status();
        let follows =
            if self.is_connect { status.is_success() } else { status == StatusCode::SWITCHING_PROTOCOLS };
        if !follows {
            return if status.is_informational() { Err(OutOfPlace(status)) } else { Ok(()) };
        }
        if self.is_connect {
            // A tunnel has no length (RFC 9110 §9.3.6); hyper would reset the stream.
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        let Self { handshake, connection, upgrades, expecting, .. } = self;
        if let Some(expecting) = expecting {
            expecting.proceed();
        }
        upgrades.set(Box::new(move |stream| {
            handshake.complete();
            Box::pin(Carry::new(stream, connection))
        }));
        Ok(())
    }
}

/// A service has sent an interim response in the place of its response, or a 101 for a request that no other protocol may
/// follow (RFC 9110 §15.2, RFC 9113 §8.6).
#[derive(Debug)]
pub(super) struct OutOfPlace(pub(super) StatusCode);

impl fmt::Display for OutOfPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            StatusCode::SWITCHING_PROTOCOLS => {
                f.write_str("it responded 101 (Switching Protocols), which this request does not allow for")
            }
            status => {
                write!(f, "it responded {}, which is not the status of a final response", status.as_u16())
            }
        }
    }
}

impl Error for OutOfPlace {}

#[cfg(test)]
mod tests;
