//! From a request's path to the name of a file beneath a mount: pure.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// A path as names of files are: decoded, and every part of it a name. `None` for what can name no file: a part that is
/// empty, `.` or `..`, an encoded slash, NUL, what is no UTF-8, a malformed escape.
pub(super) fn decode(path: &str) -> Option<Cow<'_, str>> {
    let path = path.strip_prefix('/')?;
    if path.contains('%') && !has_whole_escapes(path) {
        return None;
    }
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        if !(is_name(part) || part.is_empty() && is_last) {
            return None;
        }
    }
    if path.contains('%') { percent_decode_str(path).decode_utf8().ok() } else { Some(Cow::Borrowed(path)) }
}

fn has_whole_escapes(path: &str) -> bool {
    let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = path.as_bytes();
    memchr::memchr_iter(b'%', bytes).all(|at| digit(bytes.get(at + 1)) && digit(bytes.get(at + 2)))
}

/// Whether a part of a path, decoded, is the name of a file or a directory.
fn is_name(part: &str) -> bool {
    let decoded: Cow<'_, [u8]> = percent_decode_str(part).into();
    !matches!(&*decoded, b"" | b"." | b"..") && !decoded.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// What follows the route in a decoded path, if it is beneath it: `Some("")` for the route itself without a slash, which
/// [`is_route_itself`] tells from the route with one.
pub(super) fn beneath<'a>(path: &'a str, route: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(route)?;
    match rest.strip_prefix('/') {
        _ if route.is_empty() => Some(rest),
        Some(name) => Some(name),
        None => rest.is_empty().then_some(rest),
    }
}

/// Whether a decoded path is a route without a slash at its end.
pub(super) fn is_route_itself(path: &str, route: &str) -> bool {
    !route.is_empty() && path == route
}

/// Whether a part of the name begins with a dot, other than `.well-known` at the beginning (RFC 8615).
pub(super) fn is_hidden(name: &str) -> bool {
    let mut parts = name.split('/');
    let first = parts.next().unwrap_or_default();
    (first.starts_with('.') && first != ".well-known") || parts.any(|part| part.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::{beneath, decode, is_hidden};
    use proptest::prelude::{ProptestConfig, any, proptest};

    #[test]
    fn names_are_decoded() {
        for (path, name) in [
            ("/", ""),
            ("/a/b.css", "a/b.css"),
            ("/a/", "a/"),
            ("/with%20space", "with space"),
            ("/%C3%A9t%c3%a9", "été"),
            ("/%61", "a"),
            ("/..a/a..", "..a/a.."),
            ("/...", "..."),
            ("/%2561", "%61"),
        ] {
            assert_eq!(decode(path).as_deref(), Some(name), "{path}");
        }
    }

    #[test]
    fn what_names_no_file_is_refused() {
        for path in [
            "",
            "*",
            "a",
            "//",
            "//a",
            "/a//b",
            "/.",
            "/..",
            "/../a",
            "/a/../b",
            "/a/./b",
            "/%2e%2e/a",
            "/.%2E/a",
            "/a%2fb",
            "/a%2Fb",
            "/a%00",
            "/%",
            "/%4",
            "/%zz",
            "/%+1",
            "/%ff",
            "/a/..",
            "/%2e",
        ] {
            assert_eq!(decode(path), None, "{path}");
        }
    }

    #[test]
    fn routes_match_whole_parts() {
        assert_eq!(beneath("static/a", "static"), Some("a"));
        assert_eq!(beneath("static/", "static"), Some(""));
        assert_eq!(beneath("static", "static"), Some(""));
        assert_eq!(beneath("statics/a", "static"), None);
        assert_eq!(beneath("a", ""), Some("a"));
        assert_eq!(beneath("", ""), Some(""));
    }

    #[test]
    fn names_with_a_dot_in_front_are_hidden() {
        assert!(is_hidden(".env") && is_hidden("a/.git/config") && is_hidden("a/.well-known/x"));
        assert!(!is_hidden("a.b/c.d") && !is_hidden(".well-known/acme/x") && !is_hidden(""));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever is sent, a name has no part that leads anywhere but down.
        #[test]
        fn no_name_leads_up(bytes in proptest::collection::vec(proptest::sample::select(b"/.%2eEfF05cC\\a".to_vec()), 0..24)) {
            let path = format!("/{}", String::from_utf8(bytes).unwrap());
            if let Some(name) = decode(&path) {
                let mut parts: Vec<&str> = name.split('/').collect();
                parts.pop();
                assert!(parts.iter().all(|part| !matches!(*part, "" | "." | "..")), "{path}");
                assert!(!matches!(name.rsplit('/').next(), Some("." | "..")) && !name.contains('\0'), "{path}");
            }
        }

        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = decode(&text);
            let _ = decode(&format!("/{text}"));
        }
    }
}
