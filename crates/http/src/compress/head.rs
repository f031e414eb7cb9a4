//! Which responses are compressed, and what that changes in their heads.

use hyper::{
    HeaderMap, StatusCode,
    header::{
        ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_TYPE, ETAG, HeaderValue, VARY,
    },
};
use memchr::memmem;

/// Digests of the bytes that are sent, which compression changes.
const DIGESTS: [&str; 4] = ["content-md5", "digest", "content-digest", "repr-digest"];

/// Types of media, beside `text/…`, `…+json` and `…+xml`, that become smaller.
const TYPES: [&str; 16] = [
    "application/json",
    "application/javascript",
    "application/x-javascript",
    "application/xml",
    "application/xhtml+xml",
    "application/graphql",
    "application/manifest+json",
    "application/wasm",
    "application/x-ndjson",
    "application/x-yaml",
    "application/yaml",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
];

/// Whether a response is compressed for clients that accept it.
pub(super) fn is_compressible(
    status: StatusCode,
    headers: &HeaderMap,
    length: Option<u64>,
    min_size: u64,
) -> bool {
    let whole = !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT
                | StatusCode::RESET_CONTENT
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::NOT_MODIFIED
        );
    whole
        && length.is_none_or(|length| length >= min_size.max(1))
        && may_change(headers)
        && headers.get(CONTENT_TYPE).is_some_and(is_compressible_type)
}

/// Whether the application has left the coding to the server.
fn may_change(headers: &HeaderMap) -> bool {
    !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key(CONTENT_RANGE)
        && !DIGESTS.into_iter().any(|digest| headers.contains_key(digest))
        && !names(headers, &CACHE_CONTROL, "no-transform")
}

fn is_compressible_type(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let media = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_text = media.starts_with("text/") || media.ends_with("+json") || media.ends_with("+xml");
    media != "text/event-stream" && (is_text || TYPES.contains(&media.as_str()))
}

/// Whether a header that is a list names this.
fn names(headers: &HeaderMap, header: &hyper::header::HeaderName, name: &str) -> bool {
    let values = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(name))
}

/// Tells caches that the response depends on what the client accepts; also one that is not compressed for this client.
pub(super) fn vary(headers: &mut HeaderMap) {
    if !names(headers, &VARY, "accept-encoding") && !names(headers, &VARY, "*") {
        headers.append(VARY, HeaderValue::from(ACCEPT_ENCODING));
    }
}

/// The head of a response whose body is encoded.
pub(super) fn encoded(headers: &mut HeaderMap, coding: &'static str) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    headers.remove(CONTENT_LENGTH);
    // A range of the encoded bytes cannot be asked for: they may differ the next time.
    headers.remove(ACCEPT_RANGES);
    weaken(headers);
}

/// A 304 has the Vary and the tag of the 200 that it stands for (RFC 9110 §15.4.5). It seldom has that one's Content-Type:
/// that the 200 was compressed shows in the weak tag that the client sends back (`has`).
pub(super) fn not_modified(headers: &mut HeaderMap, accepts: bool, has: &[HeaderValue]) {
    let may_be_compressible = headers.get(CONTENT_TYPE).is_none_or(is_compressible_type);
    if !may_be_compressible || !may_change(headers) {
        return;
    }
    vary(headers);
    let Some(tag) = headers.get(ETAG).filter(|_| accepts) else { return };
    let weak = [b"W/", tag.as_bytes()].concat();
    let was_compressed = match has {
        [] => headers.contains_key(CONTENT_TYPE),
        has => has.iter().any(|tags| memmem::find(tags.as_bytes(), &weak).is_some()),
    };
    if was_compressed {
        weaken(headers);
    }
}

/// A strong validator stands for the very bytes (RFC 9110 §8.8.1).
fn weaken(headers: &mut HeaderMap) {
    if let Some(tag) = headers.get(ETAG)
        && !tag.as_bytes().starts_with(b"W/")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        headers.insert(ETAG, weak);
    }
}

#[cfg(test)]
mod tests {
    use super::{encoded, is_compressible, not_modified, vary};
    use hyper::{HeaderMap, StatusCode};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn compresses(status: u16, pairs: &[(&'static str, &str)], length: Option<u64>) -> bool {
        is_compressible(StatusCode::from_u16(status).unwrap(), &headers(pairs), length, 1000)
    }

    #[test]
    fn text_that_is_long_enough_or_of_unknown_length_is_compressed() {
        for media in
            ["text/html; charset=utf-8", "Application/JSON", "application/problem+json", "image/svg+xml"]
        {
            assert!(compresses(200, &[("content-type", media)], Some(1000)), "{media}");
            assert!(compresses(404, &[("content-type", media)], None), "{media}");
            assert!(!compresses(200, &[("content-type", media)], Some(999)), "{media}");
        }
    }

    #[test]
    fn what_is_compressed_already_or_must_not_be_is_left_alone() {
        for media in [
            "image/png",
            "video/mp4",
            "application/zip",
            "font/woff2",
            "text/event-stream",
            "application/grpc",
        ] {
            assert!(!compresses(200, &[("content-type", media)], None), "{media}");
        }
        assert!(!compresses(200, &[], None));
        for status in [101, 204, 205, 206, 304] {
            assert!(!compresses(status, &[("content-type", "text/html")], None), "{status}");
        }
        for (name, value) in [
            ("content-encoding", "gzip"),
            ("content-encoding", "identity"),
            ("content-range", "bytes 0-1/2"),
            ("cache-control", "public, No-Transform"),
            ("content-md5", "x"),
            ("content-digest", "x"),
        ] {
            assert!(!compresses(200, &[("content-type", "text/html"), (name, value)], None), "{name}");
        }
    }

    #[test]
    fn vary_is_added_once() {
        for (before, after) in [
            (&[][..], &["accept-encoding"][..]),
            (&[("vary", "Cookie")], &["Cookie", "accept-encoding"]),
            (&[("vary", "Cookie, Accept-Encoding")], &["Cookie, Accept-Encoding"]),
            (&[("vary", "*")], &["*"]),
        ] {
            let mut headers = headers(before);
            vary(&mut headers);
            assert_eq!(headers.get_all("vary").iter().collect::<Vec<_>>(), after);
        }
    }

    #[test]
    fn lengths_and_ranges_go_and_validators_become_weak() {
        let all = [("content-length", "5"), ("accept-ranges", "bytes"), ("etag", "\"a\"")];
        let mut headers = headers(&all);
        encoded(&mut headers, "br");
        encoded(&mut headers, "br");
        let mut left: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, [("content-encoding", "br"), ("etag", "W/\"a\"")]);
    }

    #[test]
    fn a_304_has_the_vary_and_the_tag_of_its_200() {
        let compressed = [("etag", "W/\"a\""), ("vary", "accept-encoding")];
        let plain = [("etag", "\"a\""), ("vary", "accept-encoding")];
        for (accepts, has, more, after) in [
            (true, &["W/\"a\""][..], &[][..], &compressed[..]),
            (true, &["\"b\", W/\"a\", \"c\""], &[], &compressed),
            (true, &["\"b\"", "W/\"a\""], &[], &compressed),
            // It has the bytes themselves: those of another type, or from before.
            (true, &["\"a\""], &[], &plain),
            (false, &["W/\"a\""], &[], &plain),
            // Asked for by date.
            (true, &[], &[], &plain),
            (true, &[], &[("content-type", "text/html")], &compressed),
            (true, &["W/\"a\""], &[("content-type", "image/png")], &plain[..1]),
            (true, &["W/\"a\""], &[("cache-control", "no-transform")], &plain[..1]),
        ] {
            let mut headers = headers(&[&[("etag", "\"a\"")], more].concat());
            let has: Vec<_> = has.iter().map(|tag| tag.parse().unwrap()).collect();
            not_modified(&mut headers, accepts, &has);
            for (name, _) in more {
                headers.remove(*name);
            }
            assert_eq!(headers, self::headers(after), "{accepts} {has:?} {more:?}");
        }
    }
}
