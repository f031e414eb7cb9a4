//! What a proxy can say of a request, and the rule by which its client is found.

use super::node;
use crate::Scheme;
use std::net::{IpAddr, SocketAddr};

/// What proxies have said of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) client: Option<SocketAddr>,
    pub(super) scheme: Option<Scheme>,
    /// `host` or `host:port`, as it was written.
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
}

/// The client among addresses of which the nearest comes first, and how many trusted proxies stand before it: the first
/// that is not trusted, else the last. Behind what is no address nothing is known.
pub(super) fn client<'a>(
    addresses: impl Iterator<Item = &'a str>,
    trusts: impl Fn(IpAddr) -> bool,
) -> (Option<SocketAddr>, usize) {
    let (mut client, mut proxies) = (None, 0);
    for (index, text) in addresses.enumerate() {
        let Some(address) = node::address(text) else { break };
        (client, proxies) = (Some(address), index);
        if !trusts(address.ip()) {
            break;
        }
    }
    (client, proxies)
}

/// The scheme of this name.
pub(super) fn scheme(name: &str) -> Option<Scheme> {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match () {
        () if is("https") || is("wss") => Some(Scheme::Https),
        () if is("http") || is("ws") => Some(Scheme::Http),
        () => None,
    }
}
