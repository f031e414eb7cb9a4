//! Applications that do not receive, clients that do not read or respond, and stops meanwhile.

use super::{connect, handshake_of, send_handshake, serve};
use hostler_testkit::{Conn, LIMIT, Server};
use nix::sys::signal::Signal;
use std::{
    io::{ErrorKind, Write},
    net::TcpStream,
    time::{Duration, Instant},
};
use tungstenite::Message;

fn app() -> hostler_testkit::Builder {
    Server::app("pressure_app:app").option("workers", 1)
}

/// A WebSocket of which nothing was read but the handshake.
fn open(server: &Server, path: &str) -> Conn {
    let mut conn = server.connect();
    handshake_of(&mut conn, path);
    assert_eq!(conn.reply().unwrap().status, 101);
    conn
}

/// Resident memory of a process, in bytes.
fn memory(pid: i32) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn pongs_are_heard_though_the_application_does_not_receive() {
    let server = app().option("ws-ping-interval", 1).option("ws-ping-timeout", 1).start();
    let mut socket = connect(&server, "/deaf");
    // More than waits for an application, so that the last ones wait in the kernel, and the pongs behind them.
    for _ in 0..200 {
        socket.send(Message::binary(vec![7; 2000])).unwrap();
    }
    loop {
        match socket.read().unwrap() {
            Message::Ping(_) => {}
            other => {
                assert_eq!(other, Message::text("200 400000"));
                break;
            }
        }
    }
    // The application receives again: a client that sends nothing now is disconnected.
    server.wait_for("then 1011", 1);
    server.stop();
}

#[test]
fn what_waits_for_an_application_is_limited_by_its_bytes() {
    const MESSAGE: usize = 4 << 20;
    let server = app().start();
    let before = memory(server.workers()[0]);
    let mut stream = open(&server, "/never").into_stream();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut frame = vec![0x82, 0xff];
    frame.extend((MESSAGE as u64).to_be_bytes());
    frame.extend([0; 4]);
    frame.resize(frame.len() + MESSAGE, 0);
    let taken = write_until_refused(&mut stream, &frame, 64);
    let grown = memory(server.workers()[0]).saturating_sub(before);
    assert!(taken < 64, "all {taken} messages of 4 MiB were taken");
    // The one that waits, the next one on its way, and what the allocator keeps.
    assert!(grown < 6 * MESSAGE, "{grown} bytes are kept for an application that receives nothing");
    drop(stream);
    let mut small = open(&server, "/never").into_stream();
    small.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let empty = [0x81, 0x80, 0, 0, 0, 0].repeat(10_000);
    assert!(write_until_refused(&mut small, &empty, 5_000) < 5_000, "empty messages are not limited");
    drop(small);
}

/// Sends the same bytes so many times, or until the server takes no more; returns how many times.
fn write_until_refused(stream: &mut TcpStream, bytes: &[u8], times: usize) -> usize {
    for time in 0..times {
        let mut written = 0;
        while written < bytes.len() {
            match stream.write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return time,
            }
        }
    }
    times
}

#[test]
fn a_client_that_never_reads_is_disconnected() {
    let server = app().option("ws-ping-interval", 1).option("ws-ping-timeout", 1).start();
    let conn = open(&server, "/flood");
    server.wait_for("flooding ended, 1011", 1);
    drop(conn);
    server.stop();
}

#[test]
fn a_client_that_reads_slowly_is_served() {
    let server = app().option("ws-ping-interval", 2).option("ws-ping-timeout", 2).start();
    let mut conn = open(&server, "/flood");
    // It reads pings far later than they are sent.
    let (begun, mut read) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(8) {
        read += conn.exactly(400_000).unwrap().len();
        // It reads slowly.
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(read > 4_000_000 && !server.log().contains("flooding ended"), "{read}\n{}", server.log());
    drop(conn);
    server.wait_for("flooding ended, 1006", 1);
    server.stop();
}

#[test]
fn a_client_that_does_not_read_makes_the_application_wait() {
    let server = serve();
    let socket = connect(&server, "/flood");
    server.wait_for("flooded", 1);
    let log = server.log();
    let sent: u32 = log.split("flooded ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!(sent < 500, "{sent} × 64 KiB were taken for a client that reads nothing");
    drop(socket);
    server.stop();
}

#[test]
fn a_silent_client_is_pinged_and_disconnected() {
    let server = Server::app("websocket_app:app")
        .option("workers", 1)
        .option("ws-ping-interval", 1)
        .option("ws-ping-timeout", 1)
        .start();
    let mut conn = server.connect();
    send_handshake(&mut conn, "/wait", "dGhlIHNhbXBsZSBub25jZQ==", "13");
    assert_eq!(conn.reply().unwrap().status, 101);
    assert_eq!(conn.exactly(2).unwrap(), [0x89, 0]);
    assert!(conn.to_end().unwrap().starts_with(&[0x88, 14, 0x03, 0xf3]), "1011");
    server.wait_for("told 1011", 1);
    server.stop();
}

#[test]
fn a_client_that_pings_and_does_not_read_is_read_no_more() {
    const TOO_MUCH: usize = 64 << 20;
    let server = serve();
    let mut conn = server.connect();
    send_handshake(&mut conn, "/echo", "dGhlIHNhbXBsZSBub25jZQ==", "13");
    assert_eq!(conn.reply().unwrap().status, 101);
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'x'; 125][..]].concat();
    let pings = ping.repeat(500);
    let mut stream = conn.into_stream();
    stream.set_write_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
    let mut taken = 0;
    while taken < TOO_MUCH {
        match stream.write(&pings) {
            Ok(count) => taken += count,
            Err(_) => break,
        }
    }
    assert!(taken < TOO_MUCH, "{taken} bytes of pings were taken");
    let mut other = connect(&server, "/echo");
    other.send(Message::text("served")).unwrap();
    assert_eq!(other.read().unwrap(), Message::text("served"));
    drop((stream, other));
    server.stop();
}

#[test]
fn a_stop_waits_no_longer_for_a_client_that_does_not_read_than_for_a_close_frame() {
    let mut server = app().start();
    let conn = open(&server, "/flood");
    server.wait_for("floods", 1);
    server.signal(Signal::SIGTERM);
    server.wait_for("flooding ended, 1012", 1);
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert!(!server.log().contains("graceful timeout"), "{}", server.log());
    drop(conn);
    // A shorter graceful timeout comes first.
    let mut server = app().option("graceful-timeout", 1).start();
    let conn = open(&server, "/flood");
    server.wait_for("floods", 1);
    let begun = Instant::now();
    server.signal(Signal::SIGTERM);
    assert!(server.wait_exit().success() && begun.elapsed() < LIMIT);
    // Whether the application has ended by then is open.
    server.wait_for("graceful timeout: ", 1);
    drop(conn);
}

#[test]
fn what_an_application_does_after_its_websocket_is_finished_before_a_stop() {
    let mut server = app().start();
    drop(open(&server, "/after"));
    server.wait_for("websocket.disconnect", 1);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(server.log().contains("cleaned up"), "{}", server.log());
}
