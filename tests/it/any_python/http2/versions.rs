//! Which version of HTTP a connection speaks.

use super::serve;
use crate::{http2_client::Http2, support::connections, tls_support::Authority};
use hostler_testkit::Server;
use std::process::Command;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[test]
fn both_versions_are_served_on_one_address() {
    let server = serve();
    let client = Http2::to(&server);
    let mut conn = server.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/pid").text(), conn.get("/pid").text());
    }
    server.stop();
}

#[test]
fn a_preface_in_single_bytes_is_recognised() {
    let server = serve();
    let mut conn = server.connect();
    for byte in PREFACE {
        conn.send([*byte]);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let settings = conn.exactly(9).unwrap();
    assert_eq!(settings[3], 4, "{settings:?}");
    // What begins like a preface and is none is HTTP/1.
    let mut conn = server.connect();
    conn.send("P");
    conn.send("OST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\nhi");
    assert_eq!(conn.reply().unwrap().text(), "hi");
    server.stop();
}

#[test]
fn a_version_that_is_not_served_is_refused() {
    let server = Server::app("asgi_app:app").option("workers", 1).option("http", 2).start();
    assert_eq!(Http2::to(&server).get("/echo").status, 200);
    let mut conn = server.connect();
    let reply = conn.get("/echo");
    assert_eq!((reply.status, reply.text()), (505, "only HTTP/2 is spoken here (--http)".to_owned()));
    assert!(conn.is_closed());
    server.stop();
    let server = Server::app("asgi_app:app").option("workers", 1).option("http", 1).start();
    let mut conn = server.connect();
    conn.send(PREFACE);
    assert!(conn.to_end().is_ok_and(|rest| !rest.starts_with(b"\0")), "HTTP/2 frames");
    assert_eq!(server.connect().get("/echo").status, 200);
    server.stop();
}

#[test]
fn clients_choose_the_version_in_the_handshake_of_tls() {
    let authority = Authority::new("http2-alpn");
    let (ca, files) = (authority.certificate(), authority.server());
    let ask = |server: &Server, version: &str| {
        let url = format!("https://127.0.0.1:{}/bytes?n=300000", server.address.unwrap().port());
        let asked = ["-s", "--cacert", ca.to_str().unwrap(), version, "-o", "/dev/null", "-w"];
        let outcome = "%{http_version} %{response_code} %{size_download}";
        let output = Command::new("curl").args(asked).arg(outcome).arg(url).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let server = files.serve(connections("asgi")).option("workers", 1).start();
    assert_eq!(ask(&server, "--http2"), "2 200 300000");
    assert_eq!(ask(&server, "--http1.1"), "1.1 200 300000");
    server.stop();
    let server = files.serve(connections("asgi")).option("workers", 1).option("http", 1).start();
    assert_eq!(ask(&server, "--http2"), "1.1 200 300000");
    server.stop();
}
