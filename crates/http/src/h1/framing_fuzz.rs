//! Any bytes in any pieces: what the framing lets pass ends where a lenient reader says, however it is cut.

use super::{BodyLength, Framing, RequestLimits, Stage};
use crate::fuzzing::{assemble, split_piece};

const PARTS: [&[u8]; 32] = [
    b"GET / HTTP/1.1\r\n",
    b"POST /a?b HTTP/1.1\r\n",
    b"GET /\xc3\xa9 HTTP/1.1\r\n",
    b"GET /#a HTTP/1.1\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"Host: a\r\n",
    b"X: \xc3\xa9#\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"content-length: 5\r\n",
    b"Content-Length : 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: x, chunked\r\n",
    b"\n",
    b"\r",
    b"hello",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"5",
    b"0",
    b";a=b",
    b";a=\"b\"",
    b" ",
    b"\t",
    b"\"",
    b"X: y\r\n",
    b"X: y\n",
    b"FFFFFFFFFFFFFFFF",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
];

#[test]
fn fuzz_framing() {
    bolero::check!().with_max_len(64).for_each(|input: &[u8]| {
        let Some((piece, input)) = split_piece(input) else { return };
        let bytes = assemble(input, &PARTS);
        let whole = Reader::default().read(&bytes, bytes.len().max(1));
        let cut = Reader::default().read(&bytes, piece);
        assert_eq!(whole, cut, "{:?}", String::from_utf8_lossy(&bytes));
    });
}

/// A server as lenient as hyper, with the framing before it.
#[derive(Default)]
struct Reader {
    framing: Framing,
    buffer: Vec<u8>,
    /// The body that is expected; `None` while a head is.
    body: Option<BodyLength>,
    requests: usize,
}

/// Who refused; or how many requests there were.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    Read(usize),
}

impl Reader {
    fn read(mut self, bytes: &[u8], piece: usize) -> Outcome {
        let limits = RequestLimits::default();
        for piece in bytes.chunks(piece) {
            if self.framing.read(piece, &limits).is_err() {
                return Outcome::Refused;
            }
            self.buffer.extend_from_slice(piece);
            while let Some(refused) = self.advance(&limits) {
                if refused {
                    return Outcome::Refused;
                }
            }
        }
        let ends = self.body.is_none() && self.buffer.is_empty();
        assert!(!ends || matches!(self.framing.stage, Stage::Heads), "both are between requests");
        Outcome::Read(self.requests)
    }

    /// Takes a head or a body from the buffer, if there is a whole one; whether it was refused.
    fn advance(&mut self, limits: &RequestLimits) -> Option<bool> {
        let Some(body) = self.body else { return self.advance_head(limits) };
        let taken = match body {
            BodyLength::Known(length) => (self.buffer.len() as u64 >= length).then_some(length as usize)?,
            BodyLength::Chunked => chunked_end(&self.buffer)?,
        };
        self.buffer.drain(..taken);
        self.body = None;
        Some(false)
    }

    fn advance_head(&mut self, limits: &RequestLimits) -> Option<bool> {
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut headers);
        let end = match request.parse(&self.buffer) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) => return None,
            Err(_) => return Some(true),
        };
        let Some(length) = length(request.headers) else { return Some(true) };
        self.buffer.drain(..end);
        self.requests += 1;
        self.body = (length != BodyLength::Known(0)).then_some(length);
        Some(self.framing.head(length, limits).is_err())
    }
}

/// As hyper decides it; `None` if it refuses the request.
fn length(headers: &[httparse::Header<'_>]) -> Option<BodyLength> {
    let values = |name: &str| {
        let named = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| String::from_utf8_lossy(header.value).into_owned()).collect::<Vec<_>>()
    };
    let (codings, lengths) = (values("transfer-encoding"), values("content-length"));
    if let Some(last) = codings.last() {
        let last = last.rsplit(',').next().unwrap_or_default().trim().to_ascii_lowercase();
        return (last == "chunked").then_some(BodyLength::Chunked);
    }
    let Some(first) = lengths.first() else { return Some(BodyLength::Known(0)) };
    let same =
        lengths.iter().all(|length| length == first && length.bytes().all(|byte| byte.is_ascii_digit()));
    if same { first.parse().ok().map(BodyLength::Known) } else { None }
}

/// Where a chunked body ends, for a reader that forgives everything.
fn chunked_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = line_end(bytes, at)?;
        let text = String::from_utf8_lossy(&bytes[at..line]).trim_start().to_owned();
        let digits: String = text.chars().take_while(char::is_ascii_hexdigit).collect();
        let size = usize::from_str_radix(&digits, 16).unwrap_or(0);
        at = line;
        if size == 0 {
            loop {
                let line = line_end(bytes, at)?;
                let empty = bytes[at..line].iter().all(|byte| matches!(byte, b'\r' | b'\n'));
                at = line;
                if empty {
                    return Some(at);
                }
            }
        }
        at = at.checked_add(size)?;
        let rest = bytes.get(at..)?;
        at += match rest {
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            [] | [b'\r'] => return None,
            _ => 0,
        };
    }
}

fn line_end(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.iter().position(|byte| *byte == b'\n').map(|at| from + at + 1)
}
