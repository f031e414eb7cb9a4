//! X-Forwarded-For, -Proto, -Host and -Port: lists to which each proxy may append, or which it may replace.

use super::{
    node::port_number,
    told::{Told, client, scheme},
};
use crate::Scheme;
use hostler_settings::ForwardedHeader;
use hyper::HeaderMap;
use std::net::IpAddr;

/// What the headers say that are believed; `None` if there is none of them.
pub(super) fn read(
    headers: &HeaderMap,
    believed: impl Fn(ForwardedHeader) -> bool,
    trusts: impl Fn(IpAddr) -> bool,
) -> Option<Told> {
    let of = |header: ForwardedHeader| believed(header) && headers.contains_key(header.name());
    let [has_for, has_host, has_port] =
        [ForwardedHeader::For, ForwardedHeader::Host, ForwardedHeader::Port].map(of);
    let has_proto =
        believed(ForwardedHeader::Proto) && SCHEMES.iter().any(|name| headers.contains_key(*name));
    if !(has_for || has_proto || has_host || has_port) {
        return None;
    }
    let from_right = |header: ForwardedHeader| from_right(headers, header.name());
    let (client, proxies) =
        if has_for { client(from_right(ForwardedHeader::For), trusts) } else { (None, 0) };
    Some(Told {
        client,
        scheme: has_proto.then(|| told_scheme(headers, proxies)).flatten(),
        host: has_host
            .then(|| said_by(from_right(ForwardedHeader::Host), proxies))
            .flatten()
            .map(str::to_owned),
        port: has_port
            .then(|| said_by(from_right(ForwardedHeader::Port), proxies))
            .flatten()
            .and_then(port_number),
    })
}

/// By which the scheme is told. The others are those that Gunicorn knows, too.
const SCHEMES: [&str; 3] = ["x-forwarded-proto", "x-forwarded-protocol", "x-forwarded-ssl"];

fn told_scheme(headers: &HeaderMap, proxies: usize) -> Option<Scheme> {
    let name = SCHEMES.into_iter().find(|name| headers.contains_key(*name))?;
    let said = said_by(from_right(headers, name), proxies)?;
    match name {
        "x-forwarded-ssl" => said.eq_ignore_ascii_case("on").then_some(Scheme::Https),
        "x-forwarded-protocol" if said.eq_ignore_ascii_case("ssl") => Some(Scheme::Https),
        _ => scheme(said),
    }
}

/// The items of a list, the last one first.
fn from_right<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().rev();
    // What is no text is no address either.
    let lines = lines.map(|line| std::str::from_utf8(line.as_bytes()).unwrap_or("?"));
    lines
        .flat_map(|line| line.rsplit(','))
        .map(|item| item.trim_matches([' ', '\t']))
        .filter(|item| !item.is_empty())
}

/// What the proxy said that the client reached, if each of the proxies behind it has appended; otherwise what the first of
/// those said that did.
fn said_by<'a>(from_right: impl Iterator<Item = &'a str>, proxies: usize) -> Option<&'a str> {
    from_right.take(proxies + 1).last()
}
