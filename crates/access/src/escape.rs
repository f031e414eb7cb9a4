//! Texts of clients, made harmless: no request can end a line, close a quoted value, or control a terminal.

/// Appends a text to a line of text: `"` and `\` with a backslash in front, and bytes that are no printable ASCII as
/// `\xHH`, as Apache and nginx do.
#[inline]
pub(crate) fn text(out: &mut Vec<u8>, value: &[u8]) {
    if !as_it_is(out, value) {
        escaped(out, value);
    }
}

/// Appends a text that can stand in a line as it is; any other is left out. Looking and copying are one pass.
#[inline]
fn as_it_is(out: &mut Vec<u8>, value: &[u8]) -> bool {
    let from = out.len();
    let (chunks, rest) = value.as_chunks::<16>();
    let mut safe = true;
    for chunk in chunks {
        safe &= all_safe_16(chunk);
        out.extend_from_slice(chunk);
    }
    safe &= first_unsafe(rest).is_none();
    out.extend_from_slice(rest);
    if !safe {
        out.truncate(from);
    }
    safe
}

/// Whether none of these bytes is unsafe, which the compiler has the processor find out at once.
#[inline(always)]
pub(crate) fn all_safe_16(chunk: &[u8; 16]) -> bool {
    chunk.iter().fold(true, |safe, byte| safe & is_safe(*byte))
}

/// Whether none of these bytes is unsafe.
#[inline(always)]
pub(crate) fn all_safe(bytes: &[u8; 8]) -> bool {
    !may_be_unsafe(u64::from_le_bytes(*bytes))
}

/// Two pieces of up to four bytes, and safe ones behind.
#[inline(always)]
pub(crate) fn joined<const N: usize>(a: &[u8; N], b: &[u8; N]) -> [u8; 8] {
    let mut all = [b' '; 8];
    all[..N].copy_from_slice(a);
    all[N..2 * N].copy_from_slice(b);
    all
}

#[inline(never)]
fn escaped(out: &mut Vec<u8>, value: &[u8]) {
    let mut rest = value;
    while let Some(at) = first_unsafe(rest) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            special @ (b'"' | b'\\') => out.extend([b'\\', special]),
            byte => out.extend([b'\\', b'x', hex(byte >> 4), hex(byte & 15)]),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Appends a text to a JSON string. What is not UTF-8 is taken as Latin-1, as Python's interfaces do.
pub(crate) fn json(out: &mut Vec<u8>, value: &[u8]) {
    if !as_it_is(out, value) {
        json_escaped(out, value);
    }
}

#[inline(never)]
fn json_escaped(out: &mut Vec<u8>, value: &[u8]) {
    if let Ok(text) = std::str::from_utf8(value) {
        json_text(out, text);
    } else {
        let text: String = value.iter().copied().map(char::from).collect();
        json_text(out, &text);
    }
}

fn json_text(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = first_unsafe(rest) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            special @ (b'"' | b'\\') => out.extend([b'\\', special]),
            byte if byte < 0x80 => out.extend([b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]),
            _ => {
                let length = character(out, rest, at);
                rest = &rest[at + length..];
                continue;
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Appends the character beyond ASCII that begins here, and returns its length. The controls of Latin-1 (U+0080 to U+009F)
/// and what terminals and viewers take for the end of a line are escaped.
fn character(out: &mut Vec<u8>, rest: &[u8], at: usize) -> usize {
    let length = match rest[at] {
        0xf0.. => 4,
        0xe0.. => 3,
        _ => 2,
    };
    let bytes = &rest[at..rest.len().min(at + length)];
    match bytes {
        [0xc2, low @ 0x80..=0x9f] => out.extend([b'\\', b'u', b'0', b'0', hex(low >> 4), hex(low & 15)]),
        [0xe2, 0x80, 0xa8] => out.extend_from_slice(b"\\u2028"),
        [0xe2, 0x80, 0xa9] => out.extend_from_slice(b"\\u2029"),
        _ => out.extend_from_slice(bytes),
    }
    bytes.len()
}

/// Where the first byte is that cannot stand in a line as it is: `"`, `\`, or what is no printable ASCII.
fn first_unsafe(bytes: &[u8]) -> Option<usize> {
    let (eights, _) = bytes.as_chunks();
    // Names of browsers are long, and hardly any byte of theirs is unsafe.
    let safe = 8 * eights.iter().take_while(|eight| !may_be_unsafe(u64::from_le_bytes(**eight))).count();
    let found = bytes[safe..].iter().position(|byte| !is_safe(*byte));
    found.map(|at| safe + at)
}

/// Whether any of eight bytes may be unsafe; if it says that none is, none is.
#[inline]
const fn may_be_unsafe(bytes: u64) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    const fn zeroes(bytes: u64) -> u64 {
        bytes.wrapping_sub(ONES) & !bytes
    }
    let controls = bytes.wrapping_sub(ONES * 0x20) & !bytes;
    let equal = zeroes(bytes ^ (ONES * 0x22)) | zeroes(bytes ^ (ONES * 0x5c)) | zeroes(bytes ^ (ONES * 0x7f));
    (bytes | controls | equal) & HIGH != 0
}

#[inline]
pub(crate) const fn is_safe(byte: u8) -> bool {
    byte >= 0x20 && byte < 0x7f && byte != b'"' && byte != b'\\'
}

const fn hex(nibble: u8) -> u8 {
    b"0123456789abcdef"[nibble as usize & 15]
}

#[cfg(test)]
mod tests {
    use super::{first_unsafe, is_safe, json, text};
    use proptest::prelude::*;

    fn escaped(value: &[u8]) -> String {
        let mut out = Vec::new();
        text(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    fn json_string(value: &[u8]) -> Vec<u8> {
        let mut out = vec![b'"'];
        json(&mut out, value);
        out.push(b'"');
        out
    }

    proptest! {
        #[test]
        fn what_needs_no_escape_is_not_changed(value in "[ !#-\\[\\]-~]{0,80}") {
            prop_assert_eq!(escaped(value.as_bytes()), value);
        }

        #[test]
        fn the_first_unsafe_byte_is_found(
            safe in "[ !#-\\[\\]-~]{0,40}",
            rest in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let bytes = [safe.into_bytes(), rest].concat();
            prop_assert_eq!(first_unsafe(&bytes), bytes.iter().position(|byte| !is_safe(*byte)));
        }
    }

    #[test]
    fn quotes_controls_and_what_is_not_ascii_are_escaped() {
        assert_eq!(escaped(b"/a b?c"), "/a b?c");
        assert_eq!(escaped(b"a\"b\\c"), r#"a\"b\\c"#);
        assert_eq!(escaped(b"a\r\nb\x1b[2J\x7f"), r"a\x0d\x0ab\x1b[2J\x7f");
        assert_eq!(escaped("é".as_bytes()), r"\xc3\xa9");
    }

    proptest! {
        #[test]
        fn no_bytes_leave_their_line_or_their_quotes(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let line = escaped(&value);
            prop_assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            let unquoted = line.replace("\\\\", "").replace("\\\"", "");
            prop_assert!(!unquoted.contains('"'));
        }

        #[test]
        fn json_gives_back_what_was_put_in(value in any::<String>()) {
            let out = json_string(value.as_bytes());
            prop_assert!(!out.iter().any(u8::is_ascii_control));
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), value);
        }

        #[test]
        fn any_bytes_are_a_json_string(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let out = json_string(&value);
            prop_assert!(serde_json::from_slice::<String>(&out).is_ok());
        }
    }
}
