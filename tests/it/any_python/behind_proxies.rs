//! Behind nginx and HAProxy: what they say of their clients, by headers and by the PROXY protocol, while workers are replaced.

use crate::{front::Proxy, support::nothing_failed, tls_support::Authority};
use hostler_testkit::{Builder, Conn, Load, Server, directory};
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::{net::SocketAddr, process::Command};

/// nginx that passes everything on as `location` says.
fn start_nginx(location: &str) -> Proxy {
    Proxy::nginx(|address| format!("server {{ listen {address}; location / {{ {location} }} }}"))
}

/// HAProxy with one frontend and one server.
fn start_haproxy(frontend: &str, server: &str) -> Proxy {
    Proxy::haproxy(|address| {
        format!(
            "defaults\n timeout connect 30s\n timeout client 30s\n timeout server 30s\n\
             listen one\n bind {address}\n {frontend}\n server one {server}\n"
        )
    })
}

/// A connection to the proxy from an address that is not trusted.
fn connect(proxy: &Proxy) -> Conn {
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    client.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    client.connect(&proxy.address.into()).unwrap();
    Conn::of(client.into())
}

fn app(interface: &str) -> Builder {
    Server::app(&format!("proxied:{interface}")).option("interface", interface).option("workers", 1)
}

fn seen(conn: &mut Conn, headers: &str) -> Value {
    let reply = conn.request("GET", "/a", headers, b"");
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_slice(&reply.body).unwrap()
}

const FORGED: &str = "x-forwarded-for: 6.6.6.6\r\nforwarded: for=6.6.6.6;proto=https;host=evil.example\r\n\
                      x-forwarded-host: evil.example\r\n";

const OF_NGINX: &str = "proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $http_host; \
                        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; \
                        proxy_set_header X-Forwarded-Proto https; proxy_set_header X-Forwarded-Host \"\"; \
                        proxy_set_header Forwarded \"\";";

#[test]
fn nginx_names_clients_by_headers_over_tcp_and_unix_sockets() {
    for interface in ["asgi", "wsgi", "rsgi"] {
        for unix in [false, true] {
            let socket = directory("nginx-upstream").join("s.sock");
            let app = app(interface);
            let app = if unix { app.option("uds", socket.display()) } else { app };
            let server = app.start();
            let upstream = match unix {
                true => format!("http://unix:{}:", socket.display()),
                false => format!("http://{}", server.address.unwrap()),
            };
            let nginx = start_nginx(&format!("{OF_NGINX} proxy_pass {upstream};"));
            let mut conn = connect(&nginx);
            for headers in ["", FORGED] {
                let seen = seen(&mut conn, headers);
                assert_eq!(seen["client"], "127.0.0.2:0", "{interface} {unix}: {seen}");
                assert_eq!(seen["scheme"], "https");
                assert_eq!(seen["headers"]["host"], "test");
            }
            server.stop();
        }
    }
}

#[test]
fn haproxy_names_clients_by_headers_of_either_kind() {
    let server = app("asgi").start();
    let upstream = server.address.unwrap().to_string();
    let x = "mode http\n option forwardfor\n http-request set-header x-forwarded-proto https\n \
             http-request del-header forwarded\n http-request del-header x-forwarded-host";
    let haproxy = start_haproxy(x, &upstream);
    for headers in ["", FORGED] {
        let seen = seen(&mut connect(&haproxy), headers);
        assert_eq!((&seen["client"], &seen["scheme"]), (&"127.0.0.2:0".into(), &"https".into()), "{seen}");
        assert_eq!(seen["headers"]["host"], "test");
    }
    server.stop();
    let server = app("asgi").option("forwarded-headers", "forwarded").start();
    let upstream = server.address.unwrap().to_string();
    let adds = "mode http\n http-request add-header forwarded \"for=%[src];proto=https\"";
    let haproxy = start_haproxy(adds, &upstream);
    let seen = seen(&mut connect(&haproxy), "x-forwarded-for: 6.6.6.6\r\nforwarded: for=\"6.6.6.6\r\n");
    assert_eq!((&seen["client"], &seen["scheme"]), (&"127.0.0.2:0".into(), &"https".into()), "{seen}");
    assert_eq!(seen["headers"]["host"], "test");
    server.stop();
}

#[test]
fn haproxy_names_clients_by_the_proxy_protocol() {
    for (version, send) in [("v1", "send-proxy"), ("v2", "send-proxy-v2"), ("auto", "send-proxy-v2-ssl-cn")] {
        let server = app("asgi").option("proxy-protocol", version).start();
        let upstream = format!("{} {send}", server.address.unwrap());
        let haproxy = start_haproxy("mode tcp", &upstream);
        let mut conn = connect(&haproxy);
        for _ in 0..2 {
            let seen = seen(&mut conn, FORGED);
            let client = seen["client"].as_str().unwrap();
            assert!(client.starts_with("127.0.0.2:") && !client.ends_with(":0"), "{version}: {seen}");
            assert_eq!(seen["server"], haproxy.address.to_string(), "{version}");
        }
        server.stop();
    }
}

#[test]
fn reloads_behind_proxies_cost_no_request() {
    let server = app("asgi").option("proxy-protocol", "auto").option("proxy-allow-from", "127.0.0.1").start();
    let upstream = format!("{} send-proxy-v2", server.address.unwrap());
    let haproxy = start_haproxy("mode tcp", &upstream);
    let mut idle = connect(&haproxy);
    let before = seen(&mut idle, "")["client"].clone();
    let load = Load::start(haproxy.address, "/a", 4);
    load.wait_for(50);
    for reload in 1..=2 {
        server.signal(Signal::SIGHUP);
        server.wait_for("worker exited", reload);
        load.wait_for(50);
    }
    assert_eq!(seen(&mut idle, "")["client"], before);
    nothing_failed(&load.end());
    server.stop();
}

/// What curl is answered from an address that is not trusted, and the version of HTTP.
fn curled(args: &[&str], url: &str) -> (Value, String) {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "30", "--interface", "127.0.0.2", "-w", "\n%{http_version}"]);
    let output = curl.args(args).arg(url).output().expect("curl, which .ci/run installs");
    let (text, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    let (body, version) = text.rsplit_once('\n').unwrap();
    let body = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text} {errors}"));
    (body, version.to_owned())
}

#[test]
fn the_proxy_protocol_comes_before_tls_and_before_http_2() {
    let authority = Authority::new("proxied-tls");
    let ca = authority.certificate().display().to_string();
    for (version, send) in [("v1", "send-proxy"), ("v2", "send-proxy-v2")] {
        for tls in [true, false] {
            let app = app("asgi").option("proxy-protocol", version);
            let server = if tls { authority.server().serve(app).start() } else { app.start() };
            let haproxy = start_haproxy("mode tcp", &format!("{} {send}", server.address.unwrap()));
            let (scheme, http2) =
                if tls { ("https", "--http2") } else { ("http", "--http2-prior-knowledge") };
            for (http, expected) in [("--http1.1", "1.1"), (http2, "2")] {
                let url = format!("{scheme}://{}/a", haproxy.address);
                let (seen, spoken) = curled(&["--cacert", &ca, http], &url);
                let client = seen["client"].as_str().unwrap();
                assert!(client.starts_with("127.0.0.2:") && !client.ends_with(":0"), "{version}: {seen}");
                assert_eq!(seen["server"], haproxy.address.to_string(), "{version}");
                assert_eq!((seen["scheme"].as_str(), spoken.as_str()), (Some(scheme), expected), "{version}");
            }
            server.stop();
        }
    }
}
