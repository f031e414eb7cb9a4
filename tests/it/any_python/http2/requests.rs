//! Requests and their responses.

use super::serve;
use crate::{
    http2_client::Http2,
    support::{connections, is_pattern},
};
use hyper::{Method, header::HeaderValue};

#[test]
fn requests_of_one_connection_are_served_at_the_same_time() {
    let server = serve();
    let client = Http2::to(&server);
    let slow = client.ask("/slow?1");
    let quick: Vec<_> = (0..50).map(|_| client.ask("/pid")).collect();
    for exchange in quick {
        assert_eq!(client.end(exchange).unwrap().status, 200);
    }
    // It has waited for nobody, and nobody for it.
    assert_eq!(client.end(slow).unwrap().text(), "slow answer");
    server.stop();
}

#[test]
fn bodies_of_both_directions_are_complete_whatever_their_size() {
    for interface in ["asgi", "rsgi", "wsgi"] {
        let server = connections(interface).option("workers", 1).start();
        let client = Http2::to(&server);
        for size in [0, 1, 16_384, 70_000, 3_000_000] {
            let reply = client.get(&format!("/bytes?n={size}&pieces=7"));
            assert_eq!(reply.body.len(), size, "{interface}");
            assert!(is_pattern(&reply.body), "{interface}");
            assert_eq!(client.post("/read", vec![b'x'; size]).unwrap().text(), size.to_string());
        }
        server.stop();
    }
}

#[test]
fn trailers_of_an_application_are_sent() {
    let server = serve();
    let client = Http2::to(&server);
    let reply = client.get("/trailers");
    assert!(reply.trailers.is_some_and(|trailers| !trailers.is_empty()));
    server.stop();
}

#[test]
fn head_and_statuses_without_body_have_no_data() {
    let server = serve();
    let client = Http2::to(&server);
    let reply = client.send(client.request(Method::HEAD, "/pid")).unwrap();
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
    let length: usize = reply.headers["content-length"].to_str().unwrap().parse().unwrap();
    assert!(length > 0);
    let reply = client.get("/nocontent");
    assert_eq!((reply.status.as_u16(), reply.body.len()), (204, 0));
    server.stop();
}

#[test]
fn requests_that_contradict_themselves_are_refused() {
    let server = serve();
    let client = Http2::to(&server);
    let with = |name: &'static str, value: &'static str| {
        let mut request = client.request(Method::GET, "/pid");
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        client.send(request)
    };
    assert_eq!(with("host", "other.example").unwrap().status, 400);
    assert_eq!(with("te", "trailers").unwrap().status, 200);
    let connect = client.request(Method::CONNECT, "");
    assert_eq!(client.send(connect).unwrap().status, 501);
    assert_eq!(client.get("/pid").status, 200, "the connection lives on");
    server.stop();
}

#[test]
fn the_log_tells_of_requests_and_not_of_frames() {
    let server = hostler_testkit::Server::app("asgi_app:app")
        .option("workers", 1)
        .option("log-level", "debug")
        .start();
    let client = Http2::to(&server);
    assert_eq!(client.get("/pid").status, 200);
    assert_eq!(client.get("/raise").status, 500);
    drop(client);
    server.wait_for("raised on purpose", 1);
    // h2's own lines.
    for line in ["frame=", "Connection{", "hpack"] {
        assert!(!server.log().contains(line), "{}", server.log());
    }
    server.stop();
}
