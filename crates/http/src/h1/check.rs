//! What RFC 9110 and RFC 9112 require of a request, can be seen in what hyper has parsed, and is not checked by it.

use super::framing::BodyLength;
use crate::{limits::request::RequestLimits, request::refusal::Refusal};
use hyper::{Method, Request, StatusCode, Version, header, header::HeaderValue};

/// Lets a request pass to the application, or says why not.
///
/// The host of a target in absolute form takes the place of the `Host` header (RFC 9112 §3.2.2).
pub(crate) fn admit<B>(
    request: &mut Request<B>,
    framed: Result<(), Refusal>,
    length: BodyLength,
    limits: &RequestLimits,
) -> Result<(), Refusal> {
    framed?;
    match length {
        BodyLength::Chunked => check_coding(request)?,
        BodyLength::Known(length) => limits.check_body(length)?,
    }
    check_fields(request)?;
    check_host(request)?;
    check_target(request)?;
    if request.uri().authority().is_some() { take_host(request) } else { Ok(()) }
}

/// What holds in every version of HTTP: the method, and headers of which there may be one.
#[inline]
pub(crate) fn check_fields<B>(request: &Request<B>) -> Result<(), Refusal> {
    let headers = request.headers();
    if headers.len() != headers.keys_len() {
        check_singles(request)?;
    }
    check_method(request.method())
}

/// A target with bytes beyond ASCII.
#[cold]
pub(crate) fn target_is_not_ascii() -> Refusal {
    Refusal::malformed("the target has bytes that are not ASCII: they must be percent-encoded")
}

#[cold]
fn take_host<B>(request: &mut Request<B>) -> Result<(), Refusal> {
    let Some(authority) = request.uri().authority() else { return Ok(()) };
    let host = authority.as_str();
    if host.contains('@') {
        // RFC 9110 §4.2.4: it is likely there to deceive.
        return Err(Refusal::malformed("the target has a user name"));
    }
    let host = HeaderValue::from_str(host).ok().filter(|host| is_host(host.as_bytes()) && !host.is_empty());
    let host = host.ok_or(Refusal::malformed("the target's host is malformed"))?;
    request.headers_mut().insert(header::HOST, host);
    Ok(())
}

/// RFC 9112 §6.1: an unknown coding is refused with 501, and `chunked` is applied once.
#[cold]
fn check_coding<B>(request: &Request<B>) -> Result<(), Refusal> {
    let mut codings = request.headers().get_all(header::TRANSFER_ENCODING).iter().map(HeaderValue::as_bytes);
    match (codings.next(), codings.next()) {
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(coding), None) if is_chunked_twice(coding) => {
            Err(Refusal::malformed("the body is chunked twice"))
        }
        (Some(_), Some(_)) => Err(Refusal::malformed("there is more than one Transfer-Encoding")),
        _ => Err(Refusal::with(
            StatusCode::NOT_IMPLEMENTED,
            "the only transfer coding that is supported is chunked",
        )),
    }
}

fn is_chunked_twice(codings: &[u8]) -> bool {
    let chunked = |coding: &&[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
    codings.split(|byte| *byte == b',').filter(chunked).count() > 1
}

/// Headers of which one means something and two mean something else to everybody (RFC 9110 §5.3). Of HTTP/1, hyper
/// removes a second Content-Length; see [`super::framing`].
#[cold]
fn check_singles<B>(request: &Request<B>) -> Result<(), Refusal> {
    let several = |name| request.headers().get_all(name).iter().nth(1).is_some();
    if several(header::HOST) {
        return Err(Refusal::malformed("there is more than one Host header"));
    }
    if several(header::CONTENT_TYPE) {
        return Err(Refusal::malformed("there is more than one Content-Type header"));
    }
    if several(header::CONTENT_LENGTH) {
        return Err(Refusal::malformed("there is more than one Content-Length"));
    }
    Ok(())
}

/// RFC 9112 §3.2: a `Host` in HTTP/1.1, and none that is malformed.
fn check_host<B>(request: &Request<B>) -> Result<(), Refusal> {
    match request.headers().get(header::HOST) {
        None if request.version() == Version::HTTP_11 => {
            Err(Refusal::malformed("the Host header is missing"))
        }
        Some(host) if !is_host(host.as_bytes()) => Err(Refusal::malformed("the Host header is malformed")),
        _ => Ok(()),
    }
}

/// Methods that are not registered have 3 to 20 characters and no small letters: a `post` that a proxy lets pass as
/// unknown would be a POST to applications that do not look at case.
fn check_method(method: &Method) -> Result<(), Refusal> {
    match *method {
        Method::GET | Method::POST | Method::HEAD | Method::PUT | Method::DELETE | Method::PATCH => Ok(()),
        _ => check_unusual_method(method.as_str().as_bytes()),
    }
}

#[cold]
fn check_unusual_method(method: &[u8]) -> Result<(), Refusal> {
    let is_odd = method.iter().any(|byte| byte.is_ascii_lowercase() || *byte == b'#');
    if is_odd || !(3..=20).contains(&method.len()) {
        return Err(Refusal::malformed("the method is malformed: it has capital letters, 3 to 20 of them"));
    }
    Ok(())
}

/// RFC 9112 §3.2.1 to §3.2.4: the four forms of a target, each for its methods.
pub(crate) fn check_target<B>(request: &Request<B>) -> Result<(), Refusal> {
    let (method, uri) = (request.method(), request.uri());
    if method == Method::CONNECT {
        return Err(Refusal::with(
            StatusCode::NOT_IMPLEMENTED,
            "CONNECT is for proxies, and this is an origin server",
        ));
    }
    match (uri.scheme(), uri.authority()) {
        (None, Some(_)) => return Err(Refusal::malformed("a target without a path is for CONNECT alone")),
        (Some(scheme), _) if !matches!(scheme.as_str(), "http" | "https") => {
            return Err(Refusal::malformed("the target's scheme is neither http nor https"));
        }
        _ => {}
    }
    let path = uri.path();
    if path == "*" && method != Method::OPTIONS {
        return Err(Refusal::malformed("`*` is for OPTIONS alone"));
    }
    // An absolute target may lack a path (RFC 9112 §3.2.2), others begin with one.
    if !path.starts_with('/') && path != "*" && uri.scheme().is_none() {
        return Err(Refusal::malformed("the target does not begin with `/`"));
    }
    Ok(())
}

/// `uri-host [":" port]` of RFC 9110 §7.2; empty is allowed.
pub(crate) fn is_host(host: &[u8]) -> bool {
    let name = match host {
        [b'[', ..] => return is_literal(host),
        _ => host.iter().take_while(|byte| NAME[usize::from(**byte)]).count(),
    };
    is_port(&host[name..])
}

/// An address of IPv6 in brackets, and a port.
#[cold]
fn is_literal(host: &[u8]) -> bool {
    let Some((address, port)) = std::str::from_utf8(host).ok().and_then(|host| host[1..].split_once(']'))
    else {
        return false;
    };
    address.parse::<std::net::Ipv6Addr>().is_ok() && is_port(port.as_bytes())
}

fn is_port(port: &[u8]) -> bool {
    match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// `reg-name` of RFC 3986 §3.2.2, judged by its characters.
static NAME: [bool; 256] = {
    let mut table = [false; 256];
    let (mut at, marks) = (0, b"-._~!$&'()*+,;=%");
    while at < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
        let byte = at as u8;
        table[at] = byte.is_ascii_alphanumeric();
        at += 1;
    }
    at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
