//! Peers of connections that are trusted, and names of header fields.

use crate::{OptionValue, Rules, Shape, macros::choice};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Some of those who may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    /// All of them.
    Any,
    /// The clients of Unix sockets.
    Unix,
    /// Those of a network, which may be one address.
    Network(IpNet),
}

const fn host_v4(address: Ipv4Addr) -> Peer {
    Peer::Network(IpNet::V4(ipnet::Ipv4Net::new_assert(address, 32)))
}

const fn host_v6(address: Ipv6Addr) -> Peer {
    Peer::Network(IpNet::V6(ipnet::Ipv6Net::new_assert(address, 128)))
}

impl Peer {
    /// This machine, by TCP.
    pub const LOCAL: &[Self] = &[host_v4(Ipv4Addr::LOCALHOST), host_v6(Ipv6Addr::LOCALHOST)];
    /// This machine, by TCP and by Unix sockets.
    pub const LOCAL_AND_UNIX: &[Self] =
        &[host_v4(Ipv4Addr::LOCALHOST), host_v6(Ipv6Addr::LOCALHOST), Self::Unix];

    /// Whether a peer with this address is one of them; `None` is a client of a Unix socket.
    #[must_use]
    pub fn includes(self, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Self::Any, _) => true,
            (Self::Unix, address) => address.is_none(),
            // A socket for both families has IPv4 clients as mapped addresses.
            (Self::Network(network), Some(address)) => network.contains(&address.to_canonical()),
            (Self::Network(_), None) => false,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Unix => f.write_str("unix:"),
            Self::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                network.addr().fmt(f)
            }
            Self::Network(network) => network.fmt(f),
        }
    }
}

impl OptionValue for Peer {
    const SHAPE: Shape = Shape::Text;
    const LIST_PATTERN: Option<&'static str> = Some(concat!(
        "^( *([*]|unix:?|[0-9]{1,3}([.][0-9]{1,3}){3}(/[0-9]+)?",
        "|\\[?[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*\\]?(/[0-9]+)?)? *(,|$))*$",
    ));

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        match text {
            "*" => Some(Self::Any),
            "unix:" | "unix" => Some(Self::Unix),
            _ => {
                let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
                let address = bare.parse().map(|address: IpAddr| IpNet::from(address.to_canonical()));
                address.or_else(|_| text.parse()).ok().map(Self::Network)
            }
        }
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![self.to_string()]
    }

    fn value_name(_: &Rules) -> String {
        "PEERS".into()
    }

    fn expected(_: &Rules) -> String {
        "addresses and networks such as 10.0.0.0/8 or fd00::/8, unix: or *, separated by commas".into()
    }
}

choice! {
    /// A header by which a proxy tells of its client.
    pub enum ForwardedHeader {
        /// The client's address, and those of proxies before the last one.
        For = "x-forwarded-for",
        /// The scheme of the URL.
        Proto = "x-forwarded-proto",
        /// The host of the URL.
        Host = "x-forwarded-host",
        /// The port of the URL.
        Port = "x-forwarded-port",
        /// All of these (RFC 7239).
        Forwarded = "forwarded",
    }
}

impl ForwardedHeader {
    /// All of them.
    pub const ALL: &[Self] = &[Self::For, Self::Proto, Self::Host, Self::Port, Self::Forwarded];
}

impl OptionValue for ForwardedHeader {
    const SHAPE: Shape = Shape::Choice(Self::NAMES);
    const LIST_PATTERN: Option<&'static str> =
        Some("^( *([xX]-[fF]orwarded-([fF]or|[pP]roto|[hH]ost|[pP]ort)|[fF]orwarded)? *(,|$))*$");

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        Self::from_name(&text.to_ascii_lowercase())
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![self.name().to_owned()]
    }

    fn value_name(_: &Rules) -> String {
        "HEADERS".into()
    }

    fn expected(_: &Rules) -> String {
        format!("some of {}, separated by commas", Self::NAMES.join(", "))
    }
}

/// The name of a header field, in upper case as CGI writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldName(std::borrow::Cow<'static, str>);

impl FieldName {
    /// What Gunicorn lets proxies send.
    pub const FORWARDER: &[Self] =
        &[Self(std::borrow::Cow::Borrowed("SCRIPT_NAME")), Self(std::borrow::Cow::Borrowed("PATH_INFO"))];

    /// Whether it stands for this name, whatever its case; `*` stands for all.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.0 == "*" || self.0.eq_ignore_ascii_case(name)
    }
}

impl OptionValue for FieldName {
    const SHAPE: Shape = Shape::Text;
    const LIST_PATTERN: Option<&'static str> = Some("^[-!#$%&'*+.^_`|~0-9a-zA-Z, ]*$");

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        // RFC 9110 §5.6.2.
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_name = !text.is_empty() && text.bytes().all(token);
        is_name.then(|| Self(text.to_ascii_uppercase().into()))
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![self.0.to_string()]
    }

    fn value_name(_: &Rules) -> String {
        "NAMES".into()
    }

    fn expected(_: &Rules) -> String {
        "names of headers such as REMOTE_USER, separated by commas, or *".into()
    }
}

#[cfg(test)]
mod tests {
    use super::{FieldName, Peer};
    use crate::{Commas, OptionValue, Rules, Unit};
    use std::net::IpAddr;

    const ANY: Rules = Rules { min: 0, max: u64::MAX, unit: Unit::Base };

    fn peers(texts: &[&str]) -> Result<Commas<Peer>, String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        OptionValue::read(&texts, &ANY).map_err(|bad| bad.0)
    }

    fn includes(list: &[&str], address: &str) -> bool {
        let address = address.parse::<IpAddr>().ok();
        peers(list).unwrap().0.iter().any(|peer| peer.includes(address))
    }

    #[test]
    fn peers_are_addresses_networks_unix_sockets_or_everyone() {
        let list = ["127.0.0.1, ::1,10.1.2.3/8", "fd00::/8"];
        for trusted in ["127.0.0.1", "::1", "10.9.9.9", "fd12::1", "::ffff:10.0.0.1"] {
            assert!(includes(&list, trusted), "{trusted}");
        }
        for other in ["127.0.0.2", "11.0.0.1", "::2", "unix"] {
            assert!(!includes(&list, other), "{other}");
        }
        assert!(includes(&["unix:"], "unix") && !includes(&["unix:"], "::1"));
        assert!(includes(&["*"], "unix") && includes(&["*"], "203.0.113.9"));
        assert!(includes(&["::ffff:192.0.2.1"], "192.0.2.1") && includes(&["[::2]"], "::2"));
        assert!(!includes(&[""], "127.0.0.1") && !includes(&[""], "unix"));
    }

    #[test]
    fn peers_are_written_as_they_are_read() {
        let list = ["*", "unix:", "10.0.0.0/8", "127.0.0.1", "::1", "fd00::/8"];
        assert_eq!(peers(&list).unwrap().render(&ANY), list);
        assert_eq!(peers(&["127.0.0.1,proxy.example"]), Err("proxy.example".into()));
        for wrong in ["10.0.0.0/33", "10.0.0", "127.0.0.1:80", "unix:/run/a", "fe80::/129"] {
            assert_eq!(peers(&[wrong]), Err(wrong.into()));
        }
    }

    #[test]
    fn names_of_headers_are_tokens() {
        let name = FieldName::parse("Remote_User", &ANY).unwrap();
        assert!(name.is_called("remote_user") && !name.is_called("remote-user"));
        assert!(FieldName::parse("*", &ANY).unwrap().is_called("anything"));
        for wrong in ["", "a b", "a:b", "ü"] {
            assert_eq!(FieldName::parse(wrong, &ANY), None, "{wrong}");
        }
    }
}
