//! Native services over HTTP/2.

use crate::http2_client::Http2;
use hostler_testkit::{Builder, Server};
use hyper::{HeaderMap, Method};

fn strict() -> Builder {
    Server::program(env!("CARGO_BIN_EXE_strict_native").into())
}

#[test]
fn a_native_service_gets_bodies_and_trailers_and_sends_them() {
    let server = strict().start();
    let client = Http2::to(&server);
    let host = server.address.unwrap();
    assert_eq!(client.get("/a?b").text(), format!("GET /a?b {host}"));
    let reply = client.post("/read", b"hello".to_vec()).unwrap();
    assert_eq!(reply.text(), format!("POST /read {host} hello"));
    let mut exchange = client.begin(client.request(Method::POST, "/trailers"), false).unwrap();
    exchange.sender.send_data("body".into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "abc".parse().unwrap());
    // What must not be one is dropped.
    trailers.insert("content-length", "7".parse().unwrap());
    exchange.sender.send_trailers(trailers).unwrap();
    let reply = client.end(exchange).unwrap();
    assert_eq!(reply.text(), format!("POST /trailers {host} body and 1 trailers"));
    let trailers = reply.trailers.as_ref().expect("trailers");
    assert_eq!(
        (trailers.len(), trailers["x-length"].to_str().unwrap()),
        (1, reply.text().len().to_string().as_str())
    );
    server.stop();
}

#[test]
fn a_native_service_that_panics_or_is_late_loses_one_stream() {
    let server = Server::program(env!("CARGO_BIN_EXE_native_app").into()).start();
    let client = Http2::to(&server);
    let late = client.ask("/wait");
    assert_eq!(client.get("/pid").status, 200);
    assert!(client.send(client.request(Method::GET, "/panic")).is_err_and(|error| error.is_reset()));
    assert_eq!(client.end(late).unwrap().status, 504);
    assert_eq!(client.get("/pid").status, 200, "the connection goes on");
    server.stop();
}
