//! Applications that wait for their clients: cancelled, in several tasks at once, without end.

use super::websocket::connect;
use hostler_testkit::{Conn, Server};
use tungstenite::Message;

const LOOPS: [&str; 3] = ["hostler", "asyncio", "uvloop"];

fn serve(event_loop: &str) -> Server {
    Server::app("waits_app:app").option("workers", 1).option("loop", event_loop).start()
}

fn rsgi(event_loop: &str) -> Server {
    let server = Server::app("waits_rsgi:app").option("interface", "rsgi").option("workers", 1);
    server.option("loop", event_loop).start()
}

/// Begins a request whose body comes in chunks.
fn begin(server: &Server, path: &str) -> Conn {
    let mut conn = server.connect();
    conn.send(format!("POST {path} HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n"));
    conn
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

#[test]
fn a_cancelled_receive_loses_nothing_and_blocks_nothing() {
    for event_loop in LOOPS {
        let server = serve(event_loop);
        let mut conn = begin(&server, "/cancelled");
        server.wait_for("gave up", 1);
        conn.send(format!("{}{}", chunk("hello "), chunk("world")));
        conn.send("0\r\n\r\n");
        assert_eq!(conn.reply().unwrap().text(), "hello world", "{event_loop}");
        server.stop();
    }
}

#[test]
fn a_receive_that_is_cancelled_as_its_event_arrives_leaves_it_to_the_next() {
    for event_loop in LOOPS {
        let server = serve(event_loop);
        let mut conn = begin(&server, "/raced");
        server.wait_for("races", 1);
        conn.send(chunk("first "));
        conn.send(format!("{}0\r\n\r\n", chunk("second")));
        assert_eq!(conn.reply().unwrap().text(), "first second", "{event_loop}");
        server.stop();
    }
}

#[test]
fn tasks_that_wait_in_receive_are_served_in_order() {
    for event_loop in LOOPS {
        let server = serve(event_loop);
        let mut conn = begin(&server, "/two");
        server.wait_for("both wait", 1);
        conn.send(chunk("first"));
        conn.send(chunk("second"));
        conn.send("0\r\n\r\n");
        assert!(conn.reply().unwrap().text().starts_with("first"), "{event_loop}");
        let mut conn = server.connect();
        assert_eq!(conn.request("POST", "/callbacks", "", b"called back").text(), "called back");
        conn.send("GET /while_sending HTTP/1.1\r\nhost: t\r\n\r\n");
        assert_eq!(conn.reply().unwrap().body.len(), 5_000_000);
        server.wait_for("afterwards http.disconnect", 1);
        server.stop();
    }
}

#[test]
fn a_disconnect_reaches_hundreds_of_tasks() {
    for event_loop in LOOPS {
        let server = serve(event_loop);
        for half in [false, true] {
            let mut conn = server.connect();
            conn.send("GET /hundreds HTTP/1.1\r\nhost: t\r\n\r\n");
            server.wait_for("hundreds wait", 1 + usize::from(half));
            if half {
                conn.finish();
            }
            drop(conn);
            server.wait_for("200 × {'http.disconnect'}", 1 + usize::from(half));
        }
        server.stop();
    }
}

#[test]
fn receive_and_send_after_the_end_of_a_request_do_no_harm() {
    let server = serve("hostler");
    let mut conn = begin(&server, "/kept");
    conn.send(chunk("kept"));
    conn.send("0\r\n\r\n");
    assert_eq!(conn.reply().unwrap().text(), "kept");
    server.wait_for("then ['http.disconnect', 'http.disconnect']", 1);
    assert_eq!(conn.get("/reuse").text(), "http.disconnect http.disconnect RuntimeError");
    server.stop();
}

#[test]
fn websocket_receives_wait_in_order_and_lose_nothing() {
    for (event_loop, interface) in LOOPS.iter().flat_map(|name| [(*name, "asgi"), (*name, "rsgi")]) {
        let server = if interface == "asgi" { serve(event_loop) } else { rsgi(event_loop) };
        let mut socket = connect(&server, "/websocket");
        assert_eq!(socket.read().unwrap(), Message::text("both wait"), "{event_loop} {interface}");
        socket.send(Message::text("one")).unwrap();
        socket.send(Message::text("two")).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text("one|two"), "{event_loop} {interface}");
        drop(socket);
        server.wait_for(if interface == "asgi" { "300 × {'websocket.disconnect'}" } else { "300 × {0}" }, 1);
        server.stop();
    }
}

#[test]
fn an_rsgi_application_that_gave_up_reading_goes_on_later() {
    for event_loop in LOOPS {
        let server = rsgi(event_loop);
        let mut conn = begin(&server, "/whole");
        server.wait_for("gave up", 1);
        conn.send(format!("{}{}0\r\n\r\n", chunk("hello "), chunk("world")));
        assert_eq!(conn.reply().unwrap().text(), "hello world", "{event_loop}");
        let mut conn = begin(&server, "/pieces");
        server.wait_for("both wait", 1);
        conn.send(chunk("a"));
        conn.send(chunk("b"));
        conn.send(format!("{}0\r\n\r\n", chunk("c")));
        let text = conn.reply().unwrap().text();
        assert_eq!(text.replace('|', ""), "abc", "{event_loop}");
        server.stop();
    }
}

#[test]
fn a_disconnect_reaches_all_rsgi_tasks_that_watch_for_it() {
    for event_loop in LOOPS {
        let server = rsgi(event_loop);
        let mut conn = server.connect();
        conn.send("GET /watch HTTP/1.1\r\nhost: t\r\n\r\n");
        server.wait_for("hundreds watch", 1);
        drop(conn);
        server.wait_for("all were told", 1);
        let mut conn = server.connect();
        assert_eq!(conn.get("/afterwards").text(), "answered");
        drop(conn);
        server.wait_for("the client left afterwards", 1);
        server.stop();
    }
}

#[test]
fn an_rsgi_protocol_that_is_kept_delays_no_connection() {
    let server = rsgi("hostler");
    let mut conn = server.connect();
    for size in [10, 1_000_000] {
        let mut conn = server.connect();
        assert_eq!(conn.request("POST", "/kept", "", &vec![b'x'; size]).text(), "kept");
    }
    assert_eq!(conn.get("/late").text(), "ProtocolError nothing");
    drop(conn);
    server.stop();
}
