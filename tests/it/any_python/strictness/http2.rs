//! Requests of HTTP/2 whose headers contradict their frames, written as raw frames, which clients would refuse to send.

use hostler_testkit::Conn;
use std::{
    io::{Read, Write},
    net::SocketAddr,
    time::Duration,
};

/// Headers, and pieces of a body.
pub(super) type Request = (Vec<(String, String)>, Vec<String>);

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n";

/// Requests of one stream.
pub(super) fn attacks() -> Vec<Request> {
    let chunked = format!("0\r\n\r\n{SMUGGLED}");
    let value = format!("b\r\n\r\n{SMUGGLED}");
    let name = "a: b\r\nx";
    let path = format!("/ HTTP/1.1\r\nHost: test\r\n\r\n{SMUGGLED}");
    let mut all: Vec<Request> = Vec::new();
    let mut add = |method: &str, path: &str, headers: &[(&str, &str)], body: &[&str]| {
        let pseudo = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "test")];
        let headers = pseudo.iter().chain(headers).map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        all.push((headers.collect(), body.iter().map(|piece| (*piece).to_owned()).collect()));
    };
    add("GET", "/plain", &[], &[]);
    add("POST", "/plain", &[("content-length", "5")], &["hello"]);
    add("POST", "/plain", &[], &["he", "llo"]);
    add("GET", "/plain", &[("te", "trailers")], &[]);
    for length in ["0", "3", "+5", "5, 5", "0x5", " 5", "", "99999999999999999999"] {
        add("POST", "/length", &[("content-length", length)], &["hello"]);
        add("POST", "/length", &[("content-length", length)], &[SMUGGLED]);
    }
    add("POST", "/longer", &[("content-length", "500")], &["hello"]);
    add("POST", "/two", &[("content-length", "5"), ("content-length", "0")], &["hello"]);
    add("POST", "/two", &[("content-length", "0"), ("content-length", "5")], &[SMUGGLED]);
    add("GET", "/body", &[], &[SMUGGLED]);
    add("HEAD", "/body", &[], &[SMUGGLED]);
    for coding in ["chunked", "identity", "gzip, chunked", "chunked\0", "Chunked"] {
        add("POST", "/coding", &[("transfer-encoding", coding)], &[&chunked]);
        add("POST", "/coding", &[("transfer-encoding", coding), ("content-length", "5")], &[&chunked]);
    }
    add("GET", "/value", &[("x", &value)], &[]);
    add("GET", "/name", &[(name, "c")], &[]);
    add("GET", "/name", &[("transfer-encoding ", "chunked")], &[&chunked]);
    add("GET", "/name", &[("Content-Length", "5")], &["hello"]);
    add("GET", "/name", &[("", "b")], &[]);
    add("GET", &path, &[], &[]);
    add("GET", "/a b", &[], &[]);
    add("GET", "", &[], &[]);
    add("GET / HTTP/1.1\r\nX: a", "/method", &[], &[]);
    add("GET", "/connection", &[("connection", "content-length"), ("content-length", "5")], &["hello"]);
    add("GET", "/upgrade", &[("upgrade", "h2c"), ("connection", "upgrade")], &[SMUGGLED]);
    add("GET", "/host", &[("host", "other")], &[]);
    add("GET", "/host", &[("host", &value)], &[]);
    add("GET", "/late", &[(":path", "/other")], &[]);
    add("POST", "/expect", &[("expect", "100-continue"), ("content-length", "5")], &["hello"]);
    all
}

/// Sends it as stream 1, and returns what came until it ended, without HPACK's Huffman codes if there are none.
pub(super) fn answered(proxy: SocketAddr, (headers, body): &Request) -> String {
    let block: Vec<u8> = headers.iter().flat_map(|(name, value)| literal(name, value)).collect();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    bytes.extend(frame(1, 4 | u8::from(body.is_empty()), &block));
    for (number, piece) in body.iter().enumerate() {
        bytes.extend(frame(0, u8::from(number + 1 == body.len()), piece.as_bytes()));
    }
    let mut stream = Conn::to(proxy).into_stream();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let _ = stream.write_all(&bytes);
    let mut received = Vec::new();
    let mut block = [0; 4096];
    while !has_ended(&received) {
        match stream.read(&mut block) {
            Ok(0) | Err(_) => break,
            Ok(count) => received.extend_from_slice(&block[..count]),
        }
    }
    shown(&received)
}

/// A header that is not indexed, in plain letters.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        // An integer with a prefix of seven bits (RFC 7541 §5.1).
        let mut rest = text.len();
        if rest < 127 {
            bytes.push(rest as u8);
        } else {
            bytes.push(127);
            rest -= 127;
            while rest >= 128 {
                bytes.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

/// Kind, flags and payload of each frame.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, &[u8])> {
    let mut frames = Vec::new();
    while let [high, middle, low, kind, flags, _, _, _, _, rest @ ..] = bytes {
        let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
        let Some((payload, behind)) = rest.split_at_checked(length) else { break };
        frames.push((*kind, *flags, payload));
        bytes = behind;
    }
    frames
}

/// The stream was answered or reset, or the connection is given up.
fn has_ended(bytes: &[u8]) -> bool {
    frames(bytes)
        .iter()
        .any(|(kind, flags, _)| matches!(kind, 3 | 7) || matches!(kind, 0 | 1) && flags & 1 == 1)
}

/// The status, if it is 200, and the bodies.
fn shown(bytes: &[u8]) -> String {
    let text = |(kind, _, payload): (u8, u8, &[u8])| match (kind, payload) {
        // `:status: 200` of HPACK's static table (RFC 7541 appendix A).
        (1, [0x88, ..]) => "200 ".to_owned(),
        (0, body) => String::from_utf8_lossy(body).into_owned(),
        _ => String::new(),
    };
    frames(bytes).into_iter().map(text).collect()
}
