//! The corpus through nginx and haproxy: a request that they did not see must not reach the application, and each response
//! belongs to its request. `cargo xtask strictness` runs this.

use super::{
    corpus::{Case, cases},
    http2::{answered, attacks},
};
use crate::front::Proxy;
use hostler_testkit::{Conn, Reply, Server, directory};
use std::{
    fs,
    io::{Read, Write},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

/// `speaks`: how its clients speak, `http2` or nothing.
fn nginx(server: SocketAddr, speaks: &str) -> Proxy {
    Proxy::nginx(|address| {
        format!(
            "client_max_body_size 0; ignore_invalid_headers off; underscores_in_headers on; merge_slashes off;
            upstream server {{ server {server}; keepalive 4; }}
            server {{
                listen {address} {speaks};
                location / {{
                    proxy_pass http://server; proxy_http_version 1.1; proxy_request_buffering off;
                    proxy_set_header Connection ''; proxy_set_header Host $http_host; proxy_set_header X-Front nginx;
                }}
            }}"
        )
    })
}

/// `speaks`: how its clients speak, and how it speaks to the server: `proto h2` or nothing.
fn haproxy(server: SocketAddr, speaks: [&str; 2]) -> Proxy {
    let [to_clients, to_server] = speaks;
    Proxy::haproxy(|address| {
        format!(
            "defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    http-reuse always
frontend front
    bind {address} {to_clients}
    option accept-invalid-http-request
    http-request set-header x-front haproxy
    default_backend back
backend back
    server one {server} {to_server}
"
        )
    })
}

fn strict_app(seen: &Path) -> Server {
    let app = Server::app("strict:asgi").option("interface", "asgi").option("workers", 1);
    app.env("SEEN", seen.to_str().unwrap()).start()
}

#[test]
#[ignore = "needs nginx and haproxy: cargo xtask strictness"]
fn proxies_and_the_server_agree_on_where_a_message_ends() {
    let fronts: [(&str, &dyn Fn(SocketAddr) -> Proxy); 3] = [
        ("nginx", &|server| nginx(server, "")),
        ("haproxy", &|server| haproxy(server, ["", ""])),
        ("haproxy", &|server| haproxy(server, ["", "proto h2"])),
    ];
    for (name, start) in fronts {
        let dir = directory(&format!("strictness-{name}"));
        let seen = dir.join("seen");
        let server = strict_app(&seen);
        let proxy = start(server.address.unwrap());
        for (number, case) in cases().iter().enumerate() {
            send(proxy.address, case);
            let check = format!("/check-{number}");
            let reply = asked_again(|| Conn::to(proxy.address).try_get(&check, false).unwrap());
            assert_eq!(reply.text(), format!("GET {check} test"), "{name}: after {}", case.name);
        }
        assert!(all_seen(&seen, name) > cases().len(), "{name}: the checks have arrived, and more");
        drop(proxy);
        server.stop();
    }
}

/// HAProxy 2.6 ends its HTTP/2 connection to the server when a response comes on a stream that it has reset a moment ago, which RFC 9113
/// (5.1) wants borne; the request that it has just sent there gets 502.
fn asked_again(ask: impl Fn() -> Reply) -> Reply {
    let mut replies = (0..10).map(|_| ask());
    replies.find(|reply| reply.status != 502).expect("one of ten requests is answered")
}

/// How many requests have reached the application, all of which the proxy has seen.
fn all_seen(seen: &Path, name: &str) -> usize {
    let seen = fs::read_to_string(seen).unwrap();
    let unseen: Vec<&str> =
        seen.lines().filter(|line| !line.starts_with(&format!("front={name} "))).collect();
    assert!(unseen.is_empty(), "{name} has not seen {unseen:#?}");
    seen.lines().count()
}

/// Sends a case and the end of the connection, and reads what comes.
fn send(proxy: SocketAddr, case: &Case) {
    let mut stream = Conn::to(proxy).into_stream();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let _ = stream.write_all(&case.bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

/// In HTTP/2 frames say where a message ends; a proxy that writes HTTP/1 behind it must not let a header say otherwise.
#[test]
#[ignore = "needs nginx and haproxy: cargo xtask strictness"]
fn proxies_that_speak_http_2_and_the_server_agree_on_where_a_message_ends() {
    let fronts: [(&str, &dyn Fn(SocketAddr) -> Proxy); 3] = [
        ("nginx", &|server| nginx(server, "http2")),
        ("haproxy", &|server| haproxy(server, ["proto h2", ""])),
        ("haproxy", &|server| haproxy(server, ["proto h2", "proto h2"])),
    ];
    for (name, start) in fronts {
        let seen = directory(&format!("strictness-h2-{name}")).join("seen");
        let server = strict_app(&seen);
        let proxy = start(server.address.unwrap());
        let mut plain = 0;
        for (number, attack) in attacks().iter().enumerate() {
            plain += usize::from(answered(proxy.address, attack).contains("200"));
            let check = format!("/check-{number}");
            let check = [(":method", "GET"), (":path", &check), (":scheme", "http"), (":authority", "test")];
            let answer =
                answered(proxy.address, &(check.map(|(n, v)| (n.into(), v.into())).to_vec(), Vec::new()));
            let expected = format!("GET /check-{number} test");
            assert!(answer.contains(&expected), "{name}: {answer:?} after {attack:?}");
        }
        assert!(plain > 3, "{name}: what is no attack is answered");
        assert!(all_seen(&seen, name) >= attacks().len());
        drop(proxy);
        server.stop();
    }
}
