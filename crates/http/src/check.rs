//! What RFC 9112 asks of a request and hyper leaves to the server.

use hyper::{Method, Request, Version, header};

/// Says why a request must be refused with 400 (RFC 9112 §3.2: exactly one `Host` in HTTP/1.1).
pub(crate) fn refusal<B>(request: &Request<B>) -> Option<&'static str> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let refusal = match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_11 => Some("the Host header is missing"),
        (Some(_), Some(_)) => Some("there is more than one Host header"),
        (Some(host), None) if !is_host(host.as_bytes()) => Some("the Host header is malformed"),
        _ => None,
    };
    refusal.or_else(|| {
        let asterisk = request.uri().path() == "*";
        (asterisk && request.method() != Method::OPTIONS).then_some("`*` is for OPTIONS alone")
    })
}

/// `uri-host [":" port]` of RFC 3986 §3.2.2, judged by its characters; empty is allowed.
fn is_host(host: &[u8]) -> bool {
    host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]%".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::refusal;
    use hyper::{Request, Version};

    fn with_hosts(version: Version, hosts: &[&str]) -> Option<&'static str> {
        let mut request = Request::builder().version(version).uri("/");
        for host in hosts {
            request = request.header("host", *host);
        }
        refusal(&request.body(()).unwrap())
    }

    #[test]
    fn one_host_is_needed_in_http_11_and_not_in_http_10() {
        assert!(with_hosts(Version::HTTP_11, &[]).is_some());
        assert!(with_hosts(Version::HTTP_10, &[]).is_none());
        assert!(with_hosts(Version::HTTP_11, &["a.example:80"]).is_none());
        assert!(with_hosts(Version::HTTP_11, &["[::1]:80"]).is_none());
    }

    #[test]
    fn two_hosts_and_strange_hosts_are_refused() {
        assert!(with_hosts(Version::HTTP_11, &["a", "b"]).is_some());
        assert!(with_hosts(Version::HTTP_11, &["a b"]).is_some());
        assert!(with_hosts(Version::HTTP_11, &["a/b"]).is_some());
        assert!(with_hosts(Version::HTTP_11, &["user@a"]).is_some());
    }
}
