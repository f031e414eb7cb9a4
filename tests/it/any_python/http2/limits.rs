//! Limits of bodies, and clients that make no room for responses or send no bodies, on one stream of several.

use crate::{http2_client::Http2, http2_frames::*};
use hostler_testkit::{Builder, Server};
use hyper::Method;
use std::{thread::sleep, time::Duration};

const INITIAL_WINDOW_SIZE: u16 = 4;

fn limited(interface: &str) -> Builder {
    Server::app(&format!("limits_app:{interface}")).option("interface", interface).option("workers", 1)
}

/// A connection whose client answers with windows of this size.
fn connections() -> Builder {
    Server::app("connections:asgi").option("workers", 1)
}

#[test]
fn a_body_without_a_length_is_limited_and_the_connection_goes_on() {
    for interface in ["asgi", "wsgi", "rsgi"] {
        let server = limited(interface).option("limit-request-body", 100_000).start();
        let client = Http2::to(&server);
        assert_eq!(client.post("/read", vec![b'x'; 100_000]).unwrap().body.len(), 100_000, "{interface}");
        assert_eq!(client.post("/read", vec![b'x'; 100_001]).unwrap().status, 413, "{interface}");
        server.wait_for("option=\"--limit-request-body\"", 1);
        // WSGI is called when some of the body is there, which was too much already.
        if interface != "wsgi" {
            server.wait_for("told of ", 1);
        }
        // A client that has more to send is told to stop, and that it is no error (RFC 9113 §8.1).
        let mut frames = Frames::to(&server);
        let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", "/read")];
        frames.wait_for(WINDOW_UPDATE, 0).unwrap();
        frames.send(head(1, &fields));
        for _ in 0..7 {
            frames.send(frame(DATA, 0, 1, &[b'x'; 16_384]));
        }
        assert_eq!(frames.wait_for(HEADERS, 1).unwrap().status(), 413, "{interface}");
        assert_eq!(frames.wait_for(RST_STREAM, 1).unwrap().reason(), NO_ERROR, "{interface}");
        // What was on its way meanwhile does no harm.
        frames.send(frame(DATA, END_STREAM, 1, b"the rest"));
        frames.send([head(3, &fields), frame(DATA, END_STREAM, 3, b"small")].concat());
        assert_eq!(frames.wait_for(HEADERS, 3).unwrap().status(), 200, "{interface}");
        server.stop();
    }
}

#[test]
fn a_body_that_is_announced_as_too_large_is_refused_at_once() {
    let server = limited("asgi").option("limit-request-body", 10).start();
    let mut frames = Frames::to(&server);
    let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", "/read")];
    frames.send(head(1, &[&fields[..], &[("content-length", "11")]].concat()));
    assert_eq!(frames.wait_for(HEADERS, 1).unwrap().status(), 413);
    assert_eq!(frames.wait_for(RST_STREAM, 1).unwrap().reason(), NO_ERROR);
    assert_eq!(frames.get(3, "/read"), Some(200));
    server.stop();
}

#[test]
fn a_stream_without_room_for_its_response_is_reset_while_others_are_open() {
    let server = Server::app("asgi_app:app").option("workers", 1).option("write-timeout", 1).start();
    for window in [0, 10] {
        let mut frames = Frames::with(&server, &[(INITIAL_WINDOW_SIZE, window)]);
        frames.send(request(1, &get("/slow?3")));
        // Its response is complete for the application, and for hyper.
        frames.send(request(3, &get("/scope")));
        assert_eq!(frames.wait_for(RST_STREAM, 3).unwrap().reason(), CANCEL, "{window}");
        assert_eq!(frames.wait_for(HEADERS, 1).unwrap().status(), 200, "{window}");
        assert_eq!(frames.get(5, "/echo"), Some(200), "{window}");
    }
    server.stop();
}

#[test]
fn trailers_wait_for_room_too() {
    let server = Server::app("asgi_app:app").option("workers", 1).option("write-timeout", 1).start();
    let mut frames = Frames::with(&server, &[(INITIAL_WINDOW_SIZE, 1)]);
    frames.send(request(1, &get("/slow?3")));
    frames.send(request(3, &get("/trailers")));
    assert_eq!(frames.wait_for(RST_STREAM, 3).unwrap().reason(), CANCEL);
    // With room, they come after the body.
    frames.send(request(5, &get("/trailers")));
    frames.send(frame(WINDOW_UPDATE, 0, 5, &[0, 0, 1, 0]));
    let trailers =
        std::iter::from_fn(|| frames.next()).find(|frame| frame.stream == 5 && frame.flags & END_STREAM != 0);
    assert_eq!(trailers.map(|frame| frame.kind), Some(HEADERS));
    server.stop();
}

#[test]
fn a_websocket_whose_client_makes_no_room_is_reset() {
    let server = Server::app("pressure_app:app").option("workers", 1).option("write-timeout", 1).start();
    let mut frames = Frames::with(&server, &[(INITIAL_WINDOW_SIZE, 10)]);
    let ask = |path: &'static str| {
        let names = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http")];
        let more = [(":authority", "t"), (":path", path), ("sec-websocket-version", "13")];
        [names, more].concat()
    };
    frames.send(head(1, &ask("/flood")));
    assert_eq!(frames.wait_for(HEADERS, 1).unwrap().status(), 200);
    assert_eq!(frames.wait_for(RST_STREAM, 1).unwrap().reason(), CANCEL);
    server.wait_for("flooding ended", 1);
    // The connection goes on.
    frames.send(head(3, &ask("/flood")));
    assert_eq!(frames.wait_for(HEADERS, 3).unwrap().status(), 200);
    assert_eq!(frames.wait_for(RST_STREAM, 3).unwrap().reason(), CANCEL);
    server.wait_for("flooding ended", 2);
    server.stop();
}

#[test]
fn a_client_that_makes_no_room_for_any_stream_loses_them() {
    let server = connections().option("write-timeout", 1).start();
    // More than the connection's window, each stream within its own.
    let mut frames = Frames::with(&server, &[(INITIAL_WINDOW_SIZE, 1 << 20)]);
    frames.send(request(1, &get("/bytes?n=300000")));
    assert_eq!(frames.wait_for(RST_STREAM, 1).unwrap().reason(), CANCEL);
    // Small ones are with h2 to their end, so that only the connection can be ended.
    let mut frames = Frames::to(&server);
    frames.send([request(1, &get("/bytes?n=60000")), request(3, &get("/bytes?n=60000"))].concat());
    frames
        .send(head(5, &[(":method", "POST"), (":scheme", "http"), (":authority", "t"), (":path", "/read")]));
    while frames.next().is_some() {}
    server.stop();
}

#[test]
fn streams_that_wait_for_one_another_are_not_taken_for_stuck() {
    let server = connections().option("write-timeout", 1).start();
    let mut frames = Frames::with(&server, &[(INITIAL_WINDOW_SIZE, 1 << 20)]);
    for stream in [1, 3, 5] {
        frames.send(request(stream, &get("/bytes?n=100000")));
    }
    // The client reads slowly and steadily: each stream has to wait for longer than the limit.
    let (mut received, mut left) = (0, 3);
    while left > 0 {
        let next = frames.next().expect("the connection goes on");
        assert!(![RST_STREAM, GOAWAY].contains(&next.kind), "{next:?} after {received}");
        if next.kind == DATA {
            received += next.payload.len();
            left -= usize::from(next.flags & END_STREAM);
            sleep(Duration::from_millis(next.payload.len() as u64 / 80));
            let increment = u32::try_from(next.payload.len()).unwrap().to_be_bytes();
            if received > 60_000 && !next.payload.is_empty() {
                frames.send(frame(WINDOW_UPDATE, 0, 0, &increment));
            }
        }
    }
    assert_eq!(received, 300_000);
    server.stop();
}

#[test]
fn a_body_that_stops_after_its_response_has_begun_resets_its_stream() {
    let server = Server::app("uploads_app:app").option("workers", 1).option("body-read-timeout", 1).start();
    let client = Http2::to(&server);
    let late = client.begin(client.request(Method::POST, "/stream"), false).unwrap();
    let other = client.begin(client.request(Method::POST, "/stream"), false).unwrap();
    for exchange in [late, other] {
        assert!(client.end(exchange).is_err_and(|error| error.is_reset()), "{}", server.log());
    }
    assert_eq!(client.get("/unread").text(), "answered");
    server.stop();
}
