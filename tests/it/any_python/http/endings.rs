//! How connections end: the last response reaches its reader, whatever the client still sends and whatever is replaced.

use crate::support::{LONG, connections, get, is_pattern, reads_slowly, workspace};
use hostler_testkit::{Conn, Server, wait_until};
use nix::{
    sys::{
        signal::{Signal, kill},
        socket::{setsockopt, sockopt::RcvBuf},
    },
    unistd::Pid,
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::{fd::AsRawFd, unix::net::UnixStream},
    thread::sleep,
    time::{Duration, Instant},
};

#[test]
fn a_large_response_survives_reloads_upgrades_and_stops() {
    let reload = |server: &Server| {
        server.signal(Signal::SIGHUP);
        server.wait_for("worker ready", 4);
    };
    let server = connections("asgi").start();
    reads_slowly(&server, "/bytes?n=12000000", reload);
    reads_slowly(&server, "/bytes?n=12000000", |server| {
        server.signal(Signal::SIGUSR2);
        server.wait_for("upgraded", 1);
    });
    drop(server);
    let mut server = connections("asgi").start();
    let mut conn = server.connect();
    conn.send(get("/bytes?n=12000000"));
    // It reads nothing for a while, before the stop and during the drain.
    sleep(LONG);
    server.signal(Signal::SIGTERM);
    server.wait_for("draining", 2);
    sleep(LONG);
    assert!(is_pattern(&conn.reply().unwrap().body));
    assert_eq!(server.wait_exit().code(), Some(0));
}

/// A Unix socket keeps what was sent until its reader takes it, also when the server is gone.
#[test]
fn a_client_on_a_unix_socket_that_does_not_read_does_not_hold_up_a_stop() {
    let socket = workspace("unread").join("s.sock");
    let server = connections("asgi").option("workers", 1).option("graceful-timeout", 600);
    let mut server = server.option("write-timeout", 600).option("uds", socket.display()).start();
    let mut client = UnixStream::connect(&socket).unwrap();
    client.write_all(get("/bytes?n=1000").as_bytes()).unwrap();
    wait_until("response", || hostler_sys::stream::unread(client.as_raw_fd()) > 1000);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    let mut response = Vec::new();
    client.read_to_end(&mut response).unwrap();
    assert!(is_pattern(&response[response.len() - 1000..]));
}

#[test]
fn an_early_response_reaches_a_client_that_still_sends() {
    let server = connections("asgi").start();
    for _ in 0..20 {
        let mut conn = server.connect();
        conn.send("POST /early HTTP/1.1\r\nhost: t\r\ncontent-length: 3000000\r\nconnection: close\r\n\r\n");
        conn.send(vec![b'x'; 3_000_000]);
        assert_eq!(conn.reply().unwrap().text(), "/early");
        assert!(conn.to_end().is_ok_and(|rest| rest.is_empty()), "the connection was reset");
    }
    server.stop();
}

#[test]
fn a_truncated_response_without_length_ends_with_a_reset() {
    let server = connections("asgi").option("workers", 1).start();
    let mut conn = server.connect();
    conn.send("GET /bytes?n=12000000&pieces=40 HTTP/1.0\r\n\r\n");
    conn.exactly(100_000).unwrap();
    let worker = server.workers()[0];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    assert!(conn.to_end().is_err(), "the connection ended as if all had been sent");
    let mut conn = server.connect();
    conn.send("GET /bytes?n=12000000&pieces=40 HTTP/1.0\r\n\r\n");
    assert!(is_pattern(&conn.reply().unwrap().body));
    server.stop();
}

/// The drain waits for the client's FIN only; no response is outstanding.
#[test]
fn a_stop_that_cuts_no_request_logs_none() {
    let mut server = Server::app("connections:asgi")
        .option("interface", "asgi")
        .option("workers", 1)
        .option("graceful-timeout", 1)
        .option("workers-kill-timeout", 1)
        .start();
    let mut stream = Conn::into_stream(server.connect());
    stream.write_all(b"POST /bytes?n=3 HTTP/1.1\r\nhost: t\r\ncontent-length: 1000\r\n\r\nxyz").unwrap();
    let mut answer = [0; 17];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK\r\n");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert!(!server.log().contains("requests in flight are cut"), "{}", server.log());
    drop(stream);
}

#[test]
fn an_idle_timeout_truncates_no_response() {
    let server = Server::app("connections:asgi")
        .option("interface", "asgi")
        .option("http1-header-read-timeout", 500)
        .option("keep-alive", "500ms")
        .start();
    let mut stream = narrow(&server);
    stream.write_all(b"GET /bytes?n=3000000 HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    let mut said = false;
    read_slowly(stream, "idle", |stream, read| {
        if read > SLOWLY_READ / 2 && !said {
            // The server may have ended the connection for its part, but not for the client's.
            let _ = stream.write_all(b"GET /next HT");
            said = true;
        }
    });
    server.stop();
}

#[test]
fn a_stop_truncates_no_response_of_a_client_that_still_sends() {
    let server = Server::app("connections:asgi").option("interface", "asgi").start();
    let mut stream = narrow(&server);
    stream.write_all(b"GET /bytes?n=3000000 HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    read_slowly(stream, "stop", |stream, read| {
        if read == 0 {
            server.signal(Signal::SIGTERM);
        } else if read > SLOWLY_READ / 2 {
            let _ = stream.write_all(b"x");
        }
    });
}

#[test]
fn a_connection_accepted_as_a_stop_arrives_is_served() {
    let server = Server::app("blocking:app").option("workers", 1).option("slow-callback", 100);
    let server = server.option("interface", "asgi").start();
    assert_eq!(server.connect().get("/soon/2").text(), "soon");
    server.wait_for("event loop blocked", 1);
    let mut conn = server.connect();
    conn.send("GET /later/wait/0.2 HTTP/1.1\r\nhost: t\r\n\r\n");
    server.signal(Signal::SIGTERM);
    server.wait_for("worker told to drain", 1);
    assert_eq!(conn.reply().unwrap().status, 200);
    server.wait_empty();
}

/// A worker whose server stops accepts connections for the last time half a second after the signal, and gives each half
/// a second. A machine that is too slow to use that time proves nothing.
#[test]
fn a_connection_that_is_accepted_at_the_end_of_a_drain_has_time_for_a_request() {
    for _ in 0..20 {
        let mut server =
            Server::app("supervised:app").option("workers", 1).option("log-level", "debug").start();
        let mut long = server.connect();
        long.send("GET /wait/2 HTTP/1.1\r\nhost: t\r\n\r\n");
        // Answered only when the first one is begun, for there is one worker.
        assert_eq!(server.connect().get("/pid").status, 200);
        let mut probe = server.connect();
        assert_eq!(probe.get("/pid").status, 200);
        let signalled = Instant::now();
        server.signal(Signal::SIGTERM);
        server.wait_for("draining order=", 1);
        // What waited at the signal was accepted before this is answered; it has no time beyond the half second.
        assert_eq!(probe.get("/pid").status, 200);
        let mut late = server.connect();
        server.wait_for("idle connections are closed", 1);
        late.send("GET /pid HTTP/1.1\r\nhost: t\r\n\r\n");
        let in_time = signalled.elapsed() < Duration::from_millis(900);
        let reply = late.reply();
        if in_time {
            assert_eq!(reply.expect("the connection was closed").status, 200, "{}", server.log());
            assert_eq!(long.reply().unwrap().status, 200);
            assert!(server.wait_exit().success());
            return;
        }
        server.wait_exit();
    }
    panic!("the machine was never fast enough");
}

/// Others accept for it: what it accepted late, it might have no time to answer.
#[test]
fn a_worker_that_is_signalled_accepts_nothing_at_the_end_of_its_drain() {
    let server = Server::app("supervised:app").option("workers", 2).option("log-level", "debug");
    let server = server.option("graceful-timeout", "3s").option("stall-timeout", "60s").start();
    let [leaves, goes_on] = [0, 1].map(|index| Pid::from_raw(server.workers()[index]));
    kill(goes_on, Signal::SIGSTOP).unwrap();
    let (mut endless, mut blocks) = (server.connect(), server.connect());
    endless.send(get("/ticks/1000"));
    assert_eq!(blocks.get("/pid").text(), leaves.to_string());
    kill(leaves, Signal::SIGTERM).unwrap();
    server.wait_for("draining order=", 1);
    blocks.send(get("/block/2"));
    server.wait_for("blocks now", 1);
    let mut late = server.connect();
    late.send(get("/wait/2"));
    server.wait_for("worker exited", 1);
    kill(goes_on, Signal::SIGCONT).unwrap();
    assert_eq!(late.reply().expect("it is answered").text(), "waited", "{}", server.log());
    server.stop();
}

/// Nobody accepts for it then.
#[test]
fn a_worker_that_is_signalled_accepts_what_waits_when_its_server_stops() {
    let mut server = Server::app("supervised:app").option("workers", 1).option("log-level", "debug").start();
    let mut long = server.connect();
    long.send(get("/ticks/12"));
    assert_eq!(server.connect().get("/pid").status, 200);
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGTERM).unwrap();
    server.wait_for("idle connections are closed", 1);
    let mut waits = server.connect();
    waits.send(get("/pid"));
    server.signal(Signal::SIGTERM);
    assert_eq!(waits.reply().expect("it is served").status, 200, "{}", server.log());
    assert!(long.reply().unwrap().text().ends_with("tick\n"));
    assert!(server.wait_exit().success());
}

#[test]
fn an_early_response_is_read_slowly_while_its_request_goes_on() {
    for interface in ["asgi", "rsgi"] {
        let server = Server::app(&format!("connections:{interface}")).option("interface", interface).start();
        let mut stream = narrow(&server);
        let head = "POST /bytes?n=3000000 HTTP/1.1\r\nhost: t\r\ncontent-length: 50000000\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&[b'x'; 5000]).unwrap();
        read_slowly(stream, interface, |stream, _| {
            let _ = stream.write_all(&[b'x'; 40]);
        });
        server.stop();
    }
}

pub(in crate::any_python) const SLOWLY_READ: usize = 3_000_000;

/// A connection with a small receive buffer.
pub(in crate::any_python) fn narrow(server: &Server) -> TcpStream {
    let stream = Conn::into_stream(server.connect());
    setsockopt(&stream, RcvBuf, &100_000).unwrap();
    stream
}

/// Reads a response of `SLOWLY_READ` bytes in about six seconds; `meanwhile` is called every 100 ms with the bytes read so far.
pub(in crate::any_python) fn read_slowly(
    mut stream: TcpStream,
    name: &str,
    mut meanwhile: impl FnMut(&mut TcpStream, usize),
) {
    let (mut all, mut block) = (Vec::new(), vec![0; 50_000]);
    let body = |all: &[u8]| all.windows(4).position(|end| end == b"\r\n\r\n").map(|end| all.len() - end - 4);
    while body(&all).is_none_or(|read| read < SLOWLY_READ) {
        meanwhile(&mut stream, all.len());
        // It reads slowly.
        sleep(Duration::from_millis(100));
        let mut rest = 50_000;
        while rest > 0 {
            match stream.read(&mut block[..rest]) {
                Ok(0) => panic!("{name}: the connection ended after {} bytes", all.len()),
                Ok(count) => {
                    all.extend_from_slice(&block[..count]);
                    rest -= count;
                }
                Err(error) => panic!("{name}: {error} after {} bytes", all.len()),
            }
            if body(&all).is_some_and(|read| read >= SLOWLY_READ) {
                return;
            }
        }
    }
}
