//! What RFC 9113 §8 requires of a request and neither hyper nor h2 checks, and the form in which applications expect it.

use super::tunnel::asks_for_websocket;
use crate::{
    h1::check::{check_fields, check_target, is_host, target_is_not_ascii},
    limits::request::RequestLimits,
    request::refusal::Refusal,
};
use hyper::{
    HeaderMap, Method, Request,
    header::{COOKIE, HOST, HeaderValue},
};

/// Lets a request pass to the application, or says why not.
///
/// `Host` becomes what `:authority` says (§8.3.1), and the pieces of `Cookie` become one field (§8.2.3).
pub(crate) fn admit<B>(
    request: &mut Request<B>,
    limits: &RequestLimits,
    serves_websocket: bool,
) -> Result<(), Refusal> {
    check_fields(request)?;
    check_path(request, limits)?;
    check_values(request.headers(), limits)?;
    check_host(request)?;
    if !(serves_websocket && asks_for_websocket(request)) {
        check_target(request)?;
    }
    take_authority(request)?;
    join_cookies(request.headers_mut())
}

/// The request names its host once, and `:authority` and `Host` do not name different ones.
fn check_host<B>(request: &Request<B>) -> Result<(), Refusal> {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next(), request.uri().authority()) {
        (None, _, None) => Err(Refusal::malformed("neither :authority nor Host names the host")),
        (Some(_), Some(_), _) => Err(Refusal::malformed("there is more than one Host header")),
        (Some(host), None, Some(authority))
            if !host.as_bytes().eq_ignore_ascii_case(without_user(authority.as_str()).as_bytes()) =>
        {
            Err(Refusal::malformed("Host differs from :authority"))
        }
        (Some(host), None, None) if !is_host(host.as_bytes()) => {
            Err(Refusal::malformed("the Host header is malformed"))
        }
        _ => Ok(()),
    }
}

/// `:path` begins with `/`, or is the `*` of OPTIONS (§8.3.1), and is as long as a request line of HTTP/1 may be.
fn check_path<B>(request: &Request<B>, limits: &RequestLimits) -> Result<(), Refusal> {
    let Some(target) = request.uri().path_and_query() else { return Ok(()) };
    let (method, target) = (request.method(), target.as_str());
    if method.as_str().len() + target.len() + "  HTTP/2".len() > limits.line {
        return Err(limits.line_too_long());
    }
    if !target.is_ascii() {
        return Err(target_is_not_ascii());
    }
    let is_form = target.starts_with('/') || (method == Method::OPTIONS && target == "*");
    if is_form { Ok(()) } else { Err(Refusal::malformed("the target does not begin with `/`")) }
}

/// Each header is as large as one of HTTP/1 may be, and has no white space around its value (§8.2.1).
fn check_values(headers: &HeaderMap, limits: &RequestLimits) -> Result<(), Refusal> {
    for (name, value) in headers {
        if name.as_str().len() + ": ".len() + value.len() > limits.field {
            return Err(limits.field_too_large());
        }
        if let [b' ' | b'\t', ..] | [.., b' ' | b'\t'] = value.as_bytes() {
            return Err(Refusal::malformed("a header has white space around its value"));
        }
    }
    Ok(())
}

fn without_user(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

fn take_authority<B>(request: &mut Request<B>) -> Result<(), Refusal> {
    let Some(authority) = request.uri().authority() else { return Ok(()) };
    if authority.as_str().contains('@') {
        return Err(Refusal::malformed(":authority names a user"));
    }
    let host = HeaderValue::from_str(authority.as_str())
        .map_err(|_| Refusal::malformed(":authority is malformed"))?;
    if !is_host(host.as_bytes()) {
        return Err(Refusal::malformed(":authority is malformed"));
    }
    request.headers_mut().insert(HOST, host);
    Ok(())
}

fn join_cookies(headers: &mut HeaderMap) -> Result<(), Refusal> {
    let mut pieces = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (pieces.next(), pieces.next()) else { return Ok(()) };
    let mut joined = first.as_bytes().to_vec();
    for piece in std::iter::once(second).chain(pieces) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(piece.as_bytes());
    }
    let joined = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined))
        .map_err(|_| Refusal::malformed("the Cookie header is malformed"))?;
    headers.insert(COOKIE, joined);
    Ok(())
}

/// Whether a response to this method with this status has no body, whatever the application sends (RFC 9110 §6.4.1).
pub(crate) fn is_without_body(method_is_head: bool, status: hyper::StatusCode) -> bool {
    method_is_head || matches!(status.as_u16(), 204 | 304)
}

#[cfg(test)]
mod tests {
    use super::admit;
    use crate::limits::request::RequestLimits;
    use hyper::{Request, header::HOST};

    fn admitted(uri: &str, headers: &[(&str, &str)]) -> Result<Request<()>, &'static str> {
        let mut request = Request::builder().version(hyper::Version::HTTP_2).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        admit(&mut request, &RequestLimits::default(), false).map_err(|refusal| refusal.reason)?;
        Ok(request)
    }

    #[test]
    fn the_authority_becomes_the_host() {
        let request = admitted("http://a.example:81/x", &[]).unwrap();
        assert_eq!(request.headers()[HOST], "a.example:81");
        assert!(admitted("/x", &[("host", "a")]).is_ok());
        assert!(admitted("http://a.example/x", &[("host", "A.example")]).is_ok());
        assert_eq!(admitted("http://a/x", &[("host", "b")]).unwrap_err(), "Host differs from :authority");
        assert_eq!(admitted("http://u@a/x", &[]).unwrap_err(), ":authority names a user");
        assert!(admitted("/x", &[]).is_err());
        assert!(admitted("/x", &[("host", "a"), ("host", "a")]).is_err());
    }

    #[test]
    fn pieces_of_a_cookie_become_one() {
        let request =
            admitted("http://a/", &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]).unwrap();
        assert_eq!(request.headers().get_all("cookie").iter().count(), 1);
        assert_eq!(request.headers()["cookie"], "a=1; b=2; c=3");
    }
}
