//! Requests that come without TLS and are redirected to the same URL over it.

use crate::{Forwarded, Scheme, request::refusal::Refusal};
use hyper::{
    Request, StatusCode,
    header::{HOST, HeaderValue},
    http::uri::Authority,
};

/// Another permanent place, for every method (RFC 9110 §15.4.9).
pub(crate) const STATUS: StatusCode = StatusCode::PERMANENT_REDIRECT;

/// The response to a request without TLS that cannot be redirected: the application must not get it either.
const NO_HOST: Refusal =
    Refusal::malformed("this address redirects to https, and the request does not say which host it is for");

/// Where requests without TLS are redirected to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Redirect {
    /// The port of URLs; the default one of https is left out.
    port: u16,
}

impl Redirect {
    pub(crate) fn to(port: u16) -> Self {
        Self { port }
    }

    /// The URL for a request of this connection's scheme; `None` if it came over TLS, to this server or to a trusted
    /// proxy.
    pub(crate) fn location<B>(
        self,
        scheme: Scheme,
        request: &Request<B>,
    ) -> Result<Option<HeaderValue>, Refusal> {
        let told = request.extensions().get::<Forwarded>().and_then(|forwarded| forwarded.scheme);
        if told.unwrap_or(scheme) == Scheme::Https {
            return Ok(None);
        }
        let host = request.headers().get(HOST).ok_or(NO_HOST)?;
        let authority = Authority::try_from(host.as_bytes()).map_err(|_| NO_HOST)?;
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path } else { "/" };
        // A proxy before this server has a port of its own.
        let port = if self.port == 443 || told.is_some() { String::new() } else { format!(":{}", self.port) };
        let location = HeaderValue::try_from(format!("https://{}{port}{path}", authority.host()));
        location.map(Some).map_err(|_| NO_HOST)
    }
}

#[cfg(test)]
mod tests {
    use super::Redirect;
    use crate::Scheme;
    use hyper::Request;

    fn location(port: u16, host: &str, target: &str) -> Option<String> {
        let request = Request::builder().uri(target).header("host", host).body(()).unwrap();
        let location = Redirect::to(port).location(Scheme::Http, &request).ok().flatten();
        location.map(|location| location.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_url_keeps_host_path_and_query() {
        assert_eq!(location(443, "shop.example:80", "/a?b=c").as_deref(), Some("https://shop.example/a?b=c"));
        assert_eq!(location(8443, "shop.example", "/").as_deref(), Some("https://shop.example:8443/"));
        assert_eq!(location(8443, "[::1]:8000", "/%20x").as_deref(), Some("https://[::1]:8443/%20x"));
        assert_eq!(location(443, "shop.example", "*").as_deref(), Some("https://shop.example/"));
        assert_eq!(location(443, "a b", "/"), None);
        let request = Request::builder().uri("/").header("host", "a").body(()).unwrap();
        assert_eq!(Redirect::to(443).location(Scheme::Https, &request), Ok(None));
    }

    #[test]
    fn a_request_that_cannot_be_redirected_is_refused() {
        let without = Request::builder().uri("/").body(()).unwrap();
        assert!(Redirect::to(443).location(Scheme::Http, &without).is_err());
        let empty = Request::builder().uri("/").header("host", "").body(()).unwrap();
        assert!(Redirect::to(443).location(Scheme::Http, &empty).is_err());
        assert_eq!(Redirect::to(443).location(Scheme::Https, &empty), Ok(None));
    }
}
