//! How connections end: no stream is lost, whatever is stopped or replaced, and slow or hostile clients do not stay.

use super::serve;
use crate::{http2_client::Http2, http2_frames::*, tls_support::Authority};
use hostler_testkit::Server;
use nix::sys::signal::Signal;
use std::io::{Read, Write};

const ENHANCE_YOUR_CALM: u32 = 11;

#[test]
fn a_stop_serves_what_is_in_flight_and_says_goodbye() {
    let mut server = serve();
    let (busy, idle) = (Http2::to(&server), Http2::to(&server));
    assert_eq!(idle.get("/pid").status, 200);
    let slow = busy.ask("/slow?1");
    assert_eq!(busy.get("/pid").status, 200);
    server.signal(Signal::SIGTERM);
    server.wait_for("draining", 1);
    assert_eq!(busy.end(slow).unwrap().text(), "slow answer");
    busy.ended().unwrap();
    idle.ended().unwrap();
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
}

#[test]
fn a_replaced_worker_serves_its_streams_and_sends_the_client_to_its_successor() {
    let server = serve();
    let client = Http2::to(&server);
    let before = client.get("/pid").text().to_owned();
    let slow = client.ask("/slow?1");
    assert_eq!(client.get("/pid").text(), before);
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    assert_eq!(client.end(slow).unwrap().text(), "slow answer");
    client.ended().unwrap();
    assert_ne!(Http2::to(&server).get("/pid").text(), before);
    server.stop();
}

/// A client that sends this without a pause is told to calm down, and closed.
///
/// A client over TLS whose last bytes could not be sent reads nothing more.
fn flooded<S: Read + Write>(mut frames: Frames<S>, server: &Server, bytes: impl Fn(u32) -> Vec<u8>) {
    let mut may_read = true;
    for number in 0..3000 {
        // The server closes the connection in between.
        if frames.try_send(bytes(number)).is_err() {
            may_read = !server.log().contains("serving over TLS");
            break;
        }
    }
    let goaway = std::iter::from_fn(|| frames.next()).find(|frame| frame.kind == GOAWAY);
    let reason = goaway.map(|frame| frame.reason());
    assert!(reason == Some(ENHANCE_YOUR_CALM) || !(may_read || reason.is_some()), "{}", server.log());
}

/// Every flood, each on a connection of its own.
fn floods<S: Read + Write>(server: &Server, connect: impl Fn() -> Frames<S>) {
    let (ping, settings) = (frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[]));
    let priority = frame(PRIORITY, 0, 1, &[0; 5]);
    for bytes in [ping, settings, priority] {
        flooded(connect(), server, |_| bytes.clone());
    }
    // Rapid reset: streams that are opened and reset at once.
    flooded(connect(), server, |number| {
        let stream = 2 * number + 1;
        [request(stream, &get("/slow")), frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat()
    });
    // A header that never ends, and one of a size beyond all measure.
    flooded(connect(), server, |number| match number {
        0 => frame(HEADERS, 0, 1, &[0x82]),
        _ => frame(CONTINUATION, 0, 1, &b"\0\x01a\x01b".repeat(20)),
    });
    let large = block(&[("a", &"b".repeat(16_000))]);
    flooded(connect(), server, |number| match number {
        0 => frame(HEADERS, 0, 1, &[0x82]),
        _ => frame(CONTINUATION, 0, 1, &large),
    });
}

#[test]
fn floods_end_their_connection_and_nothing_else() {
    let server = serve();
    let other = Http2::to(&server);
    floods(&server, || Frames::to(&server));
    assert_eq!(other.get("/pid").status, 200);
    server.wait_for("HTTP/2 flood: the connection is closed", 3);
    server.stop();
}

#[test]
fn floods_over_tls_end_their_connection_and_nothing_else() {
    let authority = Authority::new("http2-floods");
    let server = authority.server().serve(Server::app("asgi_app:app")).option("workers", 1).start();
    let client = authority.client().with(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let mut other = Frames::on(client.connect(&server).stream);
    floods(&server, || Frames::on(client.connect(&server).stream));
    assert_eq!(other.get(1, "/echo"), Some(200));
    server.wait_for("HTTP/2 flood: the connection is closed", 3);
    server.stop();
}

#[test]
fn headers_beyond_the_limit_get_431() {
    let server =
        Server::app("asgi_app:app").option("workers", 1).option("http2-max-headers-size", 20_000).start();
    let client = Http2::to(&server);
    let mut request = client.request(hyper::Method::GET, "/pid");
    for number in 0..40 {
        let name = hyper::header::HeaderName::try_from(format!("x-{number}")).unwrap();
        request.headers_mut().insert(name, "x".repeat(1000).parse().unwrap());
    }
    assert_eq!(client.send(request).unwrap().status, 431);
    assert_eq!(client.get("/pid").status, 200);
    server.stop();
}

#[test]
fn a_late_body_gets_408_and_the_other_streams_go_on() {
    let server = Server::app("asgi_app:app").option("workers", 1).option("body-read-timeout", 1).start();
    let client = Http2::to(&server);
    let late = client.begin(client.request(hyper::Method::POST, "/echo"), false).unwrap();
    assert_eq!(client.end(late).unwrap().status, 408);
    assert_eq!(client.get("/pid").status, 200);
    server.stop();
}

#[test]
fn a_slow_application_gets_504_and_the_other_streams_go_on() {
    let server = Server::app("asgi_app:app").option("workers", 1).option("request-timeout", 1).start();
    let client = Http2::to(&server);
    let (slow, quick) = (client.ask("/slow?20"), client.ask("/pid"));
    assert_eq!(client.end(quick).unwrap().status, 200);
    assert_eq!(client.end(slow).unwrap().status, 504);
    assert_eq!(client.get("/pid").status, 200);
    server.stop();
}

#[test]
fn a_stream_that_is_not_read_is_reset_and_the_others_go_on() {
    let server = Server::app("asgi_app:app").option("workers", 1).option("write-timeout", 1).start();
    let client =
        Http2::with(&server, h2::client::Builder::new().initial_connection_window_size(10_000_000).clone());
    // Its 64 KiB arrive and are not taken.
    let unread = client.ask("/flood");
    let response = client.run(unread.response).unwrap();
    server.wait_until("reset", || client.get("/seen").text().contains("\"sent\""));
    let mut body = response.into_body();
    let failure = client.run(async move {
        loop {
            match body.data().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Some(error),
                None => return None,
            }
        }
    });
    assert!(failure.is_some_and(|error| error.is_reset()), "{}", server.log());
    assert_eq!(client.get("/pid").status, 200);
    server.stop();
}

/// Without GOAWAY the client could repeat nothing.
#[test]
fn an_idle_client_that_says_nothing_is_told_which_streams_were_served() {
    let server = serve();
    let mut frames = Frames::to(&server);
    assert_eq!(frames.get(1, "/slow"), Some(200));
    while frames.wait_for(DATA, 1).unwrap().flags & END_STREAM == 0 {}
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    let rest = std::iter::from_fn(|| frames.next()).filter(|frame| frame.kind == GOAWAY);
    let goaways: Vec<Vec<u8>> = rest.map(|frame| frame.payload).collect();
    assert_eq!(goaways, [[0, 0, 0, 1, 0, 0, 0, 0]]);
    server.stop();
}
