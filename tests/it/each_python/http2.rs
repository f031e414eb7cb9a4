//! HTTP/2 in every interface.

use crate::http2_client::{Exchange, Http2};
use hostler_testkit::Server;
use hyper::{Method, header::HeaderValue};
use serde_json::Value;

fn json(client: &Http2, path: &str) -> Value {
    let mut request = client.request(Method::GET, path);
    for cookie in ["a=1", "b=2"] {
        request.headers_mut().append("cookie", HeaderValue::from_static(cookie));
    }
    serde_json::from_str(client.send(request).unwrap().text()).unwrap()
}

/// Streams of one connection, which the server works on together.
fn echoes_together(client: &Http2) {
    let bodies: Vec<Vec<u8>> =
        (0..40).map(|number| vec![b'a' + number; 3000 * usize::from(number)]).collect();
    let exchanges = bodies.iter().map(|body| {
        let mut exchange = client.begin(client.request(Method::POST, "/echo"), false).unwrap();
        let body = body.clone();
        client.run(async move {
            crate::http2_client::send_all(&mut exchange.sender, body).await.unwrap();
            exchange
        })
    });
    let replies = client.end_all(exchanges.collect());
    for (reply, body) in replies.into_iter().zip(&bodies) {
        assert!(reply.unwrap().body == *body, "the echo of {} bytes", body.len());
    }
}

#[test]
fn asgi_applications_see_http_2() {
    let server = Server::app("asgi_app:app").option("workers", 1).start();
    let client = Http2::to(&server);
    let scope = json(&client, "/scope?q=1");
    assert_eq!(scope["http_version"], "2");
    assert_eq!((scope["scheme"].as_str(), scope["path"].as_str()), (Some("http"), Some("/scope")));
    assert_eq!(scope["query_string"], "q=1");
    let headers: Vec<(String, String)> = serde_json::from_value(scope["headers"].clone()).unwrap();
    let host = server.address.unwrap().to_string();
    assert!(headers.contains(&("host".into(), host)), "{headers:?}");
    assert!(headers.contains(&("cookie".into(), "a=1; b=2".into())), "{headers:?}");
    assert!(headers.iter().all(|(name, _)| !name.starts_with(':')), "{headers:?}");
    echoes_together(&client);
    server.stop();
}

#[test]
fn rsgi_applications_see_http_2() {
    let server = Server::app("rsgi_app:app").option("interface", "rsgi").option("workers", 1).start();
    let client = Http2::to(&server);
    let scope = json(&client, "/scope");
    assert_eq!(scope["http_version"], "2");
    let host = server.address.unwrap().to_string();
    assert_eq!(scope["headers"]["host"], host.as_str());
    assert_eq!(scope["headers"]["cookie"], "a=1; b=2");
    echoes_together(&client);
    server.stop();
}

#[test]
fn wsgi_applications_see_http_2() {
    for threads in [1, 4] {
        let server =
            Server::app("wsgi_app:app").option("workers", 1).option("blocking-threads", threads).start();
        let client = Http2::to(&server);
        let environ = json(&client, "/environ?q=1");
        assert_eq!(environ["SERVER_PROTOCOL"], "HTTP/2");
        assert_eq!(environ["QUERY_STRING"], "q=1");
        assert_eq!(environ["HTTP_HOST"], server.address.unwrap().to_string().as_str());
        assert_eq!(environ["HTTP_COOKIE"], "a=1; b=2");
        assert_eq!(client.get("/write").text(), "written twice and returned");
        echoes_together(&client);
        server.stop();
    }
}

#[test]
fn a_client_that_resets_its_stream_has_disconnected() {
    let server = Server::app("asgi_app:app").option("workers", 1).start();
    let client = Http2::to(&server);
    let mut exchange = client.ask("/disconnect");
    server.wait_until("called", || client.get("/seen").text().contains("disconnects"));
    exchange.sender.send_reset(h2::Reason::CANCEL);
    server.wait_until("told", || client.get("/seen").text().contains("\"disconnects\": 1"));
    server.stop();
}

/// A frame of a WebSocket, up to 125 bytes; a client's are masked, here with zeros.
fn ws_frame(kind: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let mask: &[u8] = if masked { &[0; 4] } else { &[] };
    [&[0x80 | kind, length | if masked { 0x80 } else { 0 }][..], mask, payload].concat()
}

const PING: u8 = 9;
const PONG: u8 = 10;
const CLOSE: u8 = 8;

/// Sends a frame, and returns what comes back.
fn ws_exchange(client: &Http2, socket: &mut Socket, kind: u8, payload: &[u8]) -> Vec<u8> {
    let sent = ws_frame(kind, payload, true);
    let (mut sender, mut body) = socket.take().unwrap();
    let (received, sender, body) = client.run(async move {
        sender.send_data(sent.into(), false).unwrap();
        let received = body.data().await.unwrap().unwrap();
        (received.to_vec(), sender, body)
    });
    *socket = Some((sender, body));
    received
}

/// Whether nothing more comes.
async fn ends(body: &mut h2::RecvStream) -> bool {
    while let Some(Ok(piece)) = body.data().await {
        // The frame that ends a stream.
        if !piece.is_empty() {
            return false;
        }
    }
    true
}

type Socket = Option<(h2::SendStream<bytes::Bytes>, h2::RecvStream)>;

fn ws_open(client: &Http2, path: &str) -> Socket {
    let Exchange { response, sender } = client.websocket(path);
    let response = client.run(response).unwrap();
    assert_eq!(response.status(), 200);
    Some((sender, response.into_body()))
}

fn ws_servers() -> [(&'static str, Server); 2] {
    let asgi = Server::app("websocket_app:app").option("workers", 1).start();
    let rsgi = Server::app("rsgi_app:app").option("interface", "rsgi").option("workers", 1).start();
    [("/echo", asgi), ("/ws_echo", rsgi)]
}

#[test]
fn pings_and_closes_of_websockets_on_streams_are_answered() {
    for (path, server) in ws_servers() {
        let client = Http2::to(&server);
        let mut socket = ws_open(&client, path);
        assert_eq!(ws_exchange(&client, &mut socket, 1, b"text"), ws_frame(1, b"text", false), "{path}");
        assert_eq!(ws_exchange(&client, &mut socket, 2, &[0, 255]), ws_frame(2, &[0, 255], false), "{path}");
        assert_eq!(
            ws_exchange(&client, &mut socket, PING, b"here?"),
            ws_frame(PONG, b"here?", false),
            "{path}"
        );
        // Others on the same connection are their own.
        let mut other = ws_open(&client, path);
        assert_eq!(ws_exchange(&client, &mut other, 1, b"other"), ws_frame(1, b"other", false), "{path}");
        let close = ws_exchange(&client, &mut socket, CLOSE, &1000u16.to_be_bytes());
        assert_eq!(close, ws_frame(CLOSE, &1000u16.to_be_bytes(), false), "{path}");
        // Then the stream ends, and nothing else.
        let (sender, mut body) = socket.take().unwrap();
        assert!(client.run(async move { ends(&mut body).await }), "{path}");
        drop(sender);
        assert_eq!(ws_exchange(&client, &mut other, 1, b"on"), ws_frame(1, b"on", false), "{path}");
        drop(other);
        server.stop();
    }
}

#[test]
fn websockets_on_streams_end_with_a_killed_worker_and_open_anew() {
    for (path, server) in ws_servers() {
        let client = Http2::to(&server);
        let mut socket = ws_open(&client, path);
        assert_eq!(ws_exchange(&client, &mut socket, 1, b"text"), ws_frame(1, b"text", false), "{path}");
        let worker = nix::unistd::Pid::from_raw(server.workers()[0]);
        nix::sys::signal::kill(worker, nix::sys::signal::Signal::SIGKILL).unwrap();
        let (sender, mut body) = socket.take().unwrap();
        assert!(client.run(async move { ends(&mut body).await }), "{path}");
        drop(sender);
        let _ = client.ended();
        server.wait_for("worker ready", 2);
        let client = Http2::to(&server);
        let mut socket = ws_open(&client, path);
        assert_eq!(ws_exchange(&client, &mut socket, 1, b"anew"), ws_frame(1, b"anew", false), "{path}");
        drop(socket);
        server.stop();
    }
}

#[test]
fn websockets_are_served_on_streams() {
    let server = Server::app("websocket_app:app").option("workers", 1).start();
    let client = Http2::to(&server);
    for number in 0..3 {
        let Exchange { response, mut sender } = client.websocket("/echo");
        let text = format!("message {number}");
        let (sent, expected) = (ws_frame(1, text.as_bytes(), true), ws_frame(1, text.as_bytes(), false));
        let (status, served, received) = client.run(async move {
            let response = response.await.unwrap();
            let served = response.headers()["x-served-by"].clone();
            sender.send_data(sent.into(), false).unwrap();
            let status = response.status();
            let received = response.into_body().data().await.unwrap().unwrap();
            (status, served, received)
        });
        assert_eq!((status.as_u16(), served.as_bytes()), (200, &b"echo"[..]));
        assert_eq!(received, expected);
        // The client has dropped its stream, which resets it.
        server.wait_for("disconnected 1006", number + 1);
        assert_eq!(client.get("/").text(), "plain", "other streams go on");
    }
    let denied = client.websocket("/deny");
    assert_eq!(client.end(denied).unwrap().status, 401);
    server.stop();
}

#[test]
fn a_drain_closes_the_websockets_of_streams() {
    let mut server = Server::app("websocket_app:app").option("workers", 1).start();
    let client = Http2::to(&server);
    let Exchange { response, sender } = client.websocket("/echo");
    let mut body = client.run(response).unwrap().into_body();
    server.signal(nix::sys::signal::Signal::SIGTERM);
    let close = client.run(async move { body.data().await.unwrap().unwrap() });
    // 1012: the server restarts.
    assert_eq!((close[0], &close[2..4]), (0x88, &1012u16.to_be_bytes()[..]));
    drop(sender);
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
}
