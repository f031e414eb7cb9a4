//! Host and server of a request, from what a proxy said of them.

use super::{Facts, node::port_number, told::Told};
use crate::{Scheme, h1::check::is_host};
use hyper::{HeaderMap, header::HOST, http::HeaderValue};

/// Sets the `Host` header to the host that the client asked for, and returns that and its port, if a proxy named either.
pub(super) fn apply(facts: &Facts, told: &Told, headers: &mut HeaderMap) -> Option<(String, u16)> {
    let scheme = told.scheme.unwrap_or(facts.scheme);
    let host = told.host.as_deref().and_then(split);
    // Port 80 of an https URL is the port of a proxy behind the one that speaks TLS.
    let port = told.port.filter(|port| *port != default_port(other(scheme)));
    if host.is_none() && port.is_none() {
        return None;
    }
    let sent = || headers.get(HOST).and_then(|host| host.to_str().ok());
    let (name, explicit) = match (host, sent()) {
        (Some(told), _) => told,
        (None, Some(sent)) => split(sent)?,
        (None, None) => {
            return facts.local.map(|local| (local.ip().to_string(), port.unwrap_or(local.port())));
        }
    };
    let port = explicit.or(port).unwrap_or(default_port(scheme));
    let bare = name.trim_start_matches('[').trim_end_matches(']').to_owned();
    let value = if explicit.is_none() && port == default_port(scheme) {
        name.to_owned()
    } else {
        format!("{name}:{port}")
    };
    headers.insert(HOST, HeaderValue::try_from(value).ok()?);
    Some((bare, port))
}

/// Name and port of `name`, `name:port` or `[address]:port`; the brackets are part of the name.
fn split(host: &str) -> Option<(&str, Option<u16>)> {
    let end = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, port) = host.split_at(end);
    let port = match port.strip_prefix(':') {
        Some("") => None,
        Some(port) => Some(port_number(port)?),
        None if port.is_empty() => None,
        None => return None,
    };
    (!name.is_empty() && is_host(name.as_bytes())).then_some((name, port))
}

fn default_port(scheme: Scheme) -> u16 {
    match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    }
}

fn other(scheme: Scheme) -> Scheme {
    match scheme {
        Scheme::Http => Scheme::Https,
        Scheme::Https => Scheme::Http,
    }
}
