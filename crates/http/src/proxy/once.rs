//! What is logged once by each worker: it is about how proxies are configured, and clients could repeat it at will.

use super::is_forwarded;
use crate::PeerAddress;
use hyper::HeaderMap;
use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    error::Error,
    net::{IpAddr, SocketAddr},
};
use tracing::{debug, warn};

/// How many names of headers are logged; clients choose them.
const MAX_NAMES: usize = 32;

/// What was logged.
#[derive(Default)]
pub(super) struct Once {
    untrusted: Cell<bool>,
    both: Cell<bool>,
    no_sender: Cell<bool>,
    no_header: Cell<bool>,
    dropped: RefCell<HashSet<String>>,
}

impl Once {
    /// A peer that is not trusted sent one of the headers that trusted proxies send.
    pub(super) fn untrusted(&self, peer: Option<SocketAddr>, headers: &HeaderMap) {
        if self.untrusted.replace(true) {
            return;
        }
        let header = headers.keys().map(hyper::header::HeaderName::as_str).find(|name| is_forwarded(name));
        warn!(
            peer = shown(peer.map(|peer| peer.ip())),
            header,
            "a forwarded header was not believed: if its sender is your proxy, add it to --forwarded-allow-ips"
        );
    }

    /// A request has headers of both kinds.
    pub(super) fn both_kinds(&self) {
        if !self.both.replace(true) {
            warn!(
                "a request has both X-Forwarded headers and Forwarded, which is ignored: name those that your proxy sets in --forwarded-headers"
            );
        }
    }

    /// No PROXY header is expected of a peer, though the protocol is on.
    pub(super) fn no_sender(&self, peer: Option<IpAddr>) {
        if !self.no_sender.replace(true) {
            warn!(
                peer = shown(peer),
                "no PROXY header is expected of a peer: if it is your proxy, add it to --proxy-allow-from"
            );
        }
    }

    /// A connection ended before it was served.
    pub(super) fn no_header(
        &self,
        peer: &PeerAddress,
        error: &(dyn Error + 'static),
        client_is_at_fault: bool,
    ) {
        let peer = peer.tcp().map(|peer| peer.ip());
        if client_is_at_fault && !self.no_header.replace(true) {
            warn!(
                peer = shown(peer),
                error, "a connection was closed: its PROXY header is not as --proxy-protocol expects it"
            );
        } else {
            debug!(peer = shown(peer), error, "a connection ended before its PROXY header");
        }
    }

    /// A header was dropped.
    pub(super) fn dropped(&self, name: &str) {
        let mut dropped = self.dropped.borrow_mut();
        if dropped.len() < MAX_NAMES && dropped.insert(name.to_owned()) {
            warn!(
                header = name,
                "a request header was dropped, because some interfaces take underscores and hyphens in names for the same: rename it, or see --forwarder-headers and --header-map"
            );
        }
    }
}

/// A peer as `--forwarded-allow-ips` takes it.
fn shown(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "unix:".to_owned(), |peer| peer.to_canonical().to_string())
}
