//! A request, and the bodies that its number makes; `tests/apps/torture_body.py` is the other side.

use crate::edge;
use std::fmt::Write;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
}

/// A request. Times are in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) number: u64,
    pub(crate) method: Method,
    /// How long the response is, whether that is declared, and in how many pieces it comes.
    pub(crate) down: usize,
    pub(crate) declared: bool,
    pub(crate) pieces: usize,
    /// The application's pauses: between pieces, before the response, with its thread blocked, between reads.
    pub(crate) slow: u64,
    pub(crate) wait: u64,
    pub(crate) block: u64,
    pub(crate) slow_read: u64,
    /// Work after the response.
    pub(crate) background: u64,
    /// The response comes before the body was read.
    pub(crate) early: bool,
    /// How long the request's body is, and whether it is sent in chunks.
    pub(crate) up: usize,
    pub(crate) chunked: bool,
    pub(crate) expects: bool,
    /// `Connection: close`.
    pub(crate) last: bool,
    /// Bytes of a header that only makes the head long.
    pub(crate) padding: usize,
    /// How much of what follows an upgrade is echoed.
    pub(crate) echoed: usize,
    /// It asks for a static file; `down` bytes of it are expected.
    pub(crate) file: Option<Part>,
}

/// A static file, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Its place in [`edge::FILES`].
    pub(crate) file: usize,
    /// Where the part begins; none for the whole file.
    pub(crate) from: Option<usize>,
}

impl Ask {
    /// A GET of so many bytes.
    pub(crate) fn new(number: u64, down: usize) -> Self {
        Self {
            number,
            method: Method::Get,
            down,
            declared: true,
            pieces: 0,
            slow: 0,
            wait: 0,
            block: 0,
            slow_read: 0,
            background: 0,
            early: false,
            up: 0,
            chunked: false,
            expects: false,
            last: false,
            padding: 0,
            echoed: 0,
            file: None,
        }
    }

    /// A GET of a static file, or of so many bytes of it.
    pub(crate) fn file(number: u64, part: Part, down: usize) -> Self {
        Self { file: Some(part), ..Self::new(number, down) }
    }

    /// What the response's body repeats, and where in it the body begins.
    pub(crate) fn expected(&self) -> (Vec<u8>, usize) {
        match self.file {
            Some(part) => (block_down(edge::content(part.file)), part.from.unwrap_or_default()),
            None => (block_down(self.number), 0),
        }
    }

    /// The status of a good response.
    pub(crate) fn good(&self) -> u16 {
        if self.file.is_some_and(|part| part.from.is_some()) { 206 } else { 200 }
    }

    /// The value of the header `Range`.
    pub(crate) fn range(&self) -> Option<String> {
        let from = self.file?.from?;
        Some(format!("bytes={from}-{}", from + self.down - 1))
    }

    /// The value of the header `Content-Range`.
    pub(crate) fn content_range(&self) -> Option<String> {
        let part = self.file?;
        let from = part.from?;
        Some(format!("bytes {from}-{}/{}", from + self.down - 1, edge::FILES[part.file]))
    }

    /// The request's path and query.
    pub(crate) fn target(&self) -> String {
        if let Some(part) = self.file {
            return format!("{}/{}?n={}", edge::ROUTE, part.file, self.number);
        }
        let mut target = format!("/t?n={}&down={}&up={}", self.number, self.down, self.up);
        let fields = [
            ("len", u64::from(self.declared)),
            ("pieces", self.pieces as u64),
            ("slow", self.slow),
            ("wait", self.wait),
            ("block", self.block),
            ("slowread", self.slow_read),
            ("bg", self.background),
            ("early", u64::from(self.early)),
            ("echo", self.echoed as u64),
        ];
        for (name, value) in fields.into_iter().filter(|(_, value)| *value > 0) {
            let _ = write!(target, "&{name}={value}");
        }
        target
    }

    /// The request's method.
    pub(crate) fn verb(&self) -> &'static str {
        match self.method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
        }
    }

    /// The request's head.
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {}", self.verb(), self.target());
        head.push_str(" HTTP/1.1\r\nhost: torture\r\n");
        if self.method == Method::Post {
            if self.chunked {
                head.push_str("transfer-encoding: chunked\r\n");
            } else {
                let _ = write!(head, "content-length: {}\r\n", self.up);
            }
        }
        if let Some(range) = self.range() {
            let _ = write!(head, "range: {range}\r\n");
        }
        if self.expects {
            head.push_str("expect: 100-continue\r\n");
        }
        if self.last {
            head.push_str("connection: close\r\n");
        }
        if self.padding > 0 {
            let _ = write!(head, "x-padding: {}\r\n", "p".repeat(self.padding));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// These bytes of the request's body as they are sent; the end of a body in chunks comes with its last byte.
    pub(crate) fn body(&self, from: usize, to: usize) -> Vec<u8> {
        let data = cut(&block_up(self.number), from, to - from);
        if !self.chunked {
            return data;
        }
        let mut framed = Vec::with_capacity(data.len() + 16);
        if !data.is_empty() {
            framed.extend(format!("{:x}\r\n", data.len()).into_bytes());
            framed.extend(data);
            framed.extend(b"\r\n");
        }
        if to == self.up {
            framed.extend(b"0\r\n\r\n");
        }
        framed
    }
}

/// What a response's body repeats.
pub(crate) fn block_down(number: u64) -> Vec<u8> {
    (0..256).flat_map(|index| format!("d{number}.{index};").into_bytes()).collect()
}

/// What a request's body repeats: requests, so that a server that takes a body for the next request is noticed.
pub(crate) fn block_up(number: u64) -> Vec<u8> {
    (0..64)
        .flat_map(|index| {
            format!("GET /smuggled?n={number}&i={index} HTTP/1.1\r\nhost: t\r\n\r\n").into_bytes()
        })
        .collect()
}

/// These bytes of the endless repetition of a block.
pub(crate) fn cut(block: &[u8], at: usize, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size);
    let mut begin = at % block.len();
    while bytes.len() < size {
        let end = block.len().min(begin + size - bytes.len());
        bytes.extend_from_slice(&block[begin..end]);
        begin = 0;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Ask, Method, cut};

    #[test]
    fn cuts_are_those_of_the_endless_repetition() {
        let endless: Vec<u8> = b"abcde".iter().copied().cycle().take(40).collect();
        for at in 0..15 {
            for size in 0..20 {
                assert_eq!(cut(b"abcde", at, size), endless[at..at + size]);
            }
        }
    }

    #[test]
    fn a_body_in_chunks_ends_once() {
        let ask = Ask { method: Method::Post, up: 3, chunked: true, ..Ask::new(1, 0) };
        assert_eq!(ask.body(0, 2), b"2\r\nGE\r\n");
        assert_eq!(ask.body(2, 3), b"1\r\nT\r\n0\r\n\r\n");
        let empty = Ask { up: 0, ..ask };
        assert_eq!(empty.body(0, 0), b"0\r\n\r\n");
    }
}
