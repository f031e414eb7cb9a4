//! Requests that RFC 9113 §8 or RFC 9110 forbid: refused on their stream, and the connection goes on.

use crate::http2_frames::*;
use crate::tls_support::Authority;
use hostler_testkit::{Builder, Server};
use nix::sys::signal::Signal;
use std::io::{Read, Write};

const PROTOCOL_ERROR: u32 = 1;
const INTERNAL_ERROR: u32 = 2;

fn strict() -> Builder {
    Server::app("strict:asgi").option("workers", 1)
}

/// How a request is refused: h2 resets what is malformed by HTTP/2's own rules, the rest has a status.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    Reset(u32),
    Status(u16),
    /// What HPACK cannot carry as a header is taken for an error of the connection, as §5.4 allows.
    Goaway(u32),
}

use Refused::{Goaway, Reset, Status};

/// What becomes of a stream; without GOAWAY, the connection goes on.
fn refused(frames: &mut Frames, stream: u32, bytes: &[u8]) -> Refused {
    frames.send(bytes);
    let outcome = loop {
        let frame = frames.next().expect("the connection goes on");
        match (frame.kind, frame.stream == stream) {
            (RST_STREAM, true) => break Reset(frame.reason()),
            (HEADERS, true) => break Status(frame.status()),
            (GOAWAY, _) => return Goaway(frame.reason()),
            _ => {}
        }
    };
    // Not on this stream: it may be reset once more after its response.
    assert_eq!(frames.get(stream + 2, "/echo"), Some(200));
    outcome
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const AUTHORITY: (&str, &str) = (":authority", "test");
const PATH: (&str, &str) = (":path", "/echo");

/// Its name, its headers, and how it is refused.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Refused);

fn check(cases: &[Case<'_>]) {
    let server = strict().start();
    let mut wrong = Vec::new();
    for (name, fields, expected) in cases {
        let mut frames = Frames::to(&server);
        let outcome = refused(&mut frames, 1, &request(1, fields));
        if outcome != *expected {
            wrong.push(format!("  {name}: {outcome:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    server.stop();
}

/// A GET with this header.
macro_rules! with {
    ($name:expr, $value:expr) => {
        &[METHOD, SCHEME, AUTHORITY, PATH, ($name, $value)]
    };
}

#[test]
fn pseudo_headers_are_there_once_first_and_known() {
    let malformed = || Reset(PROTOCOL_ERROR);
    check(&[
        ("no method", &[SCHEME, AUTHORITY, PATH], malformed()),
        ("no scheme", &[METHOD, AUTHORITY, PATH], malformed()),
        ("no path", &[METHOD, SCHEME, AUTHORITY], malformed()),
        ("an empty path", &[METHOD, SCHEME, AUTHORITY, (":path", "")], malformed()),
        ("two methods", &[METHOD, METHOD, SCHEME, AUTHORITY, PATH], malformed()),
        ("two schemes", &[METHOD, SCHEME, SCHEME, AUTHORITY, PATH], malformed()),
        ("two paths", &[METHOD, SCHEME, AUTHORITY, PATH, PATH], malformed()),
        ("two authorities", &[METHOD, SCHEME, AUTHORITY, AUTHORITY, PATH], malformed()),
        ("one that is not known", with!(":unknown", "1"), Goaway(PROTOCOL_ERROR)),
        ("one of a response", with!(":status", "200"), malformed()),
        ("one after a header", &[METHOD, SCHEME, AUTHORITY, ("a", "b"), PATH], malformed()),
        (":protocol without CONNECT", with!(":protocol", "websocket"), malformed()),
    ]);
}

#[test]
fn headers_are_in_small_letters_and_have_nothing_of_a_connection() {
    let (malformed, coded) = (|| Reset(PROTOCOL_ERROR), || Goaway(PROTOCOL_ERROR));
    check(&[
        ("capital letters", with!("X-Name", "b"), coded()),
        ("a space in a name", with!("a b", "b"), coded()),
        ("a colon in a name", with!("a:b", "b"), coded()),
        ("an empty name", with!("", "b"), coded()),
        ("connection", with!("connection", "close"), malformed()),
        ("keep-alive", with!("keep-alive", "timeout=1"), malformed()),
        ("proxy-connection", with!("proxy-connection", "close"), malformed()),
        ("transfer-encoding", with!("transfer-encoding", "chunked"), malformed()),
        ("upgrade", with!("upgrade", "websocket"), malformed()),
        ("TE other than trailers", with!("te", "gzip"), malformed()),
        ("TE of trailers", with!("te", "trailers"), Status(200)),
        ("CR in a value", with!("a", "b\rc"), coded()),
        ("LF in a value", with!("a", "b\nc"), coded()),
        ("NUL in a value", with!("a", "b\0c"), coded()),
        ("a space before a value", with!("a", " b"), Status(400)),
        ("a tab after a value", with!("a", "b\t"), Status(400)),
    ]);
}

#[test]
fn what_http_1_refuses_is_refused() {
    let method = |method| [(":method", method), SCHEME, AUTHORITY, PATH];
    let path = |path| [METHOD, SCHEME, AUTHORITY, (":path", path)];
    let authority = |authority| [METHOD, SCHEME, (":authority", authority), PATH];
    let scheme = |scheme| [METHOD, (":scheme", scheme), AUTHORITY, PATH];
    check(&[
        ("small letters in the method", &method("get"), Status(400)),
        ("a method of two characters", &method("GE"), Status(400)),
        ("a method of 21 characters", &method("ABCDEFGHIJKLMNOPQRSTU"), Status(400)),
        ("a method with a space", &method("GET /"), Goaway(PROTOCOL_ERROR)),
        ("CONNECT", &[(":method", "CONNECT"), AUTHORITY], Status(501)),
        (
            "two types",
            &[METHOD, SCHEME, AUTHORITY, PATH, ("content-type", "a/b"), ("content-type", "a/b")],
            Status(400),
        ),
        (
            "two equal lengths",
            &[METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "0"), ("content-length", "0")],
            Status(400),
        ),
        (
            "two lengths",
            &[METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "0"), ("content-length", "1")],
            Reset(PROTOCOL_ERROR),
        ),
        ("a length that is none", with!("content-length", "+0"), Reset(PROTOCOL_ERROR)),
        ("a list of lengths", with!("content-length", "0, 0"), Reset(PROTOCOL_ERROR)),
        ("a path without a slash", &path("echo"), Reset(PROTOCOL_ERROR)),
        ("an absolute path", &path("http://test/echo"), Reset(PROTOCOL_ERROR)),
        ("a star without OPTIONS", &path("*"), Status(400)),
        ("a path beyond ASCII", &path("/caf\u{e9}"), Status(400)),
        ("a path with a space", &path("/a b"), Reset(PROTOCOL_ERROR)),
        ("a path with a control character", &path("/a\u{1}"), Reset(PROTOCOL_ERROR)),
        ("a scheme that is not served", &scheme("ftp"), Status(400)),
        ("a user", &authority("user@test"), Status(400)),
        ("an authority that is none", &authority("te st"), Reset(PROTOCOL_ERROR)),
        ("another Host", with!("host", "other"), Status(400)),
        ("the same Host", with!("host", "test"), Status(200)),
        ("Host alone", &[METHOD, SCHEME, PATH, ("host", "test")], Status(200)),
        ("Host twice", &[METHOD, SCHEME, PATH, ("host", "test"), ("host", "test")], Status(400)),
        ("no host", &[METHOD, SCHEME, PATH], Status(400)),
        ("a Host that is none", &[METHOD, SCHEME, PATH, ("host", "te st")], Status(400)),
        ("OPTIONS of a star", &[(":method", "OPTIONS"), SCHEME, AUTHORITY, (":path", "*")], Status(200)),
    ]);
}

/// Begins a request, has others refused, and ends the first one.
fn refuses_connect<S: Read + Write>(mut frames: Frames<S>) {
    let connect = |stream, more: &[(&str, &str)]| {
        let fields = [&[(":method", "CONNECT"), AUTHORITY], more, &[("content-length", "5")]].concat();
        [head(stream, &fields), frame(DATA, END_STREAM, stream, b"hello")].concat()
    };
    frames.send(head(1, &[(":method", "POST"), SCHEME, AUTHORITY, PATH]));
    let websocket = [(":protocol", "websocket"), SCHEME, PATH, ("sec-websocket-version", "13")];
    let refused: Vec<u32> = (3..63).step_by(2).collect();
    let all = refused.iter().flat_map(|stream| match stream % 4 {
        1 => connect(*stream, &[]),
        _ => connect(*stream, &websocket),
    });
    frames.send(all.chain(request(63, &get("/echo"))).collect::<Vec<u8>>());
    let (mut reset, mut served) = (Vec::new(), None);
    while served.is_none() || reset.len() < refused.len() {
        let frame = frames.next().expect("the connection goes on");
        match frame.kind {
            RST_STREAM if frame.reason() == INTERNAL_ERROR => reset.push(frame.stream),
            HEADERS if frame.stream == 63 => served = Some(frame.status()),
            RST_STREAM | GOAWAY => panic!("{frame:?}"),
            _ => {}
        }
    }
    assert_eq!((reset, served), (refused, Some(200)));
    frames.send(frame(DATA, END_STREAM, 1, b"the end"));
    assert_eq!(frames.wait_for(HEADERS, 1).map(|frame| frame.status()), Some(200));
    assert_eq!(frames.get(65, "/echo"), Some(200));
}

#[test]
fn connect_with_a_length_loses_its_stream_and_no_other() {
    let mut server = Server::app("asgi_app:app").option("workers", 1).start();
    refuses_connect(Frames::to(&server));
    let told = "request refused: its stream is reset cause=\"CONNECT with a Content-Length other than 0\"";
    server.wait_for(&format!("{told} client=\"127.0.0.1:"), 1);
    // One that stays open meets the end that all do.
    let mut open = Frames::to(&server);
    open.send(head(1, &[(":method", "CONNECT"), AUTHORITY, ("content-length", "5")]));
    assert_eq!(open.wait_for(RST_STREAM, 1).map(|frame| frame.reason()), Some(INTERNAL_ERROR));
    server.signal(Signal::SIGTERM);
    assert_eq!(open.wait_for(GOAWAY, 0).map(|frame| frame.reason()), Some(NO_ERROR));
    assert_eq!(server.wait_exit().code(), Some(0));
}

#[test]
fn connect_with_a_length_loses_its_stream_and_no_other_over_tls() {
    let authority = Authority::new("http2-connect");
    let server = authority.server().serve(Server::app("asgi_app:app")).option("workers", 1).start();
    let client = authority.client().with(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    refuses_connect(Frames::on(client.connect(&server).stream));
    server.stop();
}

#[test]
fn a_body_is_as_long_as_it_says_and_has_trailers_that_are_some() {
    let server = strict().start();
    let post = |length: &'static str| {
        let fields = [(":method", "POST"), SCHEME, AUTHORITY, PATH, ("content-length", length)];
        head(1, &fields)
    };
    let end = |text: &[u8]| frame(DATA, END_STREAM, 1, text);
    let trailers = |fields: &[(&str, &str)]| [frame(DATA, 0, 1, b"hello"), request(1, fields)].concat();
    for (name, bytes, expected) in [
        ("as long", [post("5"), end(b"hello")].concat(), Status(200)),
        ("longer", [post("4"), end(b"hello")].concat(), Reset(PROTOCOL_ERROR)),
        ("shorter", [post("6"), end(b"hello")].concat(), Reset(PROTOCOL_ERROR)),
        ("none", request(1, with!("content-length", "5")), Reset(PROTOCOL_ERROR)),
        ("trailers", [post("5"), trailers(&[("a", "b")])].concat(), Status(200)),
        // It is dropped, as other headers that must not be trailers are.
        ("a pseudo-header in trailers", [post("5"), trailers(&[(":path", "/")])].concat(), Status(200)),
    ] {
        let mut frames = Frames::to(&server);
        assert_eq!(refused(&mut frames, 1, &bytes), expected, "{name}");
    }
    server.stop();
}

#[test]
fn long_paths_and_large_headers_have_the_limits_of_http_1() {
    let server = strict().option("limit-request-line", 100).option("limit-request-field-size", 200).start();
    let (long, large) = (format!("/echo?{}", "a".repeat(100)), "b".repeat(200));
    for (fields, expected) in [
        ([METHOD, SCHEME, AUTHORITY, (":path", long.as_str()), ("a", "b")], 414),
        ([METHOD, SCHEME, AUTHORITY, PATH, ("a", large.as_str())], 431),
        ([METHOD, SCHEME, AUTHORITY, PATH, ("a", &large[..190])], 200),
    ] {
        assert_eq!(refused(&mut Frames::to(&server), 1, &request(1, &fields)), Status(expected));
    }
    server.wait_for("option=\"--limit-request-line\"", 1);
    server.wait_for("option=\"--limit-request-field-size\"", 1);
    server.stop();
}
