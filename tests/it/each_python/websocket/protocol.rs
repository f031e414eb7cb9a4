//! Handshakes, messages, compression and closing codes; clients that break the rules.

use super::{close_of, connect, handshake, handshake_of, send_handshake, serve, try_connect};
use hostler_testkit::{Conn, Server};
use nix::sys::signal::Signal;
use std::io::Read;
use tungstenite::{Error, Message, http::header::SEC_WEBSOCKET_PROTOCOL, protocol::CloseFrame};

#[test]
fn messages_are_echoed_and_the_close_is_answered() {
    let server = serve();
    let (mut socket, response) = try_connect(&server, "/echo", None).unwrap();
    assert_eq!(response.headers()["x-served-by"], "echo");
    for message in [
        Message::text("hello"),
        Message::text(""),
        Message::text("Grüße, 世界"),
        Message::binary(vec![0u8; 0]),
        Message::binary((0..=255).collect::<Vec<u8>>()),
        Message::binary(vec![7u8; 1 << 20]),
    ] {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    socket.send(Message::Ping(b"are you there"[..].into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(b"are you there"[..].into()));
    socket.close(Some(CloseFrame { code: 4000.into(), reason: "bye".into() })).unwrap();
    assert_eq!(close_of(&mut socket).0, 4000);
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    server.wait_for("disconnected 4000 'bye'", 1);
    server.wait_for("sending raised OSError", 1);
    server.stop();
}

#[test]
fn subprotocols_and_close_codes_of_the_application_arrive() {
    let server = serve();
    let (mut socket, response) = try_connect(&server, "/subprotocol", Some("chat, superchat")).unwrap();
    assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "superchat");
    assert!(!response.headers().contains_key("sec-websocket-extensions"), "none was agreed on");
    assert_eq!(close_of(&mut socket), (4001, "done".into()));
    server.wait_for("then {'type': 'websocket.disconnect', 'code': 4001, 'reason': 'done'}", 1);
    drop(socket);
    // A list may have empty elements.
    let (socket, response) = try_connect(&server, "/subprotocol", Some("chat,, superchat,")).unwrap();
    assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "superchat");
    drop(socket);
    server.stop();
}

#[test]
fn a_handshake_can_be_refused_and_denied() {
    let server = serve();
    assert!(try_connect(&server, "/refuse", None).unwrap_err().contains("403"));
    let denied = handshake(&server, "/deny", "dGhlIHNhbXBsZSBub25jZQ==", "13");
    assert_eq!(
        (denied.status, denied.text().as_str(), denied.header("x-why")),
        (401, "not you", Some("because"))
    );
    assert!(try_connect(&server, "/early", None).unwrap_err().contains("500"));
    server.wait_for("raised before accept on purpose", 1);
    assert_eq!(handshake(&server, "/echo", "short", "13").status, 400);
    let old = handshake(&server, "/echo", "dGhlIHNhbXBsZSBub25jZQ==", "8");
    assert_eq!((old.status, old.header("sec-websocket-version")), (426, Some("13")));
    server.stop();
}

#[test]
fn a_denial_that_is_not_as_long_as_announced_is_an_error_of_the_application() {
    let server = serve();
    for (body, event) in [("no", "ended after 2 bytes"), ("not you", "has 7 bytes so far")] {
        let mut conn = server.connect();
        handshake_of(&mut conn, &format!("/misdeny?{body}").replace(' ', "_"));
        assert_eq!(conn.reply().unwrap().status, 500);
        server.wait_for(event, 1);
        assert_eq!(conn.get("/").text(), "plain");
    }
    server.stop();
}

#[test]
fn an_application_that_raises_closes_with_1011_and_the_worker_lives() {
    let server = serve();
    let mut socket = connect(&server, "/raise");
    socket.send(Message::text("x")).unwrap();
    assert_eq!(close_of(&mut socket).0, 1011);
    server.wait_for("raised in a websocket on purpose", 1);
    assert_eq!(server.connect().get("/").text(), "plain");
    drop(socket);
    server.stop();
}

/// A frame with a mask of zeroes, which leaves the payload as it is.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

#[test]
fn protocol_errors_are_closed_with_their_code_and_harm_no_other_client() {
    let server = Server::app("websocket_app:app").option("workers", 1).option("ws-max-size", 1000).start();
    let mut other = connect(&server, "/echo");
    let too_long = [&[0x82, 0xfe, 0x07, 0xd0, 0, 0, 0, 0][..], &[0; 2000]].concat();
    let fragments: Vec<u8> = (0..20).flat_map(|n| frame(u8::from(n == 0) * 2, &[0; 100])).collect();
    let cases: [(&str, Vec<u8>, u16); 7] = [
        ("text that is not UTF-8", frame(0x81, b"\xff\xfe"), 1007),
        ("a message that is too long", too_long, 1009),
        ("fragments that are too long together", fragments, 1009),
        ("a frame without a mask", vec![0x81, 1, b'x'], 1002),
        ("a reserved bit", frame(0xc1, b"x"), 1002),
        ("a continuation of nothing", frame(0x80, b"x"), 1002),
        ("a ping in fragments", frame(0x09, b"x"), 1002),
    ];
    for (what, bytes, code) in cases {
        let mut conn = server.connect();
        send_handshake(&mut conn, "/echo", "dGhlIHNhbXBsZSBub25jZQ==", "13");
        assert_eq!(conn.reply().unwrap().status, 101, "{what}");
        conn.send(bytes);
        let rest = conn.to_end().unwrap_or_default();
        let [high, low] = code.to_be_bytes();
        assert!(rest.starts_with(&[0x88, 2, high, low]), "{what}: {rest:?}");
    }
    other.send(Message::text("still here")).unwrap();
    assert_eq!(other.read().unwrap(), Message::text("still here"));
    drop(other);
    server.stop();
}

#[test]
fn a_stop_closes_with_1012_and_tells_the_application() {
    let mut server = serve();
    let mut socket = connect(&server, "/wait");
    server.signal(Signal::SIGTERM);
    assert_eq!(close_of(&mut socket).0, 1012);
    let _ = socket.flush();
    let mut rest = Vec::new();
    let _ = socket.get_mut().read_to_end(&mut rest);
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(server.log().contains("told 1012"), "{}", server.log());
}

#[test]
fn without_ws_a_handshake_is_a_plain_request() {
    let server = Server::app("websocket_app:app").option("workers", 1).arg("--no-ws").start();
    let reply = handshake(&server, "/echo", "dGhlIHNhbXBsZSBub25jZQ==", "13");
    assert_eq!((reply.status, reply.text().as_str()), (200, "plain"));
    server.stop();
}

/// "hello", masked with zeros, as `permessage-deflate` has it (RFC 7692 §7.2.3.1).
const HELLO: [u8; 13] = [0xc1, 0x87, 0, 0, 0, 0, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn offer(server: &Server, extensions: &str) -> (Conn, Option<String>) {
    let mut conn = server.connect();
    conn.send(format!(
        "GET /echo HTTP/1.1\r\nhost: t\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\
         sec-websocket-extensions: {extensions}\r\n\r\n"
    ));
    let agreed = conn.reply().unwrap().header("sec-websocket-extensions").map(str::to_owned);
    (conn, agreed)
}

#[test]
fn messages_are_compressed_if_both_sides_want_it() {
    let server = serve();
    assert_eq!(offer(&server, "permessage-deflate").1, None);
    server.stop();
    let server = Server::app("websocket_app:app").arg("--ws-deflate").start();
    let (mut conn, agreed) = offer(&server, "permessage-deflate; client_max_window_bits");
    assert!(agreed.unwrap().starts_with("permessage-deflate"));
    conn.send(HELLO);
    assert_eq!(conn.exactly(9).unwrap(), [0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    // With the help of the message before, the same one is shorter.
    conn.send(HELLO);
    assert_eq!(conn.exactly(2).unwrap(), [0xc1, 0x05]);
    // Who asks for nothing is served without.
    let mut plain = connect(&server, "/echo");
    plain.send(Message::text("plain")).unwrap();
    assert_eq!(plain.read().unwrap(), Message::text("plain"));
    drop((conn, plain));
    server.stop();
    let server = Server::app("websocket_app:app").arg("--ws-deflate").arg("--no-ws-deflate-context-takeover");
    let server = server.option("ws-max-size", 1000).start();
    let (mut conn, agreed) = offer(&server, "permessage-deflate");
    assert!(agreed.unwrap().contains("server_no_context_takeover"));
    for _ in 0..2 {
        conn.send(HELLO);
        assert_eq!(conn.exactly(9).unwrap(), [0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    }
    // A small message that would become 5,000 bytes.
    let bomb = [
        0xc2, 0x96, 0x00, 0x00, 0x00, 0x00, 0xec, 0xc1, 0x31, 0x01, 0x00, 0x00, 0x00, 0xc2, 0xa0, 0xf5, 0x4f,
        0x6d, 0x0a, 0x3f, 0xa0, 0x00, 0x00, 0x00, 0x00, 0x80, 0xb7, 0x01,
    ];
    conn.send(bomb);
    assert_eq!(conn.exactly(4).unwrap(), [0x88, 2, 0x03, 0xf1]);
    drop(conn);
    server.stop();
}
