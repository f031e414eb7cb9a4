//! A head's bytes, by the rules of RFC 9112 that hyper does not enforce and cannot be seen in what it has parsed.

use super::{check::target_is_not_ascii, framing::BodyLength};
use crate::{limits::request::RequestLimits, request::refusal::Refusal};
use hyper::{Method, Uri, Version};
use memchr::{memchr, memchr_iter};

/// How many bytes [`is_plain`] looks at in one step.
const STEP: usize = 32;

/// How many bytes of a target are told that has not arrived whole.
const MAX_SHOWN: usize = 1000;

/// Whether heads need no closer look: no line ends with LF alone, no byte is beyond ASCII, none is a `#`. A cheap test
/// for most heads: nothing in the loop branches, and the last step begins early instead of ending short, so that the
/// compiler takes all bytes of a step at once.
#[inline]
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    let Some((last, before)) = bytes.split_last() else { return true };
    let (previous, own) = (before, &bytes[1..]);
    let (Some(last_previous), Some(last_own)) = (previous.last_chunk(), own.last_chunk()) else {
        let firsts = std::iter::once(0).chain(before.iter().copied());
        return !firsts
            .zip(before.iter().chain([last]))
            .any(|(previous, byte)| is_odd(previous, *byte) & ODD != 0);
    };
    let mut odd = [is_odd(0, bytes[0]); STEP];
    for (previous, own) in previous.as_chunks().0.iter().zip(own.as_chunks().0) {
        gather(&mut odd, previous, own);
    }
    gather(&mut odd, last_previous, last_own);
    odd.iter().fold(0, |all, odd| all | odd) & ODD == 0
}

#[inline]
fn gather(odd: &mut [u8; STEP], previous: &[u8; STEP], own: &[u8; STEP]) {
    for at in 0..STEP {
        odd[at] |= is_odd(previous[at], own[at]);
    }
}

/// The bit that bytes beyond ASCII have.
const ODD: u8 = 0x80;

/// Whether a byte needs a closer look, in the bit [`ODD`].
#[inline]
fn is_odd(previous: u8, byte: u8) -> u8 {
    let is_fragment = byte == b'#';
    let is_bare = (byte == b'\n') & (previous != b'\r');
    byte | if is_fragment | is_bare { 0xFF } else { 0 }
}

/// Where the first head ends: after its first empty line. hyper has parsed a head, so there is one.
pub(super) fn end(bytes: &[u8]) -> usize {
    find_end(bytes).unwrap_or(bytes.len())
}

/// Where the first head ends, if all of it is there.
fn find_end(bytes: &[u8]) -> Option<usize> {
    let begin = begin(bytes);
    // Lines may also end with a bare LF; hyper accepts both.
    memchr_iter(b'\n', &bytes[begin..]).find_map(|at| match &bytes[begin + at + 1..] {
        [b'\n', ..] => Some(begin + at + 2),
        [b'\r', b'\n', ..] => Some(begin + at + 3),
        _ => None,
    })
}

/// Where the first head begins: empty lines before a request are skipped (RFC 9112 §2.2).
fn begin(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len())
}

/// Checks a head that is complete, and followed by a body of this length.
pub(super) fn check(head: &[u8], length: BodyLength, limits: &RequestLimits) -> Result<(), Refusal> {
    if memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r') {
        return Err(Refusal::malformed("a line ends with LF alone instead of CR LF"));
    }
    let head = &head[begin(head)..];
    let (line, fields) = head.split_at(memchr(b'\n', head).map_or(head.len(), |at| at + 1));
    if memchr(b'#', line).is_some() {
        return Err(Refusal::malformed("the target has a fragment"));
    }
    if !line.is_ascii() {
        return Err(target_is_not_ascii());
    }
    check_sizes(head, limits)?;
    let lengths = count(fields, b"content-length");
    // Two that say 0 have one meaning only, and in a plain head they would not be seen.
    if lengths > 1 && length != BodyLength::Known(0) {
        return Err(Refusal::malformed("there is more than one Content-Length"));
    }
    if length == BodyLength::Chunked && lengths > 0 {
        return Err(Refusal::malformed("there are both Content-Length and Transfer-Encoding"));
    }
    Ok(())
}

/// The first line of a head.
#[derive(Debug)]
pub(crate) struct RequestLine {
    pub(crate) method: Method,
    pub(crate) target: Uri,
    /// `None` if it has not arrived, or is unknown.
    pub(crate) version: Option<Version>,
}

impl RequestLine {
    /// What a head says that need be neither whole nor well-formed, for the log; `None` if its method and target cannot be told.
    /// A target that has arrived in part ends in `…`.
    #[cold]
    pub(crate) fn of(head: &[u8]) -> Option<Self> {
        let head = &head[begin(head)..];
        let end = memchr(b'\n', head);
        let line = &head[..end.unwrap_or(head.len())];
        let mut words = line.strip_suffix(b"\r").unwrap_or(line).splitn(3, |byte| *byte == b' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next());
        let target = match version {
            None if end.is_none() => [&target[..target.len().min(MAX_SHOWN)], "…".as_bytes()].concat(),
            _ => target.to_vec(),
        };
        Some(Self {
            method: Method::from_bytes(method).ok()?,
            target: Uri::try_from(target).ok()?,
            version: match version {
                Some(b"HTTP/1.1") => Some(Version::HTTP_11),
                Some(b"HTTP/1.0") => Some(Version::HTTP_10),
                _ => None,
            },
        })
    }
}

/// Whether the first line ends in a version of HTTP other than 1.0 and 1.1, as far as it has arrived: hyper refuses a version by
/// its first digit.
#[cold]
pub(super) fn has_unknown_version(bytes: &[u8]) -> bool {
    let head = &bytes[begin(bytes)..];
    let (line, is_whole) = match memchr(b'\n', head) {
        Some(end) => (head[..end].strip_suffix(b"\r").unwrap_or(&head[..end]), true),
        None => (head.strip_suffix(b"\r").unwrap_or(head), false),
    };
    let Some(name) = memchr::memmem::rfind(line, b" HTTP/") else { return false };
    match &line[name + b" HTTP/".len()..] {
        [b'1', b'.', b'0' | b'1'] => false,
        [major, b'.', minor] => major.is_ascii_digit() && minor.is_ascii_digit(),
        [major] | [major, b'.'] => !is_whole && major.is_ascii_digit() && *major != b'1',
        _ => false,
    }
}

/// Checks what has arrived of a head; one that is complete will be checked when hyper has parsed it.
#[cold]
pub(super) fn check_growing(bytes: &[u8], limits: &RequestLimits) -> Result<(), Refusal> {
    if find_end(bytes).is_some() {
        return Ok(());
    }
    check_sizes(&bytes[begin(bytes)..], limits)?;
    if bytes.len() >= limits.head { Err(limits.head_too_large()) } else { Ok(()) }
}

/// The limits of single lines, without their ends.
fn check_sizes(head: &[u8], limits: &RequestLimits) -> Result<(), Refusal> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    if lines.next().is_some_and(|line| line.len() > limits.line) {
        return Err(limits.line_too_long());
    }
    if lines.any(|line| line.len() > limits.field) { Err(limits.field_too_large()) } else { Ok(()) }
}

fn count(fields: &[u8], name: &[u8]) -> usize {
    let names = fields.split(|byte| *byte == b'\n').map(|line| &line[..memchr(b':', line).unwrap_or(0)]);
    names.filter(|field| field.eq_ignore_ascii_case(name)).count()
}

#[cfg(test)]
mod tests {
    use super::{BodyLength, RequestLine, check, check_growing, has_unknown_version, is_plain};
    use crate::limits::request::RequestLimits;
    use hyper::Version;

    #[test]
    fn a_line_is_told_as_far_as_it_has_arrived() {
        let told = |head: &str| {
            let line = RequestLine::of(head.as_bytes())?;
            Some((line.method.to_string(), line.target.to_string(), line.version))
        };
        let line = |target: &str, version| Some(("GET".to_owned(), target.to_owned(), version));
        assert_eq!(told("\r\nGET /a?b HTTP/1.1\r\nHo"), line("/a?b", Some(Version::HTTP_11)));
        assert_eq!(told("GET /a HTTP/1.0\n"), line("/a", Some(Version::HTTP_10)));
        assert_eq!(told("GET /a HTTP/2.0\r\n"), line("/a", None));
        assert_eq!(told("GET /a HT"), line("/a", None));
        assert_eq!(told("GET /a\r\n"), line("/a", None));
        assert_eq!(told("GET /a"), line("/a…", None));
        assert_eq!(
            told(&format!("GET /{}", "a".repeat(5000))),
            line(&format!("/{}…", "a".repeat(999)), None)
        );
        for none in ["", "\r\n", "GET", "GET ", "\x16\x03\x01 a b", "GET a\tb HTTP/1.1\r\n", "G T"] {
            assert_eq!(told(none).filter(|(_, target, _)| target != "b" && target != "T…"), None, "{none:?}");
        }
        let connect = told("CONNECT a.example:80 HTTP/1.1\r\n").unwrap();
        assert_eq!((&*connect.0, &*connect.1), ("CONNECT", "a.example:80"));
    }

    #[test]
    fn what_is_odd_is_seen_wherever_it_stands() {
        for length in 1..70 {
            let plain = vec![b'a'; length];
            assert!(is_plain(&plain));
            for at in 0..length {
                let with = |bytes: &[u8]| {
                    let mut all = plain.clone();
                    all.splice(at.., bytes.iter().copied().chain(plain[at..].iter().copied()));
                    is_plain(&all)
                };
                assert!(with(b"\r\n") && with(b"\r") && with(b"~"), "{at} of {length}");
                assert!(!with(b"\n") && !with(b"\xc3") && !with(b"#"), "{at} of {length}");
            }
        }
    }

    #[test]
    fn unknown_versions_are_told_from_what_is_no_version() {
        for line in [
            "HTTP/1.2",
            "HTTP/2.0",
            "HTTP/3.0",
            "HTTP/0.9",
            "HTTP/2.0\r",
            "HTTP/2.0\r\nHost: a",
            "HTTP/2",
            "HTTP/2.",
        ] {
            assert!(has_unknown_version(format!("\r\nGET / {line}").as_bytes()), "{line:?}");
        }
        for line in [
            "HTTP/1.1",
            "HTTP/1.0\r\n",
            "HTTP/1.10",
            "HTTP/01.1",
            "http/2.0",
            "HTTP/2\r\n",
            "HTTP/a.b",
            "HTTP/",
            "",
            "HTTP/2.0 ",
        ] {
            assert!(!has_unknown_version(format!("GET / {line}").as_bytes()), "{line:?}");
        }
        assert!(!has_unknown_version(b"GET / HTTP/1.1\r\nx: HTTP/3.0"));
    }

    #[test]
    fn limits_are_exact_and_without_the_ends_of_lines() {
        let limits = RequestLimits { line: 20, field: 10, head: 50, ..RequestLimits::default() };
        let checked = |head: &str| {
            let whole = check(head.as_bytes(), BodyLength::Known(0), &limits)
                .map_err(|refusal| refusal.status.as_u16());
            let cut = head.len() - 2;
            let growing =
                check_growing(&head.as_bytes()[..cut], &limits).map_err(|refusal| refusal.status.as_u16());
            assert_eq!(whole, growing, "{head:?}");
            whole
        };
        assert_eq!(checked("GET /2345678 HTTP/1.1\r\n\r\n"), Err(414));
        assert_eq!(checked("GET /234567 HTTP/1.1\r\n\r\n"), Ok(()));
        assert_eq!(checked("GET / HTTP/1.1\r\na: 4567890\r\n\r\n"), Ok(()));
        assert_eq!(checked("\r\nGET / HTTP/1.1\r\na: 45678901\r\n\r\n"), Err(431));
        let endless = "GET / HTTP/1.1\r\na: 4567890\r\na: 4567890\r\na: 4567890\r\nb: 5678";
        assert_eq!(check_growing(endless.as_bytes(), &limits).unwrap_err().status.as_u16(), 431);
    }
}

#[cfg(test)]
#[path = "head_fuzz.rs"]
mod fuzz;
