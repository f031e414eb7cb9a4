//! Proxies in front of the server: what trusted ones say of their clients, in place of what the connection says.
//!
//! ```text
//! node         an address as proxies write it
//! told         what a proxy can say of a request
//! x_forwarded  X-Forwarded-For and its like
//! rfc7239      Forwarded
//! host         Host and server of the request, from what was said
//! underscores  header names that some interfaces cannot tell apart
//! protocol     the PROXY protocol's header: what a proxy says of a whole connection
//! preface      receives that header
//! once         what is logged once
//! ```
//!
//! Invariants
//! - A request without such headers pays for one look at the names of its headers.
//! - What is believed was said by a trusted peer, or by one whom such a peer names: lists are read from the right, where the
//!   nearest proxy writes.
//!
//! Not here: `Via` and other headers that only inform; removing any of these headers, which applications may read.

#[cfg(test)]
mod forwarded_fuzz;
mod host;
mod node;
mod once;
pub(crate) mod preface;
mod protocol;
mod rfc7239;
#[cfg(test)]
mod tests;
mod told;
mod underscores;
mod x_forwarded;

use crate::{ConnectionInfo, Scheme, request::refusal::Refusal};
use hostler_settings::{ForwardedHeader, Proxy};
use hyper::{HeaderMap, Request, http::HeaderValue};
use once::Once;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use told::Told;

/// What a trusted proxy said of a request; it takes the place of what the connection says. Only requests of which
/// something was said have it, as an extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forwarded {
    /// The client. Its port is 0 if the proxy did not name it.
    pub client: Option<SocketAddr>,
    /// The scheme of the URL.
    pub scheme: Option<Scheme>,
    /// The host of the URL, an IPv6 address without its brackets, and its port.
    pub server: Option<(String, u16)>,
    /// The path that the application is mounted on (`SCRIPT_NAME`).
    pub root_path: Option<String>,
}

/// What a connection says of each of its requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// The client; `None` for one of a Unix socket.
    pub(crate) peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    pub(crate) scheme: Scheme,
    /// Its peer is a trusted proxy.
    trusted: bool,
}

impl Facts {
    /// Whether the peer is a trusted proxy.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// The scheme of the connection.
    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }
}

/// The rules for proxies, the same for all connections of a worker.
pub(crate) struct Proxies {
    settings: Proxy,
    /// How long a PROXY header may take.
    header_timeout: Duration,
    once: Once,
}

impl Proxies {
    pub(crate) fn new(settings: &Proxy, header_timeout: Duration) -> Self {
        Self { settings: settings.clone(), header_timeout, once: Once::default() }
    }

    /// What is the same for all requests of a connection.
    pub(crate) fn facts(&self, info: &ConnectionInfo) -> Facts {
        let peer = info.peer.tcp();
        let trusted = self.settings.headers && self.trusts(peer.map(|peer| peer.ip()));
        Facts { peer, local: info.local.tcp(), scheme: info.scheme, trusted }
    }

    fn trusts(&self, address: Option<IpAddr>) -> bool {
        self.settings.trusted.0.iter().any(|peer| peer.includes(address))
    }

    fn believes(&self, header: ForwardedHeader) -> bool {
        self.settings.believed.0.contains(&header)
    }

    /// Applies what proxies say to a request: its client, which is returned, its scheme and its host; refuses it if it has
    /// headers that are not allowed.
    #[inline]
    pub(crate) fn apply<B>(
        &self,
        facts: &Facts,
        request: &mut Request<B>,
    ) -> Result<Option<SocketAddr>, Refusal> {
        let look = Look::at(request.headers());
        if look == Look::default() {
            return Ok(facts.peer);
        }
        self.apply_unusual(facts, request, look)
    }

    #[cold]
    fn apply_unusual<B>(
        &self,
        facts: &Facts,
        request: &mut Request<B>,
        look: Look,
    ) -> Result<Option<SocketAddr>, Refusal> {
        let mut forwarded = Forwarded::default();
        if look.forwarded && facts.trusted {
            let told = self.told(request.headers());
            forwarded = Forwarded {
                client: told.client,
                scheme: told.scheme,
                server: host::apply(facts, &told, request.headers_mut()),
                root_path: None,
            };
        } else if look.forwarded && self.settings.headers {
            self.once.untrusted(facts.peer, request.headers());
        }
        if look.underscore {
            self.map_underscores(facts.trusted, request.headers_mut())?;
            let name = request.headers().get("script_name").filter(|_| facts.trusted);
            forwarded.root_path = name.and_then(root_path);
        }
        let client = forwarded.client.or(facts.peer);
        if forwarded != Forwarded::default() {
            request.extensions_mut().insert(forwarded);
        }
        Ok(client)
    }

    /// What a trusted peer's headers say. Proxies that set X-Forwarded-… pass a `Forwarded` of their client on, and are the
    /// more common ones.
    fn told(&self, headers: &HeaderMap) -> Told {
        let trusts = |address| self.trusts(Some(address));
        let x_forwarded = x_forwarded::read(headers, |header| self.believes(header), trusts);
        if !self.believes(ForwardedHeader::Forwarded) || !headers.contains_key(rfc7239::NAME) {
            return x_forwarded.unwrap_or_default();
        }
        if x_forwarded.is_some() {
            self.once.both_kinds();
        }
        x_forwarded.unwrap_or_else(|| rfc7239::read(headers, trusts))
    }
}

/// Whether a request has headers that concern proxies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Look {
    /// One by which proxies tell of their clients.
    forwarded: bool,
    /// One with an underscore in its name.
    underscore: bool,
}

impl Look {
    #[inline]
    fn at(headers: &HeaderMap) -> Self {
        let mut look = Self::default();
        for name in headers.keys() {
            let name = name.as_str();
            look.forwarded |= is_forwarded(name);
            look.underscore |= underscores::is_in(name.as_bytes());
        }
        look
    }
}

#[inline]
fn is_forwarded(name: &str) -> bool {
    name.starts_with("x-forwarded-") || name == rfc7239::NAME
}

/// `SCRIPT_NAME` as a proxy sends it.
fn root_path(value: &HeaderValue) -> Option<String> {
    let path = std::str::from_utf8(value.as_bytes()).ok()?.trim_end_matches('/');
    path.starts_with('/').then(|| path.to_owned())
}
