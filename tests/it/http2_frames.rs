//! An HTTP/2 client of single frames, for what no library would send.

use hostler_testkit::{LIMIT, Server};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const CANCEL: u32 = 8;

/// A frame that the server has sent.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Received {
    /// The reason of RST_STREAM or GOAWAY.
    pub(crate) fn reason(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The status of a response, the first of its headers: a number of HPACK's table, or a text.
    pub(crate) fn status(&self) -> u16 {
        match self.payload[..] {
            [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
            [_, length, ref text @ ..] if length & 0x80 != 0 => digits(text),
            [_, 3, ref text @ ..] => std::str::from_utf8(&text[..3]).unwrap().parse().unwrap(),
            _ => panic!("no status: {self:?}"),
        }
    }
}

/// Three digits in HPACK's Huffman code: 0 to 2 have five bits, the others six.
fn digits(text: &[u8]) -> u16 {
    let mut bits = text.iter().flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)));
    (0..3).fold(0, |number, _| {
        let mut code = (0..5).fold(0, |code, _| code << 1 | bits.next().unwrap());
        if code > 2 {
            code = (code << 1 | bits.next().unwrap()) - 22;
        }
        number * 10 + code
    })
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Headers in HPACK, as they are: neither indexed nor in Huffman's code.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| match text.len() {
        short @ 0..=126 => [&[u8::try_from(short).unwrap()], text.as_bytes()].concat(),
        long => {
            let (low, high) = ((long - 127) % 128, (long - 127) / 128);
            [&[127, u8::try_from(low).unwrap() | 0x80, u8::try_from(high).unwrap()], text.as_bytes()].concat()
        }
    };
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// What a GET of this path begins with.
pub(crate) fn get(path: &str) -> [(&str, &str); 4] {
    [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", path)]
}

/// A request without a body.
pub(crate) fn request(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields))
}

/// The head of a request with a body.
pub(crate) fn head(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(fields))
}

/// A connection.
pub(crate) struct Frames<S = TcpStream>(S);

impl Frames {
    /// After the preface and SETTINGS.
    pub(crate) fn to(server: &Server) -> Self {
        Self::with(server, &[])
    }

    /// With these settings, by their numbers.
    pub(crate) fn with(server: &Server, settings: &[(u16, u32)]) -> Self {
        let mut frames = Self::silent(server);
        frames.begin(settings);
        frames
    }

    /// Before it has sent anything.
    pub(crate) fn silent(server: &Server) -> Self {
        let stream = server.connect().into_stream();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self(stream)
    }
}

impl<S: Read + Write> Frames<S> {
    /// On a connection of another kind.
    pub(crate) fn on(stream: S) -> Self {
        let mut frames = Self(stream);
        frames.begin(&[]);
        frames
    }

    pub(crate) fn begin(&mut self, settings: &[(u16, u32)]) {
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        self.send([PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat());
    }

    /// Sends bytes; the server may have closed the connection.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.try_send(bytes);
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.write_all(bytes.as_ref()).and_then(|()| self.0.flush())
    }

    /// The next frame; `None` at the end of the connection. SETTINGS are acknowledged.
    pub(crate) fn next(&mut self) -> Option<Received> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let [high, middle, low, kind, flags, stream @ ..] = head;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).ok()?;
        if (kind, flags) == (SETTINGS, 0) {
            self.send(frame(SETTINGS, ACK, 0, &[]));
        }
        Some(Received { kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff, payload })
    }

    /// The next frame of this kind and stream.
    pub(crate) fn wait_for(&mut self, kind: u8, stream: u32) -> Option<Received> {
        loop {
            let frame = self.next()?;
            if frame.kind == kind && frame.stream == stream {
                return Some(frame);
            }
        }
    }

    /// The status of a GET.
    pub(crate) fn get(&mut self, stream: u32, path: &str) -> Option<u16> {
        self.send(request(stream, &get(path)));
        self.wait_for(HEADERS, stream).map(|frame| frame.status())
    }
}
