//! Trailers of a request, without those that must not be there: a recipient that merged them would be deceived
//! (RFC 9110 §6.5.1).

use hyper::{HeaderMap, header::HeaderName};

/// What frames a message, routes it, authenticates its sender, or says how its content is to be read.
const FORBIDDEN: [&str; 32] = [
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "max-forwards",
    "origin",
    "pragma",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Removes those that are forbidden.
#[cold]
pub(super) fn filter(trailers: &mut HeaderMap) {
    let forbidden = |name: &&HeaderName| FORBIDDEN.contains(&name.as_str());
    let found: Vec<HeaderName> = trailers.keys().filter(forbidden).cloned().collect();
    for name in found {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::{FORBIDDEN, filter};
    use hyper::{
        HeaderMap,
        header::{HeaderName, HeaderValue},
    };

    #[test]
    fn trailers_that_would_deceive_are_dropped() {
        let mut trailers = HeaderMap::new();
        for name in FORBIDDEN {
            trailers.append(HeaderName::from_static(name), HeaderValue::from_static("a"));
            trailers.append(HeaderName::from_static(name), HeaderValue::from_static("b"));
        }
        trailers.insert("x-checksum", HeaderValue::from_static("c"));
        filter(&mut trailers);
        assert_eq!(trailers.len(), 1);
        assert!(trailers.contains_key("x-checksum"));
    }
}
