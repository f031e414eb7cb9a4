//! `Forwarded` (RFC 7239): a list of elements, one for each proxy, of pairs such as `for="[2001:db8::1]:80";proto=https`.
//!
//! A client may send the beginning of the list, with a quote that it does not close. Elements are therefore found from the
//! right, where those of trusted proxies stand.

use super::{
    node,
    told::{Told, scheme},
};
use hyper::HeaderMap;
use std::{borrow::Cow, net::IpAddr};

pub(super) const NAME: &str = "forwarded";

/// One proxy's element.
#[derive(Debug, Default, PartialEq, Eq)]
struct Element<'a> {
    client: Option<Cow<'a, str>>,
    proto: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
}

/// What the elements say of trusted proxies, and of the one that the client reached.
pub(super) fn read(headers: &HeaderMap, trusts: impl Fn(IpAddr) -> bool) -> Told {
    let mut told = Told::default();
    let lines = headers.get_all(NAME).iter().rev();
    let lines = lines.map(|line| std::str::from_utf8(line.as_bytes()).unwrap_or("?"));
    for text in lines.flat_map(FromRight::new) {
        if text.is_empty() {
            continue;
        }
        let Some(element) = parse(text) else { break };
        // The one that is nearest to the client and says it counts.
        told.scheme = element.proto.and_then(|name| scheme(&name)).or(told.scheme);
        told.host = element.host.map(Cow::into_owned).or(told.host);
        let Some(client) = element.client.and_then(|client| node::address(&client)) else { break };
        told.client = Some(client);
        if !trusts(client.ip()) {
            break;
        }
    }
    told
}

/// The elements of a line, the last one first.
struct FromRight<'a>(Option<&'a str>);

impl<'a> FromRight<'a> {
    fn new(line: &'a str) -> Self {
        Self(Some(line))
    }
}

impl<'a> Iterator for FromRight<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let line = self.0.take()?;
        let mut quoted = false;
        for (at, byte) in line.bytes().enumerate().rev() {
            match byte {
                b'"' if !is_escaped(line, at) => quoted = !quoted,
                b',' if !quoted => {
                    self.0 = Some(&line[..at]);
                    return Some(line[at + 1..].trim_matches(WHITESPACE));
                }
                _ => {}
            }
        }
        Some(line.trim_matches(WHITESPACE))
    }
}

const WHITESPACE: [char; 2] = [' ', '\t'];

/// Whether the byte stands behind an odd number of backslashes.
fn is_escaped(line: &str, at: usize) -> bool {
    line.as_bytes()[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The pairs of an element; `None` if it is malformed.
fn parse(mut rest: &str) -> Option<Element<'_>> {
    let mut element = Element::default();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        if rest.is_empty() {
            return Some(element);
        }
        let (name, behind) = rest.split_once('=')?;
        let (value, behind) = value(behind)?;
        rest = behind.trim_start_matches(WHITESPACE);
        if !(rest.is_empty() || rest.starts_with(';')) {
            return None;
        }
        let place = match name.to_ascii_lowercase().as_str() {
            "for" => &mut element.client,
            "proto" => &mut element.proto,
            "host" => &mut element.host,
            other if other.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;".contains(&byte)) => {
                continue;
            }
            _ => return None,
        };
        // RFC 7239 §4: each once.
        if place.replace(value).is_some() {
            return None;
        }
    }
}

/// A token, which may hold what needs quotes by the letter (`192.0.2.1:80`), or a quoted string; and what stands behind it.
fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t', '"', '\\']).unwrap_or(text.len());
        let (token, behind) = text.split_at(end);
        return (!token.is_empty()).then_some((Cow::Borrowed(token), behind));
    };
    let end = (0..quoted.len()).find(|at| quoted.as_bytes()[*at] == b'"' && !is_escaped(quoted, *at))?;
    let (inside, behind) = (&quoted[..end], &quoted[end + 1..]);
    if !inside.contains('\\') {
        return Some((Cow::Borrowed(inside), behind));
    }
    let mut escaped = false;
    let unescaped = inside.chars().filter(|letter| {
        escaped = *letter == '\\' && !escaped;
        !escaped
    });
    Some((unescaped.collect::<String>().into(), behind))
}
