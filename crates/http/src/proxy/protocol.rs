//! The PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt`): whom a proxy has connected with whom, said before the
//! first byte of the connection. Only the form is judged here; [`super::preface`] receives it.

use hostler_settings::ProxyProtocol;
use hostler_wire::ProxiedEnds;
use ppp::{v1, v2};
use std::net::SocketAddr;

/// The longest line of version 1, with its end.
const LONGEST_LINE: usize = 107;
const LINE: &[u8] = b"PROXY ";
/// Version 2, and its command LOCAL.
const LOCAL: u8 = 0x20;

/// What is no header of the version that is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// How many bytes it has.
    pub(super) length: usize,
    /// The ends of the connection to the proxy; `None` where those of the connection itself count: the proxy's own
    /// connections (LOCAL), and those of which it knows nothing that we could use (UNKNOWN, Unix sockets, datagrams).
    pub(super) ends: Option<ProxiedEnds>,
}

/// The header at the beginning of these bytes; `None` if more of it is to come.
pub(super) fn parse(version: ProxyProtocol, bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    match version {
        ProxyProtocol::V1 | ProxyProtocol::Auto if begins(LINE) => line(bytes),
        ProxyProtocol::V2 | ProxyProtocol::Auto if begins(v2::PROTOCOL_PREFIX) => binary(bytes),
        _ => Err(Malformed),
    }
}

fn line(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let start = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = start.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < LONGEST_LINE { Ok(None) } else { Err(Malformed) };
    };
    let length = end + 2;
    // Whatever follows UNKNOWN is ignored.
    let unknown =
        start[..end].strip_prefix(b"PROXY UNKNOWN").is_some_and(|rest| rest.is_empty() || rest[0] == b' ');
    let ends = match v1::Header::try_from(&start[..length]).map(|header| header.addresses) {
        _ if unknown => None,
        // A number with a sign, which parsers of numbers accept.
        _ if start[..end].contains(&b'+') => return Err(Malformed),
        Ok(v1::Addresses::Tcp4(ip)) => Some(ProxiedEnds {
            peer: (ip.source_address, ip.source_port).into(),
            local: (ip.destination_address, ip.destination_port).into(),
        }),
        Ok(v1::Addresses::Tcp6(ip)) => Some(ProxiedEnds {
            peer: (ip.source_address, ip.source_port).into(),
            local: (ip.destination_address, ip.destination_port).into(),
        }),
        Ok(v1::Addresses::Unknown) | Err(_) => return Err(Malformed),
    };
    Ok(Some(Header { length, ends: ends.map(canonical) }))
}

fn binary(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    if let Some(length) = local_length(bytes) {
        return Ok((bytes.len() >= length).then_some(Header { length, ends: None }));
    }
    let header = match v2::Header::try_from(bytes) {
        Ok(header) => header,
        Err(v2::ParseError::Incomplete(_) | v2::ParseError::Partial(..)) => return Ok(None),
        Err(_) => return Err(Malformed),
    };
    let is_stream = header.command == v2::Command::Proxy && header.protocol == v2::Protocol::Stream;
    let ends = match header.addresses {
        v2::Addresses::IPv4(ip) => Some(ProxiedEnds {
            peer: (ip.source_address, ip.source_port).into(),
            local: (ip.destination_address, ip.destination_port).into(),
        }),
        v2::Addresses::IPv6(ip) => Some(ProxiedEnds {
            peer: (ip.source_address, ip.source_port).into(),
            local: (ip.destination_address, ip.destination_port).into(),
        }),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    };
    Ok(Some(Header { length: header.len(), ends: ends.filter(|_| is_stream).map(canonical) }))
}

/// The length of a header of the proxy's own connections, in which everything else is to be ignored, also what is malformed.
fn local_length(bytes: &[u8]) -> Option<usize> {
    let &[LOCAL, _, high, low] = bytes.get(v2::PROTOCOL_PREFIX.len()..)?.first_chunk()? else { return None };
    Some(v2::PROTOCOL_PREFIX.len() + 4 + usize::from(u16::from_be_bytes([high, low])))
}

/// With IPv4 addresses as such, where a proxy writes them as mapped ones.
fn canonical(ends: ProxiedEnds) -> ProxiedEnds {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    ProxiedEnds { peer: plain(ends.peer), local: plain(ends.local) }
}

#[cfg(test)]
mod tests {
    use super::{Header, Malformed, parse, v2};
    use hostler_settings::ProxyProtocol::{Auto, V1, V2};
    use hostler_wire::ProxiedEnds;
    use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, proptest};

    fn ends(peer: &str, local: &str) -> Option<ProxiedEnds> {
        Some(ProxiedEnds { peer: peer.parse().unwrap(), local: local.parse().unwrap() })
    }

    fn of_line(line: &str) -> Result<Option<ProxiedEnds>, Malformed> {
        let header = parse(Auto, line.as_bytes())?.unwrap();
        assert_eq!(header.length, line.find("\r\n").unwrap() + 2);
        Ok(header.ends)
    }

    /// A header of version 2: command, family and protocol, addresses, then what follows them.
    fn of_bytes(command: u8, family: u8, addresses: &[u8], tlvs: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len() + tlvs.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[0x20 | command, family], &length, addresses, tlvs].concat()
    }

    const V4: [u8; 12] = [203, 0, 113, 9, 192, 0, 2, 1, 0x12, 0x34, 0x01, 0xbb];

    #[test]
    fn lines_name_both_ends() {
        let v4 = ends("203.0.113.9:4711", "192.0.2.1:443");
        assert_eq!(of_line("PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\nGET / HTTP/1.1\r\n"), Ok(v4));
        assert_eq!(of_line("PROXY TCP6 ::ffff:203.0.113.9 ::ffff:192.0.2.1 4711 443\r\n"), Ok(v4));
        let v6 = ends("[2001:db8::7]:1", "[2001:db8::8]:2");
        assert_eq!(of_line("PROXY TCP6 2001:db8::7 2001:db8::8 1 2\r\n"), Ok(v6));
        for unknown in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff:f...f:ffff 1 2 3 4 5 6 7\r\n"] {
            assert_eq!(of_line(unknown), Ok(None));
        }
    }

    #[test]
    fn lines_that_are_malformed_are_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        for wrong in [
            "GET / HTTP/1.1\r\n",
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n",
            "PROXY TCP4 203.0.113.9 192.0.2.1 4711 443 5\r\n",
            "PROXY TCP4 203.0.113.9 192.0.2.1 70000 443\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
            "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
            &long,
        ] {
            assert_eq!(parse(Auto, wrong.as_bytes()), Err(Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn binary_headers_name_both_ends_and_what_follows_is_skipped() {
        let expected = ends("203.0.113.9:4660", "192.0.2.1:443");
        for tlvs in [&b""[..], b"\x04\x00\x03abc", &[7; 3000]] {
            let bytes = of_bytes(1, 0x11, &V4, tlvs);
            let header = Header { length: bytes.len(), ends: expected };
            assert_eq!(parse(V2, &[&bytes[..], b"GET"].concat()), Ok(Some(header)));
        }
        let mapped =
            [&[0; 10][..], &[255, 255, 203, 0, 113, 9], &[0; 10], &[255, 255, 192, 0, 2, 1], &V4[8..]]
                .concat();
        assert_eq!(parse(V2, &of_bytes(1, 0x21, &mapped, b"")).unwrap().unwrap().ends, expected);
    }

    #[test]
    fn of_connections_that_are_the_proxys_own_or_not_known_the_socket_counts() {
        let own = [(0, 0x11, &V4[..]), (0, 0, b""), (0, 0x11, b""), (0, 0x21, b"x"), (0, 0xff, b"")];
        let unknown = [(1, 0, &b"junk"[..]), (1, 0x31, &[0; 216]), (1, 0x12, &V4)];
        for (command, family, addresses) in own.into_iter().chain(unknown) {
            let bytes = of_bytes(command, family, addresses, b"");
            let header = Header { length: bytes.len(), ends: None };
            assert_eq!(parse(Auto, &bytes), Ok(Some(header)), "{command} {family}");
        }
    }

    #[test]
    fn binary_headers_that_are_malformed_are_refused() {
        for (command, family, addresses) in [
            (2, 0x11, &V4[..]),
            (0x11, 0x11, &V4),
            (1, 0x41, &V4),
            (1, 0x13, &V4),
            (1, 0x11, &V4[..11]),
            (1, 0x21, &V4),
        ] {
            let bytes = of_bytes(command, family, addresses, b"");
            assert_eq!(parse(Auto, &bytes), Err(Malformed), "{command} {family}");
        }
    }

    #[test]
    fn each_version_is_taken_alone_unless_either_is_expected() {
        let (line, binary) = (&b"PROXY UNKNOWN\r\n"[..], &of_bytes(0, 0, b"", b"")[..]);
        for (version, takes_line, takes_binary) in [(V1, true, false), (V2, false, true), (Auto, true, true)]
        {
            assert_eq!(parse(version, line).is_ok(), takes_line);
            assert_eq!(parse(version, binary).is_ok(), takes_binary);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 400 } else { 20_000 }))]

        /// A header is taken only when it is whole, wherever it is cut.
        #[test]
        fn a_header_that_is_cut_is_waited_for(tlvs in prop::collection::vec(any::<u8>(), 0..40), cut in 0..200usize) {
            let line = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n".to_vec();
            for bytes in [line, of_bytes(1, 0x11, &V4, &tlvs)] {
                let cut = cut % bytes.len();
                prop_assert_eq!(parse(Auto, &bytes[..cut]), Ok(None));
                prop_assert_eq!(parse(Auto, &bytes).unwrap().unwrap().length, bytes.len());
            }
        }

        /// Bytes of any kind are a header, the beginning of one, or malformed.
        #[test]
        fn any_bytes_are_judged(
            start in 0..4usize,
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let starts: [&[u8]; 4] = [b"", b"PROXY TCP4 ", b"PROXY ", v2::PROTOCOL_PREFIX];
            let start = starts[start];
            let bytes = [start, &bytes].concat();
            if let Ok(Some(header)) = parse(Auto, &bytes) {
                prop_assert!(header.length <= bytes.len());
            }
        }
    }
}

#[cfg(test)]
#[path = "protocol_fuzz.rs"]
mod fuzz;
