//! Connections without streams: how long they live, and what they keep.

use crate::{
    http2_client::Http2,
    http2_frames::*,
    support::{LONG, connections},
    tls_support::Authority,
};
use hostler_testkit::{Builder, Server, proc, wait_until};
use std::{
    io::{Read, Write},
    thread::sleep,
};

fn app() -> Builder {
    Server::app("asgi_app:app").option("workers", 1)
}

/// Answers the server's PINGs until a frame comes that says more.
fn next_but_pings(frames: &mut Frames) -> Option<Received> {
    loop {
        let received = frames.next()?;
        match (received.kind, received.flags) {
            (PING, 0) => frames.send(frame(PING, ACK, 0, &received.payload)),
            (SETTINGS | PING | WINDOW_UPDATE, _) => {}
            _ => return Some(received),
        }
    }
}

#[test]
fn an_idle_connection_is_told_to_leave_after_keep_alive() {
    let server = app().option("keep-alive", "500ms").option("http1-header-read-timeout", 60_000).start();
    let (mut fresh, mut used) = (Frames::to(&server), Frames::to(&server));
    assert_eq!(used.get(1, "/echo"), Some(200));
    for (frames, last) in [(&mut fresh, 0), (&mut used, 1)] {
        let mut goaways = Vec::new();
        while let Some(frame) = next_but_pings(frames) {
            if frame.kind == GOAWAY {
                goaways.push((u32::from_be_bytes(frame.payload[..4].try_into().unwrap()), frame.reason()));
            }
        }
        assert_eq!(goaways, [(last, NO_ERROR)]);
    }
    let library = Http2::to(&server);
    assert_eq!(library.get("/echo").status, 200);
    library.ended().unwrap();
    server.stop();
}

#[test]
fn an_idle_connection_outlives_the_timeout_of_heads() {
    let server = app().option("keep-alive", "2h").option("http1-header-read-timeout", 300).start();
    let (mut fresh, mut used) = (Frames::to(&server), Frames::to(&server));
    assert_eq!(used.get(1, "/echo"), Some(200));
    // Longer than the timeout of heads, and than connections keep what they do not need. The test is that nothing happens.
    sleep(LONG);
    assert_eq!((fresh.get(1, "/echo"), used.get(3, "/echo")), (Some(200), Some(200)));
    server.stop();
}

#[test]
fn what_a_client_begins_has_the_timeout_of_heads() {
    let server = app().option("keep-alive", "2h").option("http1-header-read-timeout", 300).start();
    let headers = request(1, &get("/echo"));
    let endless = frame(HEADERS, END_STREAM, 1, &block(&get("/echo")));
    for (name, bytes) in [
        ("a part of the preface", &PREFACE[..10]),
        ("a part of a frame's head", &[PREFACE, &headers[..5]].concat()),
        ("a part of a frame", &[PREFACE, &headers[..20]].concat()),
        ("headers without an end", &[PREFACE, &endless].concat()),
    ] {
        let mut frames = Frames::silent(&server);
        frames.send(bytes);
        while let Some(frame) = frames.next() {
            assert!(![HEADERS, DATA].contains(&frame.kind), "{name}: {frame:?}");
        }
    }
    server.stop();
}

#[test]
fn clients_that_do_not_answer_pings_are_closed_and_others_are_not() {
    let server = app().option("http2-keep-alive-interval", 200).option("http2-keep-alive-timeout", 1).start();
    let (answers, mut silent) = (Http2::to(&server), Frames::to(&server));
    let slow = answers.ask("/slow?4");
    silent.send(request(1, &get("/slow?20")));
    assert_eq!(silent.wait_for(PING, 0).map(|ping| ping.payload.len()), Some(8));
    while let Some(frame) = silent.next() {
        assert_ne!(frame.kind, HEADERS);
    }
    // Longer than the limit, and it was asked many times.
    assert_eq!(answers.end(slow).unwrap().text(), "slow answer");
    assert_eq!(answers.get("/echo").status, 200);
    server.stop();
}

#[test]
fn streams_go_on_after_a_rest() {
    let server = app().start();
    let client = Http2::to(&server);
    for _ in 0..2 {
        let together: Vec<_> = (0..30).map(|_| client.ask("/slow?0.1")).collect();
        assert!(client.end_all(together).into_iter().all(|reply| reply.unwrap().text() == "slow answer"));
        // What was kept for each of them is given up meanwhile.
        sleep(LONG);
    }
    server.stop();
}

/// Asks for a path, and reads the response to its end.
fn fetch<S: Read + Write>(frames: &mut Frames<S>, stream: u32, path: &str) {
    frames.send(request(stream, &get(path)));
    loop {
        let frame = frames.next().expect("the response");
        if frame.stream == stream && frame.flags & END_STREAM != 0 && [HEADERS, DATA].contains(&frame.kind) {
            return;
        }
    }
}

/// Connections that have had a response in many pieces, and rest, take at most so much of the worker's memory, in KiB; and can be
/// used again.
fn rests_in<S: Read + Write>(server: &Server, most: u64, connect: impl Fn() -> Frames<S>) {
    const COUNT: u64 = 500;
    let worker = server.workers()[0];
    let used = || {
        let mut frames = connect();
        fetch(&mut frames, 1, "/bytes?n=60000&pieces=20");
        frames
    };
    // What the first requests need for good is not the connections'.
    (0..20).for_each(|_| drop(used()));
    let before = proc::private_dirty_kib(worker);
    let mut all: Vec<_> = (0..COUNT).map(|_| used()).collect();
    let grown = || proc::private_dirty_kib(worker).saturating_sub(before);
    wait_until("small", || grown() <= COUNT * most);
    all.iter_mut().step_by(10).for_each(|frames| fetch(frames, 3, "/read"));
}

#[test]
fn connections_that_rest_give_up_their_buffers() {
    let server = connections("asgi").option("workers", 1).start();
    rests_in(&server, 48, || Frames::to(&server));
    server.stop();
}

#[test]
fn connections_over_tls_that_rest_give_up_their_buffers() {
    let authority = Authority::new("http2-idle");
    let server = authority.server().serve(connections("asgi")).option("workers", 1).start();
    let client = authority.client().with(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    rests_in(&server, 72, || Frames::on(client.connect(&server).stream));
    server.stop();
}
