//! Protocols that follow requests to native services: WebSockets of axum over HTTP/1, TLS and HTTP/2, and others that begin
//! with an upgrade.

use super::http::endings::{SLOWLY_READ, narrow, read_slowly};
use crate::{
    access_file::objects,
    http2_client::{Exchange, Http2},
    tls_support::Authority,
};
use hostler_testkit::{Builder, Conn, LIMIT, Server, directory, proc, root};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};
use tungstenite::{Message, WebSocket, client::IntoClientRequest, protocol::CloseFrame};

const ASK: &str = "GET /raw HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: raw\r\n\r\n";

fn service() -> Builder {
    Server::program(env!("CARGO_BIN_EXE_native_upgrades").into()).option("workers", 1)
}

fn websocket(server: &Server, path: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(server.address.unwrap()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    over(stream, server, path)
}

fn over<S: Read + Write>(stream: S, server: &Server, path: &str) -> WebSocket<S> {
    let request = format!("ws://{}{path}", server.address.unwrap()).into_client_request().unwrap();
    tungstenite::client(request, stream).map_err(|error| error.to_string()).expect("a handshake").0
}

fn echoes<S: Read + Write>(socket: &mut WebSocket<S>, text: &str) {
    socket.send(Message::text(text)).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text(text));
}

/// The code of the server's close frame, after which it closes the connection.
fn close_of<S: Read + Write>(socket: &mut WebSocket<S>) -> u16 {
    let code = loop {
        match socket.read() {
            Ok(Message::Close(Some(CloseFrame { code, .. }))) => break code.into(),
            Ok(_) => {}
            Err(error) => panic!("no close frame: {error}"),
        }
    };
    assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
    code
}

/// Asks for another protocol.
fn upgraded(server: &Server, path: &str) -> Conn {
    let mut conn = server.connect();
    conn.send(ASK.replace("/raw", path));
    assert_eq!(conn.reply().unwrap().status, 101);
    conn
}

#[test]
fn the_example_echoes_and_says_goodbye() {
    let mut server = Server::program(root().join("target/release/axum-websocket")).start();
    let mut socket = websocket(&server, "/echo");
    echoes(&mut socket, "hello");
    echoes(&mut socket, &"long ".repeat(300_000));
    socket.send(Message::binary(vec![7; 70_000])).unwrap();
    assert_eq!(socket.read().unwrap(), Message::binary(vec![7; 70_000]));
    socket.send(Message::Ping("are you there".into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong("are you there".into()));
    let code = CloseFrame { code: 1000.into(), reason: "done".into() };
    socket.close(Some(code)).unwrap();
    assert_eq!(close_of(&mut socket), 1000);
    let mut open = websocket(&server, "/echo");
    echoes(&mut open, "before the stop");
    server.signal(Signal::SIGTERM);
    assert_eq!(close_of(&mut open), 1012);
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(!server.log().contains("graceful timeout"), "{}", server.log());
}

#[test]
fn a_websocket_goes_on_while_its_worker_is_replaced_and_ends_in_time() {
    let server = service().env("GRACE_SECONDS", "5").start();
    let mut socket = websocket(&server, "/goodbye");
    echoes(&mut socket, "before");
    let old = server.workers();
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    // Longer than a request may take.
    echoes(&mut socket, "meanwhile");
    assert_eq!(close_of(&mut socket), 1012);
    drop(socket);
    server.wait_for("goodbye was said", 1);
    server.wait_for("worker exited", 1);
    assert!(!server.log().contains("graceful timeout"), "{}", server.log());
    assert_ne!(server.workers(), old);
    echoes(&mut websocket(&server, "/goodbye"), "after");
    server.stop();
}

#[test]
fn a_protocol_that_does_not_end_by_itself_is_ended_before_a_stop_is_late() {
    let mut server = service().start();
    let mut deaf = websocket(&server, "/deaf");
    let client = Http2::to(&server);
    let mut on_streams = client.websocket("/deaf");
    server.wait_for("a WebSocket is not read", 2);
    let began = Instant::now();
    server.signal(Signal::SIGTERM);
    assert!(deaf.read().is_err());
    let _ = on_streams.sender.send_data("x".into(), true);
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(20), "as long as the graceful timeout");
    assert!(!server.log().contains("graceful timeout"), "{}", server.log());
}

#[test]
fn a_killed_worker_ends_its_websockets_and_no_others_have_to_wait() {
    let server = service().start();
    let mut socket = websocket(&server, "/echo");
    echoes(&mut socket, "before");
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).unwrap();
    assert!(socket.read().is_err());
    server.wait_for("worker ready", 2);
    echoes(&mut websocket(&server, "/echo"), "after");
    server.stop();
}

#[test]
fn websockets_over_tls() {
    let authority = Authority::new("native-upgrades-tls");
    let files = authority.server();
    let file = directory("native-upgrades-tls-access").join("access");
    let server = service()
        .env("TLS_CERTIFICATE", files.certificate.to_str().unwrap())
        .env("TLS_KEY", files.key.to_str().unwrap())
        .env("ACCESS_LOG", file.to_str().unwrap())
        .start();
    let mut socket = over(authority.client().connect(&server).stream, &server, "/echo");
    echoes(&mut socket, "hello");
    echoes(&mut socket, &"long ".repeat(300_000));
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    server.wait_for("the echo has ended", 1);
    drop(socket);
    // Frames of WebSocket, and nothing of TLS.
    let frames = (2 + 5) + (10 + 1_500_000) + 2;
    let line = &objects(&server, &file, 1)[0];
    assert_eq!((&line["bytes"], &line["complete"]), (&frames.into(), &true.into()), "{line}");
    server.stop();
}

#[test]
fn websockets_on_streams_of_http_2() {
    let file = directory("native-upgrades-http2").join("access");
    let server = service().env("ACCESS_LOG", file.to_str().unwrap()).start();
    let client = Http2::to(&server);
    let received = client.echo("/echo");
    assert_eq!(received, b"\x81\x02hi\x88\x02\x03\xe8");
    let line = &objects(&server, &file, 1)[0];
    assert_eq!((&line["method"], &line["path"]), (&"CONNECT".into(), &"/echo".into()));
    assert_eq!((&line["status"], &line["bytes"]), (&200.into(), &received.len().into()));
    assert_eq!(line["complete"], true, "{line}");
    // The connection goes on.
    assert_eq!(client.get("/pid").status, 200);
    // One that has no WebSocket.
    let refused = client.websocket("/refuse");
    assert_eq!(client.end(refused).unwrap().text(), "another time");
    server.wait_for("refused: ", 1);
    server.stop();
}

#[test]
fn a_stop_closes_websockets_on_streams() {
    let mut server = service().start();
    let client = Http2::to(&server);
    let Exchange { response, mut sender } = client.websocket("/goodbye");
    let mut body = client.run(async move { response.await.unwrap().into_body() });
    server.signal(Signal::SIGTERM);
    let received = client.run(async move {
        let mut received = Vec::new();
        while received.len() < 4 {
            received.extend_from_slice(&body.data().await.unwrap().unwrap());
        }
        sender.send_data(b"\x88\x82\0\0\0\0\x03\xf4".as_slice().into(), true).unwrap();
        while let Some(Ok(more)) = body.data().await {
            received.extend_from_slice(&more);
        }
        received
    });
    assert_eq!(&received[..4], [0x88, 9, 0x03, 0xf4]);
    server.wait_for("goodbye was said", 1);
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(!server.log().contains("graceful timeout"), "{}", server.log());
}

#[test]
fn bytes_that_come_with_the_request_belong_to_the_protocol() {
    let file = directory("native-upgrades-ahead").join("access");
    let server = service().env("ACCESS_LOG", file.to_str().unwrap()).start();
    let mut conn = server.connect();
    conn.send(format!("{ASK}\0\x01GET no more"));
    assert_eq!(conn.reply().unwrap().status, 101);
    assert_eq!(conn.exactly(13).unwrap(), b"\0\x01GET no more");
    // Half-closed: what the service says after that still arrives.
    conn.finish();
    assert_eq!(conn.to_end().unwrap(), b"bye");
    server.wait_for("the client sends no more", 1);
    let line = &objects(&server, &file, 1)[0];
    assert_eq!((&line["status"], &line["bytes"]), (&101.into(), &16.into()), "{line}");
    assert_eq!(line["complete"], true, "{line}");
    server.stop();
}

#[test]
fn a_service_may_speak_from_another_thread() {
    let server = service().start();
    let mut socket = websocket(&server, "/thread");
    echoes(&mut socket, "hello");
    echoes(&mut socket, &"long ".repeat(300_000));
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    server.wait_for("the thread has ended", 1);
    server.stop();
}

#[test]
fn a_client_that_does_not_read_makes_the_service_wait() {
    let server = service().start();
    let worker = server.workers()[0];
    let before = proc::sockets(worker);
    let mut conn = upgraded(&server, "/flood");
    server.wait_for("flooded 1 MiB", 1);
    // It goes on as the client reads.
    conn.exactly(30 << 20).unwrap();
    server.wait_for("flooded 29 MiB", 1);
    assert!(!server.log().contains("flooded 60 MiB"), "the socket's buffers are smaller");
    drop(conn);
    server.wait_for("the flood has ended", 1);
    server.wait_until("closed", || proc::sockets(worker) == before);
    server.stop();
}

#[test]
fn a_stream_whose_client_makes_no_room_makes_the_service_wait() {
    let server = service().start();
    let client = Http2::to(&server);
    let Exchange { response, sender } = client.websocket("/pour");
    server.wait_for("poured 2 messages", 1);
    let body = client.run(async move {
        let mut body = response.await.unwrap().into_body();
        let mut received = 0;
        while received < 5 << 20 {
            let piece = body.data().await.unwrap().unwrap();
            body.flow_control().release_capacity(piece.len()).unwrap();
            received += piece.len();
        }
        body
    });
    server.wait_for("poured 80 messages", 1);
    assert!(!server.log().contains("poured 120 messages"), "{} lines", server.log().lines().count());
    drop((body, sender));
    server.wait_for("the pouring has ended", 1);
    assert_eq!(client.get("/pid").status, 200);
    server.stop();
}

#[test]
fn what_a_service_says_last_arrives_though_more_was_sent_to_it() {
    let server = service().start();
    let worker = server.workers()[0];
    let before = proc::sockets(worker);
    let mut conn = upgraded(&server, "/last");
    conn.send([b'c'; 10_000]);
    server.wait_for("it was said", 1);
    conn.send([b'c'; 10_000]);
    let said = conn.to_end().expect("no reset");
    assert!(said.len() == 1_000_000 && said.iter().all(|byte| *byte == b'w'), "{} bytes", said.len());
    drop(conn);
    server.wait_until("closed", || proc::sockets(worker) == before);
    server.stop();
}

#[test]
fn what_a_service_says_last_arrives_at_a_client_that_reads_slowly_and_sends() {
    let file = directory("native-upgrades-slow").join("access");
    let server = service().env("ACCESS_LOG", file.to_str().unwrap()).start();
    let mut stream = narrow(&server);
    stream.write_all(ASK.replace("/raw", "/speech").as_bytes()).unwrap();
    read_slowly(stream, "a speech", |stream, _| stream.write_all(b"p").expect("it is not reset"));
    server.wait_for("the speech was held", 1);
    let line = &objects(&server, &file, 1)[0];
    assert_eq!((&line["status"], &line["bytes"]), (&101.into(), &SLOWLY_READ.into()), "{line}");
    server.stop();
}

#[test]
fn a_stop_does_not_cut_a_service_that_speaks() {
    let mut server = service().start();
    let mut stream = narrow(&server);
    stream.write_all(ASK.replace("/raw", "/speech").as_bytes()).unwrap();
    let mut is_told = false;
    read_slowly(stream, "a speech", |_, _| {
        if !std::mem::replace(&mut is_told, true) {
            server.signal(Signal::SIGTERM);
        }
    });
    server.wait_for("the speech was held", 1);
    assert_eq!(server.wait_exit().code(), Some(0));
}

/// The head of a request with a body, whose framing these fields say.
fn with_body(path: &str, fields: &str) -> String {
    let head = ASK.replace("GET", "POST").replace("/raw", path);
    format!("{}\r\n{fields}\r\n\r\n", head.trim_end())
}

#[test]
fn a_protocol_begins_behind_the_content_of_its_request() {
    let file = directory("native-upgrades-content").join("access");
    let server = service().env("ACCESS_LOG", file.to_str().unwrap()).start();
    let (length, chunked) = ("content-length: 400000", "transfer-encoding: chunked");
    let (long, chunks) = ("B".repeat(400_000), "5\r\nhello\r\n".repeat(40_000) + "0\r\n\r\n");
    let mut count = 0;
    for path in ["/raw", "/read"] {
        for (fields, content) in [
            ("content-length: 5", "hello"),
            (length, &*long),
            (chunked, "5\r\nhello\r\n0\r\n\r\n"),
            (chunked, &*chunks),
        ] {
            // In one piece, and with a pause that the server has noticed.
            for sent_first in [content.len(), content.len() / 2, 0] {
                let mut conn = server.connect();
                let reads_first = path == "/read";
                conn.send(format!("{}{}", with_body(path, fields), &content[..sent_first]));
                if !reads_first {
                    assert_eq!(conn.reply().unwrap().status, 101);
                }
                conn.send(format!("{}AFTER", &content[sent_first..]));
                if reads_first {
                    assert_eq!(conn.reply().unwrap().status, 101);
                }
                assert_eq!(conn.exactly(5).unwrap(), b"AFTER", "{path} {fields} {sent_first}");
                conn.finish();
                assert_eq!(conn.to_end().unwrap(), b"bye");
                count += 1;
                let line = &objects(&server, &file, count)[count - 1];
                assert_eq!((&line["status"], &line["bytes"]), (&101.into(), &8.into()), "{line}");
                assert_eq!(line["complete"], true, "{line}");
            }
        }
    }
    // Malformed content is no protocol's beginning.
    let mut conn = server.connect();
    conn.send(format!("{}5\r\nhel", with_body("/raw", chunked)));
    assert_eq!(conn.reply().unwrap().status, 101);
    conn.send("loXX\r\nAFTER");
    assert!(conn.is_closed());
    server.stop();
}

#[test]
fn a_client_that_expects_to_be_told_sends_its_content_before_the_protocol_begins() {
    let server = service().start();
    for path in ["/raw", "/read"] {
        let mut conn = server.connect();
        conn.send(with_body(path, "content-length: 5\r\nexpect: 100-continue"));
        let told = b"HTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(conn.exactly(told.len()).unwrap(), told, "{path}");
        conn.send("helloAFTER");
        assert_eq!(conn.reply().unwrap().status, 101);
        assert_eq!(conn.exactly(5).unwrap(), b"AFTER", "{path}");
    }
    server.stop();
}

#[test]
fn a_client_of_http_2_that_was_given_all_has_not_left() {
    let file = directory("native-upgrades-given").join("access");
    let server = service().env("ACCESS_LOG", file.to_str().unwrap()).start();
    let client = Http2::to(&server);
    let Exchange { response, sender } = client.websocket("/speech");
    let received = client.run(async move {
        let mut body = response.await.unwrap().into_body();
        let mut received = 0;
        while let Some(piece) = body.data().await {
            received += piece.as_ref().unwrap().len();
            body.flow_control().release_capacity(piece.unwrap().len()).unwrap();
        }
        received
    });
    assert_eq!(received, SLOWLY_READ);
    // It has not ended its side, and breaks the connection.
    drop((sender, client));
    let line = &objects(&server, &file, 1)[0];
    assert_eq!((&line["status"], &line["bytes"]), (&200.into(), &SLOWLY_READ.into()), "{line}");
    assert_eq!((&line["complete"], &line["client_left"]), (&true.into(), &false.into()), "{line}");
    server.stop();
}

#[test]
fn clients_that_break_off_leave_nothing_behind() {
    let server = service().start();
    let worker = server.workers()[0];
    let before = proc::sockets(worker);
    for _ in 0..50 {
        drop(websocket(&server, "/echo"));
        drop(upgraded(&server, "/raw"));
        let mut early = server.connect();
        early.send(ASK);
    }
    server.wait_for("the echo has ended", 50);
    server.wait_until("closed", || proc::sockets(worker) == before);
    assert_eq!(server.connect().get("/pid").text(), worker.to_string());
    server.stop();
}

#[test]
fn a_protocol_that_blocks_its_worker_is_noticed() {
    let server = service().start();
    let mut conn = upgraded(&server, "/block");
    server.wait_for("worker is stuck", 1);
    server.wait_for("worker ready", 2);
    assert!(conn.is_closed());
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}

#[test]
fn a_request_that_no_other_protocol_follows_is_as_any_other() {
    let server = service().start();
    let mut conn = server.connect();
    for _ in 0..2 {
        conn.send(ASK.replace("/raw", "/refuse"));
        assert_eq!(conn.reply().unwrap().text(), "another time");
    }
    server.wait_for("refused: ", 2);
    // One that is promised and not kept.
    let mut forgotten = upgraded(&server, "/forget");
    assert!(forgotten.is_closed());
    assert_eq!(conn.get("/pid").status, 200);
    server.stop();
}

#[test]
fn a_101_that_nothing_may_follow_is_an_error_of_the_service() {
    let server = service().start();
    let mut conn = server.connect();
    conn.send("GET /forget HTTP/1.1\r\nhost: t\r\n\r\nGET /pid HTTP/1.1\r\nhost: t\r\n\r\n");
    assert!(conn.is_closed());
    // Of HTTP/2 one stream is lost, not the connection.
    let client = Http2::to(&server);
    assert!(client.end(client.ask("/forget")).unwrap_err().is_reset());
    assert!(client.end(client.websocket("/forget")).unwrap_err().is_reset());
    assert_eq!(client.get("/pid").status, 200);
    server.wait_for("it responded 101 (Switching Protocols), which this request does not allow for", 3);
    server.stop();
}

#[test]
fn a_worker_that_is_stuck_and_killed_names_the_protocols_that_were_spoken() {
    let server = service().option("stall-timeout", 1).start();
    let _raw = upgraded(&server, "/raw?secret");
    let mut socket = websocket(&server, "/echo");
    echoes(&mut socket, "hello");
    let client = Http2::to(&server);
    let _stream = client.websocket("/deaf");
    server.wait_for("a WebSocket is not read", 1);
    let worker = server.workers()[0];
    kill(Pid::from_raw(worker), Signal::SIGSTOP).unwrap();
    server.wait_for("worker is stuck: it is replaced and terminated", 1);
    server.wait_for("session in a worker that is stuck", 3);
    kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    server.wait_for("session lost: its worker has exited", 3);
    let log = server.log();
    assert!(log.lines().any(|line| line.contains("worker is stuck") && line.contains("sessions=3")), "{log}");
    for event in ["session in a worker that is stuck", "session lost: its worker has exited"] {
        for session in ["method=\"GET\" path=\"/raw\"", "path=\"/echo\"", "method=\"CONNECT\" path=\"/deaf\""]
        {
            let named = |line: &&str| line.contains(event) && line.contains(session);
            assert_eq!(log.lines().filter(named).count(), 1, "{event} {session}: {log}");
        }
    }
    server.stop();
}

#[test]
fn a_quick_stop_names_the_protocols_that_it_cuts() {
    let mut server = service().start();
    let client = Http2::to(&server);
    let _stream = client.websocket("/deaf");
    server.wait_for("a WebSocket is not read", 1);
    server.signal(Signal::SIGINT);
    server.wait_exit();
    let log = server.log();
    let cut = "told to exit at once: sessions are cut";
    assert!(log.lines().any(|line| line.contains(cut) && line.contains("sessions=1")), "{log}");
    let named = "session cut: the worker was told to exit at once";
    assert_eq!(log.lines().filter(|line| line.contains(named) && line.contains("/deaf")).count(), 1, "{log}");
    assert!(!log.contains("no request is in flight"), "{log}");
}
