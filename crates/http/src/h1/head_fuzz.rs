//! Any head, any part of which may be all that has arrived: what is refused early is refused, and its end is where lines end.

use super::{BodyLength, check, check_growing, end, find_end, is_plain};
use crate::{fuzzing::assemble, limits::request::RequestLimits};

const PARTS: [&[u8]; 16] = [
    b"GET / HTTP/1.1\r\n",
    b"POST /aaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"Host: a\r\n",
    b"Content-Length: 5\r\n",
    b"content-length:5\r\n",
    b"Content-Length",
    b"X: aaaaaaaaaaaaaaaaaaaaaaaaa",
    b"a",
    b":",
    b" ",
    b"#",
    b"\xc3\xa9",
];

#[test]
fn fuzz_head() {
    let limits = RequestLimits { line: 40, field: 30, head: 120, least: 30, ..RequestLimits::default() };
    bolero::check!().with_max_len(40).for_each(|input: &[u8]| {
        let bytes = assemble(input, &PARTS);
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(find_end(&bytes), naive_end(&bytes), "{text:?}");
        let whole = end(&bytes);
        let head = &bytes[..whole];
        let refused_early = (0..whole).map(|cut| check_growing(&head[..cut], &limits).is_err());
        let refused_early: Vec<bool> = refused_early.collect();
        assert!(refused_early.is_sorted(), "what is refused stays so: {text:?}");
        if find_end(&bytes).is_none() {
            return;
        }
        let checked = check(head, BodyLength::Known(5), &limits);
        if checked.is_ok() && whole <= limits.head {
            assert!(!refused_early.contains(&true), "{text:?}");
        }
        let lengths = text[..].to_ascii_lowercase().matches("content-length").count();
        if is_plain(head) && whole <= limits.least && lengths < 2 {
            assert_eq!(checked.map_err(|refusal| refusal.status), Ok(()), "{text:?}");
        }
    });
}

/// After the first empty line that follows one that is not.
fn naive_end(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut has_begun) = (0, false);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        let is_empty = matches!(line, b"\n" | b"\r\n");
        if is_empty && has_begun {
            return Some(at);
        }
        has_begun |= line.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
    }
    None
}
