//! Clients that let others wait: no thread waits for them if that can be helped.

use super::{adverse_app, reset, send_expecting, send_get, wait_for_state};

#[test]
fn slow_senders_hold_no_thread() {
    for threads in [1, 2] {
        let server = adverse_app(threads).start();
        let mut slow: Vec<_> = (0..4).map(|_| server.connect()).collect();
        for conn in &mut slow {
            conn.send("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\nhello");
        }
        assert_eq!(server.connect().get("/echo").text(), "");
        for conn in &mut slow {
            conn.send("world");
            assert_eq!(conn.reply().unwrap().text(), "helloworld");
        }
        server.stop();
    }
}

#[test]
fn slow_readers_hold_no_thread_up_to_the_buffers_size() {
    let server = adverse_app(2).option("wsgi-response-buffer", 64 << 20).start();
    let mut slow: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for conn in &mut slow {
        // More than the kernel takes.
        send_get(conn, "/blocks?500");
    }
    wait_for_state(&server, "closed", "3");
    for conn in &mut slow {
        assert_eq!(conn.reply().unwrap().body.len(), 500 * 65536);
    }
    server.stop();
}

#[test]
fn a_disconnect_frees_the_thread_that_waits_for_the_client() {
    let server = adverse_app(2).start();
    let mut slow: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for conn in &mut slow {
        send_get(conn, "/blocks?1000000");
        conn.exactly(1).unwrap();
    }
    // No request can be handled until they disconnect.
    let mut third = server.connect();
    send_get(&mut third, "/state?closed");
    slow.into_iter().for_each(reset);
    assert!(third.reply().is_ok());
    wait_for_state(&server, "closed", "2");
    server.stop();
}

#[test]
fn a_response_without_reading_the_body_reaches_a_client_that_expects_a_100() {
    for threads in [1, 2, 4] {
        let server = adverse_app(threads).start();
        let mut conn = server.connect();
        send_expecting(&mut conn, "/refuse", 5);
        assert_eq!(conn.exactly(12).unwrap(), b"HTTP/1.1 417", "{threads} threads");
        drop(conn);
        let mut conn = server.connect();
        send_expecting(&mut conn, "/echo", 5);
        assert_eq!(conn.exactly(25).unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
        conn.send("hello");
        assert_eq!(conn.reply().unwrap().text(), "hello");
        assert_eq!(conn.get("/flag").text(), "set");
        // A client that does not wait.
        send_expecting(&mut conn, "/echo", 5);
        conn.send("again");
        assert_eq!(conn.reply().unwrap().text(), "again");
        server.stop();
    }
}

#[test]
fn clients_that_expect_a_100_hold_half_of_the_threads_at_most() {
    for threads in [1, 2, 4] {
        let server = adverse_app(threads).start();
        let mut slow: Vec<_> = (0..6).map(|_| server.connect()).collect();
        for conn in &mut slow {
            send_expecting(conn, "/echo", 5);
            assert_eq!(conn.exactly(25).unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        assert_eq!(server.connect().get("/flag").text(), "set", "{threads} threads");
        // Clients that disconnect free their thread.
        slow.drain(..3).for_each(reset);
        for conn in &mut slow {
            conn.send("hello");
            assert_eq!(conn.reply().unwrap().text(), "hello");
        }
        server.stop();
    }
}

#[test]
fn a_client_that_reads_nothing_frees_its_thread_after_the_write_timeout() {
    let server = adverse_app(2).option("write-timeout", "1s").start();
    let mut slow: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for conn in &mut slow {
        send_get(conn, "/blocks?1000000");
        conn.exactly(1).unwrap();
    }
    wait_for_state(&server, "closed", "2");
    assert_eq!(server.workers().len(), 1);
    server.stop();
}

#[test]
fn a_client_that_sends_nothing_frees_its_thread_after_the_body_timeout() {
    for threads in [1, 2] {
        let server = adverse_app(threads).option("body-read-timeout", "1s").start();
        for _ in 0..2 {
            // One that is stored first, and those that are read while the application runs.
            let mut plain = server.connect();
            plain.send("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\nhe");
            let mut slow: Vec<_> = (0..4).map(|_| server.connect()).collect();
            for conn in &mut slow {
                send_expecting(conn, "/echo", 5);
                assert_eq!(conn.exactly(25).unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            for conn in slow.iter_mut().chain([&mut plain]) {
                assert_eq!(conn.reply().unwrap().status, 408);
            }
        }
        // A thread is free for one that keeps its word.
        let mut conn = server.connect();
        send_expecting(&mut conn, "/echo", 5);
        assert_eq!(conn.exactly(25).unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
        conn.send("hello");
        assert_eq!(conn.reply().unwrap().text(), "hello");
        server.stop();
    }
}
