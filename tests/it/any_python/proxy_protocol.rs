//! The PROXY protocol: what a proxy says of a connection before its first byte.

use crate::{http2_client::Http2, tls_support::Authority};
use hostler_testkit::{Builder, Conn, Server, directory};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
};

const LINE: &str = "PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n";

fn app(version: &str) -> Builder {
    Server::app("proxied:asgi").option("workers", 1).option("proxy-protocol", version)
}

/// A header of version 2, with a TLV.
fn binary(command: u8) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command, 0x11, 0, 18]);
    header.extend([203, 0, 113, 9, 192, 0, 2, 1, 0x12, 0x67, 0x01, 0xbb]);
    header.extend([0x04, 0, 3, b'a', b'b', b'c']);
    header
}

fn seen(conn: &mut Conn, headers: &str) -> (String, String) {
    let reply = conn.request("GET", "/", headers, b"");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen: Value = serde_json::from_slice(&reply.body).unwrap();
    (seen["client"].as_str().unwrap().to_owned(), seen["server"].as_str().unwrap().to_owned())
}

fn named() -> (String, String) {
    ("203.0.113.9:4711".into(), "192.0.2.1:443".into())
}

#[test]
fn both_versions_name_client_and_server_of_all_requests() {
    for (version, header) in [
        ("v1", LINE.as_bytes().to_vec()),
        ("auto", LINE.as_bytes().to_vec()),
        ("v2", binary(1)),
        ("auto", binary(1)),
    ] {
        let server = app(version).start();
        let mut conn = server.connect();
        conn.send(&header);
        assert_eq!(seen(&mut conn, ""), named(), "{version}");
        assert_eq!(seen(&mut conn, ""), named(), "{version}");
        // In one piece with the request, and byte by byte.
        let mut conn = server.connect();
        conn.send([&header[..], b"GET / HTTP/1.1\r\nhost: t\r\n\r\n"].concat());
        assert!(conn.reply().unwrap().text().contains("203.0.113.9:4711"), "{version}");
        let mut conn = server.connect();
        header.iter().for_each(|byte| conn.send([*byte]));
        assert_eq!(seen(&mut conn, ""), named(), "{version}");
        server.stop();
    }
}

#[test]
fn of_the_proxys_own_connections_the_socket_counts() {
    let server = app("auto").start();
    for header in [&b"PROXY UNKNOWN\r\n"[..], &binary(0)] {
        let mut conn = server.connect();
        conn.send(header);
        let (client, address) = seen(&mut conn, "");
        assert!(client.starts_with("127.0.0.1:"), "{client}");
        assert_eq!(address, server.address.unwrap().to_string());
    }
    server.stop();
}

#[test]
fn connections_without_the_header_that_is_expected_are_closed() {
    let server = app("v1").start();
    for wrong in [
        &b"GET / HTTP/1.1\r\nhost: t\r\n\r\n"[..],
        b"PROXY TCP4 1.2.3.4 x 1 2\r\n",
        &binary(1),
        &[b'P'; 4000],
    ] {
        let mut conn = server.connect();
        conn.send(wrong);
        assert!(conn.is_closed(), "{}", String::from_utf8_lossy(wrong));
    }
    let told = "its PROXY header is not as --proxy-protocol expects it peer=\"127.0.0.1\"";
    assert_eq!(server.log().matches(told).count(), 1, "{}", server.log());
    let mut conn = server.connect();
    conn.send(LINE);
    assert_eq!(seen(&mut conn, ""), named());
    server.stop();
}

#[test]
fn a_header_that_does_not_arrive_ends_the_connection() {
    let server = app("v2").option("http1-header-read-timeout", 300).start();
    for begun in [&b""[..], &binary(1)[..20]] {
        let mut conn = server.connect();
        conn.send(begun);
        assert!(conn.is_closed());
    }
    server.stop();
}

#[test]
fn only_peers_in_the_list_send_the_header() {
    let server = app("v1").option("proxy-allow-from", "10.0.0.0/8").start();
    let (client, _) = seen(&mut server.connect(), "");
    assert!(client.starts_with("127.0.0.1:"), "{client}");
    server.wait_for("add it to --proxy-allow-from peer=\"127.0.0.1\"", 1);
    let mut conn = server.connect();
    conn.send(LINE);
    conn.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(conn.reply().unwrap().status, 400);
    server.stop();
}

#[test]
fn forwarded_headers_are_believed_of_the_peer_that_the_header_names() {
    let server = app("v1").option("forwarded-allow-ips", "198.51.100.7").start();
    for (proxy, client) in [("198.51.100.7", "203.0.113.50:0"), ("127.0.0.1", "127.0.0.1:1")] {
        let mut conn = server.connect();
        conn.send(format!("PROXY TCP4 {proxy} 192.0.2.1 1 443\r\n"));
        assert_eq!(seen(&mut conn, "x-forwarded-for: 203.0.113.50\r\n").0, client);
    }
    server.stop();
}

#[test]
fn proxies_that_connect_to_unix_sockets_send_it_too() {
    let socket = directory("proxy-protocol").join("s.sock");
    let server = app("v2").option("uds", socket.display()).start();
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(&binary(1)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains("203.0.113.9:4711"), "{text}");
    server.stop();
}

#[test]
fn the_header_comes_before_tls_and_before_http2() {
    let authority = Authority::new("proxy-protocol-tls");
    let server = authority.server().serve(app("auto")).option("http", "auto").start();
    let mut socket = TcpStream::connect(server.address.unwrap()).unwrap();
    socket.write_all(LINE.as_bytes()).unwrap();
    let mut connection = authority.client().try_over(socket, "localhost").unwrap();
    assert!(connection.get("/").contains("203.0.113.9:4711"));
    // Without one there is no handshake.
    assert!(authority.client().try_connect(server.address.unwrap(), "localhost").is_err());
    server.stop();
    let server = app("v1").start();
    let client = Http2::behind(&server, h2::client::Builder::new(), LINE.as_bytes());
    assert!(client.get("/").text().contains("203.0.113.9:4711"));
    assert!(client.get("/").text().contains("203.0.113.9:4711"));
    server.stop();
}

#[test]
fn the_log_has_the_address_in_the_header() {
    let server = app("v1").start();
    let mut conn = server.connect();
    conn.send(LINE);
    conn.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(conn.reply().unwrap().status, 400);
    server.wait_for("client=\"203.0.113.9:4711\"", 1);
    server.stop();
}

#[test]
fn the_addresses_survive_reloads_and_upgrades() {
    let mut server = app("v1").start();
    let mut idle = server.connect();
    idle.send(LINE);
    assert_eq!(seen(&mut idle, ""), named());
    let mut begun = server.connect();
    begun.send(format!("{LINE}GET / HTTP/1.1\r\nho"));
    server.signal(Signal::SIGHUP);
    server.wait_for("worker exited", 1);
    assert_eq!(seen(&mut idle, ""), named());
    begun.send("st: t\r\n\r\n");
    assert!(begun.reply().unwrap().text().contains("203.0.113.9:4711"));
    server.signal(Signal::SIGUSR2);
    assert_eq!(server.wait_exit_of_master().code(), Some(0), "{}", server.log());
    assert_eq!(seen(&mut idle, ""), named());
}

#[test]
fn a_stop_does_not_wait_for_headers() {
    let server = app("v1").start();
    let mut silent = server.connect();
    let mut served = server.connect();
    served.send(LINE);
    assert_eq!(seen(&mut served, ""), named());
    server.stop();
    assert!(silent.is_closed());
}
