//! Pipelined requests: responses are whole, in order, and wait for nothing that comes later.

use super::serve;
use crate::support::{LONG, connections, get, is_pattern};
use hostler_testkit::Server;
use std::{io::Write, thread::sleep, time::Duration};

#[test]
fn connections_are_kept_alive_and_pipelined_requests_answered_in_order() {
    let server = serve();
    let mut conn = server.connect();
    conn.send("GET /slow?0.1 HTTP/1.1\r\nhost: t\r\n\r\nGET /pid HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(conn.reply().unwrap().text(), "slow answer");
    assert!(conn.reply().unwrap().text().parse::<i32>().is_ok());
    conn.send("GET /pid HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    assert_eq!(conn.reply().unwrap().status, 200);
    assert!(conn.is_closed());
}

#[test]
fn pipelined_responses_are_whole_and_in_order() {
    for flush in [false, true] {
        let mut server = connections("asgi");
        if flush {
            server = server.arg("--http1-pipeline-flush");
        }
        let server = server.start();
        let mut conn = server.connect();
        conn.send([get("/bytes?n=12000000"), get("/second"), get("/bytes?n=100")].concat());
        // It reads nothing for a while.
        sleep(LONG);
        assert!(is_pattern(&conn.reply().unwrap().body));
        assert_eq!(conn.reply().unwrap().text(), "/second");
        assert_eq!(conn.reply().unwrap().body.len(), 100);
        server.stop();
    }
}

#[test]
fn two_thousand_pipelined_responses_are_read_late() {
    const COUNT: usize = 2000;
    let server = connections("asgi").start();
    let mut conn = server.connect();
    let requests: String = (0..COUNT).map(|number| get(&format!("/{number:0>5000}"))).collect();
    let mut stream = conn.clone_stream();
    std::thread::scope(|scope| {
        scope.spawn(|| stream.write_all(requests.as_bytes()).unwrap());
        // Far longer than the server needs until both kernels are full.
        sleep(Duration::from_secs(3));
        for number in 0..COUNT {
            assert_eq!(conn.reply().unwrap().text(), format!("/{number:0>5000}"));
        }
    });
    server.stop();
}

#[test]
fn coalesced_responses_do_not_wait_for_the_rest_of_the_next_request() {
    let server =
        Server::app("connections:asgi").option("interface", "asgi").arg("--http1-pipeline-flush").start();
    for behind in ["\r\n", "GET /half HTTP/1.1\r\nho"] {
        let mut conn = server.connect();
        conn.send(format!("GET /a HTTP/1.1\r\nhost: t\r\n\r\n{behind}"));
        assert_eq!(conn.reply().unwrap().text(), "/a", "{behind:?}");
    }
    server.stop();
}
