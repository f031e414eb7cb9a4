//! Any bytes in any pieces: a header is what HAProxy's `proxy-protocol.txt` says, and known as one when its last byte is there.

use super::{Header, Malformed, canonical, parse, v2::PROTOCOL_PREFIX};
use crate::fuzzing::assemble;
use hostler_settings::ProxyProtocol::{self, Auto, V1, V2};
use hostler_wire::ProxiedEnds;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const PARTS: [&[u8]; 26] = [
    b"PROXY ",
    b"PROXY TCP4 ",
    b"PROXY TCP6 ",
    b"PROXY UNKNOWN",
    b"203.0.113.9 ",
    b"192.0.2.1 ",
    b"2001:db8::7 ",
    b"::ffff:192.0.2.1 ",
    b"4711 ",
    b"443\r\n",
    b"65536",
    b"0",
    b"+1",
    b" ",
    b"\r\n",
    b"\r",
    b"\n",
    b"GET / HTTP/1.1\r\n\r\n",
    PROTOCOL_PREFIX,
    b"\x21\x11\x00\x0c",
    b"\x21\x21\x00\x24",
    b"\x20\x00\x00\x00",
    b"\x21\x31\x00\xd8",
    b"\x21",
    b"\x00",
    b"\xcb\x00\x71\x09\xc0\x00\x02\x01\x12\x34\x01\xbb",
];

#[test]
fn fuzz_proxy_protocol() {
    bolero::check!().with_max_len(48).for_each(|input: &[u8]| {
        let bytes = assemble(input, &PARTS);
        for version in [V1, V2, Auto] {
            let found = parse(version, &bytes);
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(found, reference(version, &bytes), "{version:?} {text:?}");
            match found {
                Ok(Some(header)) => (0..header.length)
                    .for_each(|cut| assert_eq!(parse(version, &bytes[..cut]), Ok(None), "{cut} of {text:?}")),
                Ok(None) => (0..bytes.len())
                    .for_each(|cut| assert_eq!(parse(version, &bytes[..cut]), Ok(None), "{cut} of {text:?}")),
                Err(Malformed) => {
                    let more = [&bytes[..], b"\r\n"].concat();
                    assert_eq!(parse(version, &more), Err(Malformed), "{text:?}");
                }
            }
        }
    });
}

fn reference(version: ProxyProtocol, bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let takes = |own: ProxyProtocol, start: &[u8]| {
        (version == own || version == Auto) && (bytes.starts_with(start) || start.starts_with(bytes))
    };
    match () {
        () if takes(V1, b"PROXY ") => line(bytes),
        () if takes(V2, PROTOCOL_PREFIX) => binary(bytes),
        () => Err(Malformed),
    }
}

fn line(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(107)]);
    let Some((line, _)) = text.split_once("\r\n") else {
        return if bytes.len() < 107 { Ok(None) } else { Err(Malformed) };
    };
    let length = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
    let words: Vec<&str> = line.split(' ').collect();
    let ends = match words[..] {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", "TCP4", from, to, source, target] => {
            let ends = from.parse::<Ipv4Addr>().ok().zip(to.parse::<Ipv4Addr>().ok());
            let (from, to) = ends.ok_or(Malformed)?;
            Some(ProxiedEnds { peer: (from, port(source)?).into(), local: (to, port(target)?).into() })
        }
        ["PROXY", "TCP6", from, to, source, target] => {
            let ends = from.parse::<Ipv6Addr>().ok().zip(to.parse::<Ipv6Addr>().ok());
            let (from, to) = ends.ok_or(Malformed)?;
            Some(ProxiedEnds { peer: (from, port(source)?).into(), local: (to, port(target)?).into() })
        }
        _ => return Err(Malformed),
    };
    Ok(Some(Header { length, ends: ends.map(canonical) }))
}

/// 0 to 65535, without a sign or zeros in front.
fn port(text: &str) -> Result<u16, Malformed> {
    let port: u16 = text.parse().map_err(|_| Malformed)?;
    if port.to_string() == text { Ok(port) } else { Err(Malformed) }
}

fn binary(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let Some((&[version, family, high, low], rest)) =
        bytes.get(12..).and_then(<[u8]>::split_first_chunk::<4>)
    else {
        return Ok(None);
    };
    if !matches!(version, 0x20 | 0x21) || version == 0x21 && (family >> 4 > 3 || family & 15 > 2) {
        return Err(Malformed);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    let ip_length = match family >> 4 {
        1 => 4,
        2 => 16,
        3 => 108,
        _ => 0,
    };
    let needed = if ip_length == 108 {
        216
    } else if ip_length > 0 {
        ip_length * 2 + 4
    } else {
        0
    };
    if version == 0x21 && length < needed {
        return Err(Malformed);
    }
    let Some(block) = rest.get(..length) else { return Ok(None) };
    let ends = (version == 0x21 && family & 15 == 1 && matches!(ip_length, 4 | 16)).then(|| {
        let ip = |at: usize| match ip_length {
            4 => IpAddr::from(*block[at..].first_chunk::<4>().unwrap()),
            _ => IpAddr::from(*block[at..].first_chunk::<16>().unwrap()),
        };
        let port = |at: usize| u16::from_be_bytes(*block[at..].first_chunk().unwrap());
        let peer = (ip(0), port(2 * ip_length)).into();
        ProxiedEnds { peer, local: (ip(ip_length), port(2 * ip_length + 2)).into() }
    });
    Ok(Some(Header { length: 16 + length, ends: ends.map(canonical) }))
}
