//! Frame headers, read and written (RFC 6455 §5.2), and the close codes (§7.4).

use crate::Violation;

/// What a frame is (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// Continues a fragmented message.
    Continuation = 0,
    /// Begins a message of UTF-8 text.
    Text = 1,
    /// Begins a message of bytes.
    Binary = 2,
    /// Closes the connection.
    Close = 8,
    /// Asks for a pong.
    Ping = 9,
    /// Replies to a ping, or is sent unsolicited.
    Pong = 10,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Whether such frames may come between the fragments of a message (RFC 6455 §5.5).
    pub(crate) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
const RSV2_AND_3: u8 = 0x30;
const MASKED: u8 = 0x80;
const MASK_KEY: usize = 4;
const MAX_CONTROL_PAYLOAD: usize = 125;

/// The header of a client's frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    pub(crate) rsv1: bool,
    pub(crate) opcode: Opcode,
    pub(crate) key: [u8; MASK_KEY],
    /// Of the payload.
    pub(crate) length: u64,
    /// Of the header itself.
    pub(crate) size: usize,
}

impl Header {
    /// The header at the start of `bytes`; `None` if it is not whole yet.
    ///
    /// # Errors
    /// What a header alone shows; the first two bytes are checked before the others are there.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let opcode = check(*first, *second)?;
        let Some((length, after)) = length(second & !MASKED, rest) else { return Ok(None) };
        if length >> 63 != 0 {
            return Err(Violation::Length);
        }
        let Some(key) = after.first_chunk() else { return Ok(None) };
        Ok(Some(Self {
            fin: first & FIN != 0,
            rsv1: first & RSV1 != 0,
            opcode,
            key: *key,
            length,
            size: bytes.len() - after.len() + MASK_KEY,
        }))
    }
}

fn check(first: u8, second: u8) -> Result<Opcode, Violation> {
    if first & RSV2_AND_3 != 0 {
        return Err(Violation::ReservedBit);
    }
    let bits = first & 0x0f;
    let opcode = Opcode::from_bits(bits).ok_or(Violation::Opcode(bits))?;
    if second & MASKED == 0 {
        return Err(Violation::Unmasked);
    }
    if opcode.is_control() {
        check_control(first, usize::from(second & !MASKED))?;
    }
    Ok(opcode)
}

fn check_control(first: u8, short_length: usize) -> Result<(), Violation> {
    if first & RSV1 != 0 {
        return Err(Violation::ReservedBit);
    }
    if first & FIN == 0 {
        return Err(Violation::ControlFragmented);
    }
    if short_length > MAX_CONTROL_PAYLOAD {
        return Err(Violation::ControlTooLong);
    }
    Ok(())
}

/// The payload's length and what follows it in the header.
fn length(short: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    match short {
        126 => rest.split_first_chunk().map(|(b, after)| (u64::from(u16::from_be_bytes(*b)), after)),
        127 => rest.split_first_chunk().map(|(b, after)| (u64::from_be_bytes(*b), after)),
        _ => Some((u64::from(short), rest)),
    }
}

/// Appends the header of an unmasked frame; `first` holds FIN, RSV1 and the opcode.
pub(crate) fn write_header(out: &mut Vec<u8>, first: u8, length: usize) {
    out.push(first);
    if length <= 125 {
        out.push(length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(126);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// Appends a frame to `out`: unmasked, as a server's are, with FIN set (RFC 6455 §5.2).
///
/// The payload of a control frame must not be longer than 125 bytes (§5.5).
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    debug_assert!(!opcode.is_control() || payload.len() <= MAX_CONTROL_PAYLOAD);
    out.reserve(10 + payload.len());
    write_header(out, FIN | opcode as u8, payload.len());
    out.extend_from_slice(payload);
}

/// Appends a close frame to `out` (RFC 6455 §5.5.1).
///
/// `reason` is cut at a character's end so that the payload fits into a control frame's 125 bytes. Code 1005,
/// which stands for "no code" and is never sent (§7.4.1), makes the frame empty.
pub fn write_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    if code == 1005 {
        return write_frame(out, Opcode::Close, &[]);
    }
    let reason = cut(reason, MAX_CONTROL_PAYLOAD - 2);
    write_header(out, FIN | Opcode::Close as u8, 2 + reason.len());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whether a close frame may carry this code: 1000 to 1003, 1007 to 1014 and 3000 to 4999 (RFC 6455 §7.4, and
/// IANA's registry for 1012 to 1014).
#[must_use]
pub fn is_sendable_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_frame(&mut out, opcode, payload);
        out
    }

    #[test]
    fn rfc_6455_5_7_examples_are_written() {
        assert_eq!(written(Opcode::Text, b"Hello"), [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        assert_eq!(written(Opcode::Ping, b"Hello"), [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        assert_eq!(written(Opcode::Binary, &[0; 256])[..4], [0x82, 0x7e, 0x01, 0x00]);
        assert_eq!(written(Opcode::Binary, &[0; 65536])[..10], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn the_shortest_length_is_written() {
        for (len, header) in [(0, 2), (125, 2), (126, 4), (65535, 4), (65536, 10)] {
            assert_eq!(written(Opcode::Binary, &vec![7; len]).len(), header + len);
        }
    }

    #[test]
    fn headers_are_read_once_they_are_whole() {
        for (bytes, length) in [
            (&[0x82, 0x85, 1, 2, 3, 4][..], 5),
            (&[0x82, 0xfe, 1, 0, 1, 2, 3, 4], 256),
            (&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4], 65536),
        ] {
            for end in 0..bytes.len() {
                assert!(Header::parse(&bytes[..end]).unwrap().is_none());
            }
            let header = Header::parse(bytes).unwrap().unwrap();
            assert_eq!((header.length, header.size, header.key), (length, bytes.len(), [1, 2, 3, 4]));
            assert!(header.fin && !header.rsv1 && header.opcode == Opcode::Binary);
        }
    }

    #[test]
    fn headers_are_refused_as_soon_as_possible() {
        let top_bit = [0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0];
        for (bytes, violation) in [
            (&[0x81, 0x05][..], Violation::Unmasked),
            (&[0xa1, 0x85], Violation::ReservedBit),
            (&[0x91, 0x85], Violation::ReservedBit),
            (&[0xc9, 0x85], Violation::ReservedBit),
            (&[0x83, 0x80], Violation::Opcode(3)),
            (&[0x8b, 0x80], Violation::Opcode(11)),
            (&[0x09, 0x80], Violation::ControlFragmented),
            (&[0x88, 0xfe], Violation::ControlTooLong),
            (&[0x8a, 0xff], Violation::ControlTooLong),
            (&top_bit, Violation::Length),
        ] {
            assert_eq!(Header::parse(bytes).unwrap_err(), violation, "{bytes:x?}");
            assert_eq!(violation.code(), 1002);
        }
    }

    #[test]
    fn close_frames() {
        let close = |code, reason: &str| {
            let mut out = Vec::new();
            write_close(&mut out, code, reason);
            out
        };
        assert_eq!(close(1000, "bye"), [0x88, 5, 0x03, 0xe8, b'b', b'y', b'e']);
        assert_eq!(close(1005, "not sent"), [0x88, 0]);
        assert_eq!(close(1001, &"x".repeat(200)).len(), 2 + 125);
        // 61 times two bytes: the 62nd would end at 124.
        let cut = close(1001, &"ä".repeat(100));
        assert_eq!((cut[1], cut.len()), (124, 126));
        assert!(std::str::from_utf8(&cut[4..]).is_ok());
    }

    #[test]
    fn sendable_codes() {
        for code in [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999] {
            assert!(is_sendable_close_code(code), "{code}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535] {
            assert!(!is_sendable_close_code(code), "{code}");
        }
    }
}
