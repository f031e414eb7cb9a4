//! What RFC 9113 §4 to §8 require of a server whose client breaks them: each rule as frames and outcome.

use crate::http2_frames::*;
use hostler_testkit::Server;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

/// What becomes of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The connection ends, for this reason.
    Goaway(u32),
    /// The stream ends, for this reason, and the connection goes on.
    Reset(u32),
    /// The stream is responded to, and the connection goes on.
    Status(u16),
    /// Nothing.
    Ignored,
    /// The connection ends without a reason.
    Closed,
}

use Outcome::{Goaway, Ignored, Reset, Status};

/// The stream of a case, and a later one that tells whether the connection goes on.
const STREAM: u32 = 1;
const LATER: u32 = 101;

/// What becomes of the connection when a client sends these bytes. `responds`: there is a response to them, which may come
/// after the one to the later stream.
fn outcome(server: &Server, bytes: &[u8], responds: bool) -> Outcome {
    let mut frames = Frames::to(server);
    frames.send(bytes);
    frames.send(request(LATER, &get("/echo")));
    let (mut first, mut goes_on) = (None, false);
    while !goes_on || (responds && first.is_none()) {
        let Some(frame) = frames.next() else { return Outcome::Closed };
        match (frame.kind, frame.stream) {
            (GOAWAY, _) => return Goaway(frame.reason()),
            (HEADERS, LATER) => goes_on = true,
            (RST_STREAM, STREAM) if first.is_none() => first = Some(Reset(frame.reason())),
            (HEADERS, STREAM) if first.is_none() => first = Some(Status(frame.status())),
            _ => {}
        }
    }
    first.unwrap_or(Ignored)
}

fn check(server: &Server, cases: &[(&str, Vec<u8>, &[Outcome])]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(name, bytes, expected)| {
            let responds = matches!(expected[0], Status(_));
            let outcome = outcome(server, bytes, responds);
            (!expected.contains(&outcome)).then(|| format!("  {name}: {outcome:?} instead of {expected:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// A request whose body is still to come.
fn open() -> Vec<u8> {
    head(STREAM, &[(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", "/echo")])
}

fn then(first: Vec<u8>, second: &[u8]) -> Vec<u8> {
    [&first, second].concat()
}

#[test]
fn frames_that_break_the_rules_end_their_connection() {
    let server = super::serve();
    let after = |second: Vec<u8>| then(open(), &second);
    let headers = block(&get("/echo"));
    let protocol: &[Outcome] = &[Goaway(PROTOCOL_ERROR)];
    // h2 gives the general reason for some of them.
    let size: &[Outcome] = &[Goaway(FRAME_SIZE_ERROR), Goaway(PROTOCOL_ERROR)];
    let window: &[Outcome] = &[Goaway(FLOW_CONTROL_ERROR), Goaway(PROTOCOL_ERROR)];
    let coding: &[Outcome] = &[Goaway(COMPRESSION_ERROR), Goaway(PROTOCOL_ERROR)];
    check(
        &server,
        &[
            ("4.2 a frame beyond the maximum", after(frame(DATA, 0, STREAM, &[0; 16_385])), size),
            ("4.3 a number of no header", frame(HEADERS, 5, STREAM, &[0xff, 0xff, 0x03]), coding),
            (
                "4.3 PING within headers",
                then(frame(HEADERS, 1, STREAM, &headers), &frame(PING, 0, 0, &[0; 8])),
                protocol,
            ),
            (
                "4.3 headers of another stream within",
                then(frame(HEADERS, 1, STREAM, &headers), &request(3, &get("/"))),
                protocol,
            ),
            ("5.1 DATA on an idle stream", frame(DATA, 0, STREAM, b"x"), protocol),
            ("5.1 RST_STREAM on an idle stream", frame(RST_STREAM, 0, STREAM, &[0; 4]), protocol),
            ("5.1 WINDOW_UPDATE on an idle stream", frame(WINDOW_UPDATE, 0, STREAM, &[0, 0, 0, 1]), protocol),
            ("5.1 CONTINUATION on an idle stream", frame(CONTINUATION, 4, STREAM, &headers), protocol),
            ("5.1.1 a stream of an even number", request(2, &get("/")), protocol),
            ("6.1 DATA on stream 0", frame(DATA, 0, 0, b"x"), protocol),
            ("6.1 padding beyond the payload", after(frame(DATA, PADDED, STREAM, &[9, 1])), protocol),
            ("6.2 HEADERS on stream 0", frame(HEADERS, 5, 0, &headers), protocol),
            ("6.2 padding beyond the payload", frame(HEADERS, 5 | PADDED, STREAM, &[99, 0x82]), protocol),
            ("6.3 PRIORITY on stream 0", frame(PRIORITY, 0, 0, &[0, 0, 0, 3, 1]), protocol),
            ("6.4 RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, &[0; 4]), protocol),
            ("6.4 RST_STREAM of a wrong length", after(frame(RST_STREAM, 0, STREAM, &[0; 3])), size),
            ("6.5 SETTINGS on a stream", frame(SETTINGS, 0, STREAM, &[]), protocol),
            ("6.5 ACK with settings", frame(SETTINGS, ACK, 0, &[0; 6]), size),
            ("6.5 SETTINGS of a wrong length", frame(SETTINGS, 0, 0, &[0; 5]), size),
            ("6.5.2 ENABLE_PUSH of 2", setting(2, 2), protocol),
            ("6.5.2 a window beyond the maximum", setting(4, 1 << 31), window),
            ("6.5.2 frames below the minimum", setting(5, 16_383), protocol),
            ("6.5.2 frames beyond the maximum", setting(5, 1 << 24), protocol),
            (
                "6.6 PUSH_PROMISE of a client",
                after(frame(PUSH_PROMISE, 4, STREAM, &[0, 0, 0, 2, 0x82])),
                protocol,
            ),
            ("6.7 PING on a stream", frame(PING, 0, STREAM, &[0; 8]), protocol),
            ("6.7 PING of a wrong length", frame(PING, 0, 0, &[0; 7]), size),
            ("6.8 GOAWAY on a stream", frame(GOAWAY, 0, STREAM, &[0; 8]), protocol),
            ("6.9 WINDOW_UPDATE of 0", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), protocol),
            ("6.9 WINDOW_UPDATE of a wrong length", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), size),
            ("6.9.1 a window that overflows", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), window),
            (
                "6.10 CONTINUATION after the end of headers",
                then(open(), &frame(CONTINUATION, 4, STREAM, &headers)),
                protocol,
            ),
            (
                "6.10 CONTINUATION on stream 0",
                then(frame(HEADERS, 1, STREAM, &headers), &frame(CONTINUATION, 4, 0, &[])),
                protocol,
            ),
        ],
    );
    server.stop();
}

#[test]
fn frames_that_break_the_rules_of_a_stream_end_that() {
    let server = super::serve();
    let after = |second: Vec<u8>| then(open(), &second);
    let done = |second: Vec<u8>| then(request(STREAM, &get("/slow?20")), &second);
    let closed: &[Outcome] = &[Reset(STREAM_CLOSED), Goaway(STREAM_CLOSED), Goaway(PROTOCOL_ERROR)];
    // An error of a stream may be taken for one of the connection (§5.4).
    let protocol: &[Outcome] = &[Reset(PROTOCOL_ERROR), Goaway(PROTOCOL_ERROR)];
    let overflow = frame(WINDOW_UPDATE, 0, STREAM, &[0x7f, 0xff, 0xff, 0xff]);
    check(
        &server,
        &[
            ("5.1 DATA after the end", done(frame(DATA, 0, STREAM, b"x")), closed),
            ("5.1 HEADERS after the end", done(request(STREAM, &get("/"))), closed),
            ("6.9 WINDOW_UPDATE of 0", after(frame(WINDOW_UPDATE, 0, STREAM, &[0; 4])), protocol),
            ("6.9.1 a window that overflows", after(overflow), &[Reset(FLOW_CONTROL_ERROR)]),
            ("8.1 a second head that is no trailers", after(open()), &[Reset(PROTOCOL_ERROR)]),
        ],
    );
    server.stop();
}

#[test]
fn what_is_not_known_is_ignored() {
    let server = super::serve();
    let data = frame(DATA, END_STREAM | PADDED, STREAM, b"\x02hi\0\0");
    let served: &[Outcome] = &[Status(200)];
    let ignored: &[Outcome] = &[Ignored];
    let mut reserved = request(STREAM, &get("/echo"));
    reserved[5] |= 0x80;
    check(
        &server,
        &[
            ("4.1 a frame of an unknown type", frame(0x42, 0xff, 0, b"whatever"), ignored),
            ("4.1 flags that mean nothing", frame(PING, 0x80, 0, &[0; 8]), ignored),
            ("4.1 the reserved bit", reserved, served),
            (
                "4.3 headers in two frames",
                then(frame(HEADERS, 1, STREAM, &block(&get("/echo"))), &frame(CONTINUATION, 4, STREAM, &[])),
                served,
            ),
            ("6.1 padding", then(open(), &data), served),
            ("6.3 PRIORITY of an idle stream", frame(PRIORITY, 0, STREAM, &[0, 0, 0, 3, 1]), ignored),
            ("6.5.2 an unknown setting", setting(0x99, 7), ignored),
            ("6.7 an answer to no PING", frame(PING, ACK, 0, &[0; 8]), ignored),
        ],
    );
    server.stop();
}

#[test]
fn settings_and_pings_are_answered() {
    let server = super::serve();
    let mut frames = Frames::to(&server);
    let settings = frames.next().unwrap();
    assert_eq!((settings.kind, settings.flags, settings.stream), (SETTINGS, 0, 0));
    frames.send(frame(PING, 0, 0, b"question"));
    loop {
        let frame = frames.next().unwrap();
        if (frame.kind, frame.flags) == (PING, ACK) {
            assert_eq!(frame.payload, b"question");
            break;
        }
    }
    let mut frames = Frames::to(&server);
    while frames.wait_for(SETTINGS, 0).unwrap().flags != ACK {}
    server.stop();
}

#[test]
fn streams_beyond_the_number_are_refused() {
    const REFUSED_STREAM: u32 = 7;
    let server =
        Server::app("asgi_app:app").option("workers", 1).option("http2-max-concurrent-streams", 2).start();
    let mut frames = Frames::to(&server);
    let settings = frames.next().unwrap().payload;
    assert!(settings.chunks(6).any(|setting| setting == [0, 3, 0, 0, 0, 2]), "{settings:?}");
    frames.send(request(1, &get("/slow?1")));
    frames.send(request(3, &get("/slow?1")));
    frames.send(request(5, &get("/echo")));
    assert_eq!(frames.wait_for(RST_STREAM, 5).unwrap().reason(), REFUSED_STREAM);
    assert_eq!(frames.wait_for(HEADERS, 3).unwrap().status(), 200);
    assert_eq!(frames.get(7, "/echo"), Some(200));
    server.stop();
}
