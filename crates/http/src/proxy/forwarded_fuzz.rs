//! Any values of the headers by which proxies tell of their clients: what is believed is what a simple reader finds, in however
//! many lines a list comes, and clients cannot change it.

use super::{
    ForwardedHeader, rfc7239,
    tests::{applied, settings},
    told::Told,
    x_forwarded,
};
use crate::{Scheme, fuzzing::assemble_text};
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PARTS: [&str; 28] = [
    "203.0.113.9",
    "10.0.0.1",
    "10.0.0.2:80",
    "[2001:db8::1]:443",
    "[2001:db8::1]",
    "::ffff:10.0.0.3",
    "unknown",
    "_hidden",
    "192.0.2.1:_port",
    ",",
    ", ",
    " ",
    "\t",
    ":",
    "for=",
    "For=\"10.0.0.1\"",
    "for=10.0.0.1",
    "proto=https",
    "proto=http",
    "host=a.example",
    "host=\"b.example:81\"",
    "by=_x",
    ";",
    "=",
    "\"",
    "\\",
    "https",
    "\u{e9}",
];

const KINDS: [ForwardedHeader; 4] =
    [ForwardedHeader::For, ForwardedHeader::Proto, ForwardedHeader::Host, ForwardedHeader::Port];

#[test]
fn fuzz_x_forwarded() {
    bolero::check!().with_max_len(48).for_each(|input: &[u8]| {
        let lists = input.chunks(12).map(|input| assemble_text(input, &PARTS)).collect::<Vec<_>>();
        let mut joined = HeaderMap::new();
        let mut split = HeaderMap::new();
        for (kind, list) in KINDS.into_iter().zip(&lists) {
            let name = HeaderName::try_from(kind.name()).unwrap();
            let Ok(value) = HeaderValue::try_from(list) else { return };
            joined.insert(name.clone(), value);
            for line in list.split(',') {
                split.append(name.clone(), HeaderValue::try_from(line).unwrap());
            }
        }
        let told = x_forwarded::read(&joined, |_| true, trusts);
        assert_eq!(told, x_forwarded::read(&split, |_| true, trusts), "{lists:?}");
        let Some(list) = lists.first() else { return assert_eq!(told, None) };
        assert_eq!(told.unwrap().client, client(&items(list)), "{lists:?}");
    });
}

#[test]
fn fuzz_forwarded() {
    bolero::check!().with_max_len(48).for_each(|input: &[u8]| {
        let sent = assemble_text(input, &PARTS);
        let Ok(value) = HeaderValue::try_from(&sent) else { return };
        let headers = HeaderMap::from_iter([(HeaderName::from_static("forwarded"), value)]);
        let told = rfc7239::read(&headers, trusts);
        if !sent.contains(['"', '\\']) {
            assert_eq!(told, forwarded(&items(&sent)), "{sent}");
        }
        // The proxy's own element, behind what a client has sent.
        let element = "for=203.0.113.9;proto=https;host=a.example, for=\"10.0.0.2:5\"";
        let with =
            applied(&settings(), "127.0.0.1", &[("forwarded", &format!("{sent}, {element}"))]).unwrap();
        assert_eq!((with.client.as_str(), with.host.as_str()), ("203.0.113.9:0", "a.example"), "{sent}");
        let mut lines = headers;
        lines.append("forwarded", HeaderValue::from_static(element));
        let host = Some("a.example".to_owned());
        let client = Some("203.0.113.9:0".parse().unwrap());
        let expected = Told { client, scheme: Some(Scheme::Https), host, port: None };
        assert_eq!(rfc7239::read(&lines, trusts), expected, "{sent}");
    });
}

fn trusts(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.octets()[0] == 10)
}

/// The items of a list, the nearest proxy's first.
fn items(list: &str) -> Vec<&str> {
    let items = list.split(',').map(|item| item.trim_matches([' ', '\t']));
    items.filter(|item| !item.is_empty()).rev().collect()
}

fn client(items: &[&str]) -> Option<SocketAddr> {
    let addresses: Vec<SocketAddr> = items.iter().map_while(|item| node(item)).collect();
    let untrusted = addresses.iter().find(|address| !trusts(address.ip()));
    untrusted.or(addresses.last()).copied()
}

/// An address in one of its notations, each tried with the library's parser.
fn node(text: &str) -> Option<SocketAddr> {
    let name =
        |port: &str| !port.is_empty() && port.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let named = text.rsplit_once(":_").filter(|(_, port)| name(port)).map(|(address, _)| address);
    let bare = |text: &str| {
        let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        match bracketed {
            Some(text) => text.parse().ok().map(IpAddr::V6),
            None => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        }
    };
    let found = match named {
        Some(address) => SocketAddr::new(bare(address)?, 0),
        None => text
            .parse::<SocketAddr>()
            .ok()
            .or_else(|| Some(SocketAddr::new(text.parse().ok().or_else(|| bare(text))?, 0)))?,
    };
    Some(SocketAddr::new(found.ip().to_canonical(), found.port()))
}

/// What elements without quotes say, the nearest proxy's first.
fn forwarded(elements: &[&str]) -> Told {
    let mut told = Told::default();
    for element in elements {
        let Some(pairs) = pairs(element) else { break };
        let value = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1);
        let scheme = value("proto").and_then(|name| match name {
            "https" => Some(Scheme::Https),
            "http" => Some(Scheme::Http),
            _ => None,
        });
        told.scheme = scheme.or(told.scheme);
        told.host = value("host").map(str::to_owned).or(told.host);
        let Some(client) = value("for").and_then(node) else { break };
        told.client = Some(client);
        if !trusts(client.ip()) {
            break;
        }
    }
    told
}

/// The pairs of an element, each once; `None` if one is malformed.
fn pairs(element: &str) -> Option<Vec<(String, &str)>> {
    let mut pairs: Vec<(String, &str)> = Vec::new();
    let trimmed =
        element.split(';').map(|pair| pair.trim_matches([' ', '\t'])).filter(|pair| !pair.is_empty());
    for pair in trimmed {
        let (name, value) = pair.split_once('=')?;
        let name = name.to_ascii_lowercase();
        let is_known = ["for", "proto", "host"].contains(&name.as_str());
        let is_repeated = is_known && pairs.iter().any(|pair| pair.0 == name);
        let is_name = name.bytes().all(|byte| byte.is_ascii_graphic());
        if value.is_empty() || value.contains([' ', '\t']) || is_repeated || !is_name {
            return None;
        }
        pairs.push((name, value));
    }
    Some(pairs)
}
