//! Proxies in front of the server, and what they tell of their clients.

use crate::{Commas, FieldName, ForwardedHeader, HeaderMap, Peer, ProxyProtocol, macros::settings};

settings! {
    #[heading("Proxies")]
    /// Which proxies are trusted, and with what.
    pub struct Proxy {
        /// Believe what trusted proxies say of their clients in X-Forwarded-For, -Proto, -Host and -Port, and in Forwarded
        /// (RFC 7239).
        #[option("proxy-headers", default = true)]
        pub headers: bool,
        /// The proxies whose headers are believed: addresses, networks such as 10.0.0.0/8, unix: for the clients of Unix
        /// sockets, or * for everyone; separated by commas, repeatable. An empty list trusts none.
        #[option("forwarded-allow-ips", default = Peer::LOCAL_AND_UNIX.into(), common_env("FORWARDED_ALLOW_IPS"), common)]
        pub trusted: Commas<Peer>,
        /// The headers that proxies set, each of which they must set or remove in every request; repeatable. If both
        /// X-Forwarded-… and Forwarded come, Forwarded is ignored.
        #[option("forwarded-headers", default = ForwardedHeader::ALL.into())]
        pub believed: Commas<ForwardedHeader>,
        /// Request headers with an underscore in their name, which WSGI and others cannot tell from those with a hyphen:
        /// drop them, refuse the request with 400, or (dangerous) pass them on.
        #[option("header-map", default = HeaderMap::Drop)]
        pub header_map: HeaderMap,
        /// Headers with an underscore that are passed on if a trusted proxy sends them; SCRIPT_NAME is then the path that the
        /// application is mounted on. Repeatable, * for all.
        #[option("forwarder-headers", default = FieldName::FORWARDER.into())]
        pub forwarder_headers: Commas<FieldName>,
        /// Which form of the PROXY protocol's header begins each connection of the peers in --proxy-allow-from; a connection
        /// of theirs without it is closed.
        #[option("proxy-protocol", default = ProxyProtocol::Off)]
        pub protocol: ProxyProtocol,
        /// The proxies that send a PROXY header, written as for --forwarded-allow-ips; other peers send none.
        #[option("proxy-allow-from", default = Peer::LOCAL_AND_UNIX.into(), aliases(&["proxy-allow-ips"]))]
        pub senders: Commas<Peer>,
    }
}
