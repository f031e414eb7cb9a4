//! Clients that read or send slowly or not at all, and unread bodies, on every interface.

use crate::support::{body_is_no_request, connections, get, reads_slowly};
use std::{
    io::Read,
    thread::{self, sleep},
    time::{Duration, Instant},
};

/// Interfaces, and for WSGI the number of threads.
const INTERFACES: [(&str, &str); 4] = [("asgi", "1"), ("wsgi", "1"), ("wsgi", "4"), ("rsgi", "1")];

/// At once, for these tests mostly wait.
fn on_each_interface(test: impl Fn(&str, &str) + Sync) {
    thread::scope(|scope| {
        for (interface, threads) in INTERFACES {
            let test = &test;
            scope.spawn(move || test(interface, threads));
        }
    });
}

#[test]
fn a_large_response_waits_for_its_reader() {
    on_each_interface(|interface, threads| {
        let server = connections(interface)
            .option("blocking-threads", threads)
            .option("http1-header-read-timeout", 500)
            .option("keep-alive", "500ms")
            .start();
        for path in ["/bytes?n=12000000", "/bytes?n=12000000&pieces=40"] {
            reads_slowly(&server, path, |_| ());
        }
        server.stop();
    });
}

#[test]
fn a_client_that_reads_nothing_is_reset_and_a_slow_one_is_served() {
    on_each_interface(|interface, threads| {
        let server =
            connections(interface).option("blocking-threads", threads).option("write-timeout", "1s").start();
        let mut slow = server.connect();
        let mut stuck = server.connect();
        stuck.send(get("/bytes?n=12000000"));
        slow.send(get("/bytes?n=6000000"));
        let mut stream = slow.into_stream();
        let (mut all, mut block) = (Vec::new(), [0; 150_000]);
        while all.len() < 6_000_000 {
            // It reads slowly.
            sleep(Duration::from_millis(50));
            match stream.read(&mut block).unwrap() {
                0 => panic!("{interface} {threads}: cut after {} bytes", all.len()),
                count => all.extend_from_slice(&block[..count]),
            }
        }
        // It was reset in the meantime: what it had not read is lost.
        assert!(stuck.reply().is_err(), "{interface} {threads}");
        server.stop();
    });
}

#[test]
fn a_body_that_does_not_arrive_is_answered_with_408() {
    on_each_interface(|interface, threads| {
        let server = connections(interface)
            .option("blocking-threads", threads)
            .option("body-read-timeout", "500ms")
            .start();
        let mut conn = server.connect();
        conn.send("POST /read HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\n");
        // Slow, but steady.
        for _ in 0..5 {
            sleep(Duration::from_millis(200));
            conn.send("x");
        }
        assert_eq!(conn.reply().unwrap().status, 408, "{interface} {threads}");
        assert!(conn.is_closed());
        drop(conn);
        server.stop();
    });
}

#[test]
fn an_unread_body_is_not_taken_for_a_request() {
    on_each_interface(|interface, threads| {
        let server = connections(interface).option("blocking-threads", threads).start();
        // Bodies are read before WSGI applications are called.
        body_is_no_request(&server, interface != "wsgi", &format!("{interface} {threads}"));
        server.stop();
    });
}

#[test]
fn malformed_chunks_are_answered_with_400_and_end_the_connection() {
    on_each_interface(|interface, threads| {
        let server = connections(interface).option("blocking-threads", threads).start();
        let mut conn = server.connect();
        conn.send(
            "POST /read HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
        );
        assert_eq!(conn.reply().unwrap().status, 400, "{interface} {threads}");
        assert!(conn.is_closed());
        // A stop would wait for the client's end of a connection whose request broke.
        drop(conn);
        server.stop();
    });
}

#[test]
fn a_broken_upload_does_not_delay_a_stop() {
    on_each_interface(|interface, threads| {
        let server = connections(interface).option("blocking-threads", threads).start();
        let mut conn = server.connect();
        conn.send("POST /read HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\nhello");
        // No event shows that the handler waits for the rest.
        sleep(Duration::from_millis(200));
        drop(conn);
        let begun = Instant::now();
        server.stop();
        assert!(begun.elapsed() < Duration::from_secs(10), "{interface} {threads}: {:?}", begun.elapsed());
    });
}
