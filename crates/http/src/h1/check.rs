//! What RFC 9112 requires of a request and hyper does not check.

use super::framing::{BodyLength, Malformed};
use hyper::{Method, Request, StatusCode, Version, header, header::HeaderValue};

/// Why a request does not reach the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) reason: &'static str,
}

const fn bad(reason: &'static str) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, reason }
}

/// Lets a request pass to the application, or says why not.
///
/// The host of a target in absolute form takes the place of the `Host` header (RFC 9112 §3.2.2).
pub(crate) fn admit<B>(
    request: &mut Request<B>,
    framed: Result<(), Malformed>,
    length: BodyLength,
) -> Result<(), Refusal> {
    framed.map_err(|Malformed(rule)| bad(rule))?;
    if length == BodyLength::Chunked {
        check_coding(request)?;
    }
    check_host(request)?;
    check_target(request)?;
    if request.uri().authority().is_some() { take_host(request) } else { Ok(()) }
}

#[cold]
fn take_host<B>(request: &mut Request<B>) -> Result<(), Refusal> {
    let Some(authority) = request.uri().authority() else { return Ok(()) };
    let host = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
    let host = HeaderValue::from_str(host).map_err(|_| bad("the target's host is malformed"))?;
    request.headers_mut().insert(header::HOST, host);
    Ok(())
}

/// RFC 9112 §6.1: an unknown coding is refused with 501, and `chunked` is applied once.
#[cold]
fn check_coding<B>(request: &Request<B>) -> Result<(), Refusal> {
    let named = request.headers().iter().filter(|(name, _)| *name == header::TRANSFER_ENCODING);
    let mut codings = named.map(|(_, coding)| coding);
    match (codings.next(), codings.next()) {
        (Some(coding), None) if coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(coding), None) if coding.as_bytes().to_ascii_lowercase().ends_with(b"chunked, chunked") => {
            Err(bad("the body is chunked twice"))
        }
        (Some(_), Some(_)) => Err(bad("there is more than one Transfer-Encoding")),
        _ => Err(Refusal {
            status: StatusCode::NOT_IMPLEMENTED,
            reason: "the only transfer coding that is supported is chunked",
        }),
    }
}

/// RFC 9112 §3.2: exactly one `Host` in HTTP/1.1, and none that is malformed.
fn check_host<B>(request: &Request<B>) -> Result<(), Refusal> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_11 => Err(bad("the Host header is missing")),
        (Some(_), Some(_)) => Err(bad("there is more than one Host header")),
        (Some(host), None) if !is_host(host.as_bytes()) => Err(bad("the Host header is malformed")),
        _ => Ok(()),
    }
}

/// RFC 9112 §3.2.1 to §3.2.4: the four forms of a target, each for its methods.
fn check_target<B>(request: &Request<B>) -> Result<(), Refusal> {
    let (method, uri) = (request.method(), request.uri());
    if method == Method::CONNECT {
        return Err(Refusal {
            status: StatusCode::NOT_IMPLEMENTED,
            reason: "CONNECT is for proxies, and this is an origin server",
        });
    }
    match (uri.scheme(), uri.authority()) {
        (None, Some(_)) => return Err(bad("a target without a path is for CONNECT alone")),
        (Some(scheme), _) if !matches!(scheme.as_str(), "http" | "https") => {
            return Err(bad("the target's scheme is neither http nor https"));
        }
        _ => {}
    }
    let path = uri.path();
    if path == "*" && method != Method::OPTIONS {
        return Err(bad("`*` is for OPTIONS alone"));
    }
    // An absolute target may lack a path (RFC 9112 §3.2.2), others begin with one.
    if !path.starts_with('/') && path != "*" && uri.scheme().is_none() {
        return Err(bad("the target does not begin with `/`"));
    }
    Ok(())
}

/// `uri-host [":" port]` of RFC 3986 §3.2.2, judged by its characters; empty is allowed.
fn is_host(host: &[u8]) -> bool {
    host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]%".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::{BodyLength, admit};
    use hyper::{Method, Request, Version, header::HOST};

    fn admitted(version: Version, method: Method, target: &str, hosts: &[&str]) -> Result<String, u16> {
        let mut request = Request::builder().version(version).method(method).uri(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        let mut request = request.body(()).unwrap();
        admit(&mut request, Ok(()), BodyLength::Known(0)).map_err(|refusal| refusal.status.as_u16())?;
        Ok(request.headers().get(HOST).map(|host| host.to_str().unwrap().to_owned()).unwrap_or_default())
    }

    fn with_hosts(version: Version, hosts: &[&str]) -> bool {
        admitted(version, Method::GET, "/", hosts).is_ok()
    }

    #[test]
    fn one_host_is_needed_in_http_11_and_not_in_http_10() {
        assert!(!with_hosts(Version::HTTP_11, &[]));
        assert!(with_hosts(Version::HTTP_10, &[]));
        assert!(with_hosts(Version::HTTP_11, &["a.example:80"]));
        assert!(with_hosts(Version::HTTP_11, &["[::1]:80"]));
    }

    #[test]
    fn two_hosts_and_strange_hosts_are_refused() {
        assert!(!with_hosts(Version::HTTP_11, &["a", "b"]));
        assert!(!with_hosts(Version::HTTP_11, &["a b"]));
        assert!(!with_hosts(Version::HTTP_11, &["a/b"]));
        assert!(!with_hosts(Version::HTTP_11, &["user@a"]));
    }

    #[test]
    fn a_target_has_the_form_that_its_method_needs() {
        let ask = |method, target| admitted(Version::HTTP_11, method, target, &["a"]);
        assert_eq!(ask(Method::GET, "example.com:80"), Err(400));
        assert_eq!(ask(Method::GET, "*"), Err(400));
        assert!(ask(Method::OPTIONS, "*").is_ok());
        assert_eq!(ask(Method::CONNECT, "example.com:80"), Err(501));
        assert_eq!(ask(Method::GET, "ftp://example.com/"), Err(400));
    }

    #[test]
    fn the_host_of_an_absolute_target_counts() {
        let ask = |target| admitted(Version::HTTP_11, Method::GET, target, &["other"]);
        assert_eq!(ask("http://example.com:81/path"), Ok("example.com:81".into()));
        assert_eq!(ask("http://user@example.com/"), Ok("example.com".into()));
        assert_eq!(ask("http://example.com"), Ok("example.com".into()));
        assert_eq!(ask("/path"), Ok("other".into()));
    }
}
