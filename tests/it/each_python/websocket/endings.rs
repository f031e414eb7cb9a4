//! WebSockets that end: by their client, the server or a timeout, before they are accepted and while messages wait.

use super::{close_of, connect, handshake_of};
use hostler_testkit::Server;
use nix::sys::signal::Signal;

fn serve(app: &str) -> Server {
    Server::app(&format!("{app}:app")).option("workers", 1).start()
}

/// The opcodes of frames, and what follows the last whole one.
fn opcodes(mut bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut opcodes = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        let extended = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some((size, rest)) = rest.split_at_checked(extended) else { break };
        let long = size.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
        let length = if extended == 0 { usize::from(*length) } else { long };
        let Some((_, rest)) = rest.split_at_checked(length) else { break };
        opcodes.push(first & 15);
        bytes = rest;
    }
    (opcodes, bytes)
}

#[test]
fn an_application_that_has_not_accepted_learns_that_its_client_sends_no_more() {
    let server = serve("websocket_app");
    let mut conn = server.connect();
    handshake_of(&mut conn, "/patient");
    server.wait_for("waits", 1);
    conn.finish();
    server.wait_for("left 1006", 1);
    assert!(conn.to_end().unwrap().is_empty(), "a handshake that was given up was responded to");
    server.stop();
}

#[test]
fn a_handshake_that_takes_too_long_is_cancelled() {
    let server = Server::app("websocket_app:app").option("workers", 1).option("request-timeout", 1).start();
    let mut conn = server.connect();
    handshake_of(&mut conn, "/undecided");
    assert_eq!(conn.reply().unwrap().status, 504);
    server.wait_for("the handshake was cancelled", 1);
    assert!(!server.log().contains("raised in a WebSocket"), "{}", server.log());
    server.stop();
}

#[test]
fn nothing_follows_a_close_frame() {
    let server = serve("pressure_app");
    let mut conn = server.connect();
    handshake_of(&mut conn, "/stuff");
    assert_eq!(conn.reply().unwrap().status, 101);
    server.wait_for("stuffed", 1);
    // 1000, and a message that comes too late.
    conn.send([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8, 0x89, 0x80, 0, 0, 0, 0]);
    server.wait_for("a message was not sent: the client has disconnected", 1);
    let rest = conn.to_end().unwrap();
    let (opcodes, rest) = opcodes(&rest);
    assert_eq!(opcodes.iter().position(|opcode| *opcode == 8), Some(opcodes.len() - 1), "{opcodes:?}");
    assert!(opcodes.len() > 1 && rest.is_empty(), "{} bytes of a frame", rest.len());
    server.stop();
}

#[test]
fn after_a_close_of_the_servers_own_sending_raises_what_it_does_after_the_clients() {
    let mut server = serve("pressure_app");
    let mut socket = connect(&server, "/tick");
    server.signal(Signal::SIGTERM);
    assert_eq!(close_of(&mut socket).0, 1012);
    drop(socket);
    assert_eq!(server.wait_exit().code(), Some(0));
    let log = server.log();
    assert!(log.contains("ticking ended, True") && log.contains("closing ended, True"), "{log}");
}

#[test]
fn a_quick_stop_closes_with_1012() {
    for (interface, app, path) in
        [("asgi", "websocket_app:app", "/wait"), ("rsgi", "rsgi_app:app", "/ws_echo")]
    {
        let mut server = Server::app(app).option("workers", 1).option("interface", interface).start();
        let mut socket = connect(&server, path);
        server.signal(Signal::SIGINT);
        assert_eq!(close_of(&mut socket).0, 1012, "{interface}");
        drop(socket);
        assert_eq!(server.wait_exit().code(), Some(0));
        assert!(!server.log().contains("raised in a WebSocket"), "{}", server.log());
    }
}
