//! Any bytes in any pieces: a chunked body ends where the grammar of RFC 9112 §7.1 has it end, and nowhere else.

use super::{Chunks, is_token};
use crate::fuzzing::{assemble, split_piece};

const PARTS: [&[u8]; 21] = [
    b"0",
    b"5",
    b"a",
    b"F",
    b"0000000000000000",
    b"\r\n",
    b"hello",
    b"0123456789",
    b";",
    b"=",
    b"\"",
    b"\\",
    b" ",
    b"\t",
    b"x",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"5;a=\"b\"\r\nhello\r\n",
    b"A: b\r\n",
    b"\r",
    b"\n",
];

#[test]
fn fuzz_chunks() {
    bolero::check!().with_max_len(64).for_each(|input: &[u8]| {
        let Some((piece, input)) = split_piece(input) else { return };
        let bytes = assemble(input, &PARTS);
        let whole = read(&bytes, bytes.len().max(1));
        assert_eq!(whole, read(&bytes, piece), "{:?}", String::from_utf8_lossy(&bytes));
        assert_eq!(whole.unwrap_or(None), body(&bytes), "{:?}", String::from_utf8_lossy(&bytes));
    });
}

/// Where the body ends and how many bytes of data it has, if it ends.
fn read(bytes: &[u8], piece: usize) -> Result<Option<(usize, u64)>, ()> {
    let (mut chunks, mut at) = (Chunks::default(), 0);
    for piece in bytes.chunks(piece) {
        let taken = chunks.read(piece).map_err(drop)?;
        at += taken;
        if chunks.ended() {
            return Ok(Some((at, chunks.announced())));
        }
        assert_eq!(taken, piece.len(), "what does not end the body belongs to it");
    }
    Ok(None)
}

/// `chunked-body` at the beginning of these bytes, by the grammar.
fn body(bytes: &[u8]) -> Option<(usize, u64)> {
    let (mut rest, mut data) = (bytes, 0);
    loop {
        let (size, behind) = chunk_head(rest)?;
        rest = behind;
        if size == 0 {
            break;
        }
        data += size;
        rest = rest.get(usize::try_from(size).ok()?..)?.strip_prefix(b"\r\n")?;
    }
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let (line, behind) = (&rest[..end], &rest[end + 2..]);
        if line.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            return None;
        }
        rest = behind;
        if line.is_empty() {
            return Some((bytes.len() - rest.len(), data));
        }
    }
}

fn chunk_head(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size = u64::from_str_radix(std::str::from_utf8(&bytes[..digits]).ok()?, 16).ok()?;
    let mut rest = &bytes[digits..];
    while !rest.starts_with(b"\r\n") {
        rest = extension(rest)?;
    }
    (digits <= 16).then_some((size, &rest[2..]))
}

/// `BWS ";" BWS name [ BWS "=" BWS value ]`
fn extension(bytes: &[u8]) -> Option<&[u8]> {
    let name = skip_blanks(bytes).strip_prefix(b";")?;
    let rest = token(skip_blanks(name))?;
    let Some(value) = skip_blanks(rest).strip_prefix(b"=") else { return Some(rest) };
    match skip_blanks(value) {
        [b'"', quoted @ ..] => quoted_string(quoted),
        value => token(value),
    }
}

fn quoted_string(mut bytes: &[u8]) -> Option<&[u8]> {
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    loop {
        bytes = match bytes {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] if is_text(escaped) => rest,
            [byte, rest @ ..] if is_text(byte) && *byte != b'\\' => rest,
            _ => return None,
        };
    }
}

fn token(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.iter().take_while(|byte| is_token(**byte)).count();
    (length > 0).then(|| &bytes[length..])
}

fn skip_blanks(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &bytes[blanks..]
}
