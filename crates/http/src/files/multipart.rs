//! Several ranges in one response (RFC 9110 §14.6): pure.

use super::{body::Segment, range::Part};
use bytes::Bytes;

/// The parts with their heads, for a body; and how long they are in all.
pub(super) fn segments(
    parts: &[Part],
    length: u64,
    content_type: &str,
    boundary: &str,
) -> (Vec<Segment>, u64) {
    let mut segments = Vec::with_capacity(parts.len() * 2 + 1);
    let mut total = 0;
    for part in parts {
        let lead = if segments.is_empty() { "" } else { "\r\n" };
        let range = content_range(*part, length);
        let head =
            format!("{lead}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {range}\r\n\r\n");
        total += head.len() as u64 + part.length;
        segments.push(Segment::Text(Bytes::from(head)));
        segments.push(Segment::Part { at: part.at, length: part.length });
    }
    let end = format!("\r\n--{boundary}--\r\n");
    total += end.len() as u64;
    segments.push(Segment::Text(Bytes::from(end)));
    (segments, total)
}

/// As in `Content-Range`.
pub(super) fn content_range(part: Part, length: u64) -> String {
    format!("bytes {}-{}/{length}", part.at, part.at + part.length - 1)
}

#[cfg(test)]
mod tests {
    use super::{Part, segments};
    use crate::files::body::Segment;

    #[test]
    fn parts_have_heads_and_the_length_is_theirs() {
        let parts = [Part { at: 0, length: 2 }, Part { at: 5, length: 1 }];
        let (segments, total) = segments(&parts, 6, "text/plain", "B");
        let mut whole = Vec::new();
        for segment in segments {
            match segment {
                Segment::Text(text) => whole.extend_from_slice(&text),
                Segment::Part { at, length } => {
                    whole.extend_from_slice(&b"012345"[at as usize..(at + length) as usize]);
                }
            }
        }
        assert_eq!(whole.len() as u64, total);
        assert_eq!(
            String::from_utf8(whole).unwrap(),
            "--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/6\r\n\r\n01\
             \r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-5/6\r\n\r\n5\r\n--B--\r\n"
        );
    }
}
