//! What applications learn of a request behind a proxy: client, scheme, host and root path, the same by every interface.

use crate::http2_client::Http2;
use hostler_testkit::{Builder, Conn, Server, directory};
use hyper::{Method, header::HeaderValue};
use serde_json::Value;
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

const INTERFACES: [&str; 3] = ["asgi", "wsgi", "rsgi"];

fn app(interface: &str) -> Builder {
    Server::app(&format!("proxied:{interface}")).option("interface", interface).option("workers", 1)
}

fn ask(conn: &mut Conn, path: &str, headers: &str) -> Value {
    let reply = conn.request("GET", path, headers, b"");
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_slice(&reply.body).unwrap()
}

fn asked(server: &Server, path: &str, headers: &str) -> Value {
    ask(&mut server.connect(), path, headers)
}

const OF_PROXY: &str = "x-forwarded-for: 6.6.6.6, 203.0.113.9:4711\r\nx-forwarded-proto: https\r\n\
                        x-forwarded-host: shop.example:8443\r\n";

#[test]
fn interfaces_agree_on_what_a_trusted_proxy_says() {
    for interface in INTERFACES {
        let server = app(interface).start();
        let mut conn = server.connect();
        let of_rfc =
            "forwarded: for=6.6.6.6, for=\"203.0.113.9:4711\";proto=https;host=\"shop.example:8443\"\r\n";
        for headers in [OF_PROXY, of_rfc] {
            let seen = ask(&mut conn, "/a", headers);
            assert_eq!(seen["client"], "203.0.113.9:4711", "{interface}");
            assert_eq!(seen["scheme"], "https", "{interface}");
            assert_eq!(seen["server"], "shop.example:8443", "{interface}");
            assert_eq!(seen["headers"]["host"], "shop.example:8443", "{interface}");
        }
        let seen = ask(&mut conn, "/a", "x-forwarded-for: 2001:db8::7\r\nx-forwarded-port: 81\r\n");
        let client = if interface == "rsgi" { "[2001:db8::7]:0" } else { "2001:db8::7:0" };
        assert_eq!((&seen["client"], &seen["server"]), (&client.into(), &"test:81".into()), "{interface}");
        // The next request of the connection has nothing of it.
        let seen = ask(&mut conn, "/a", "");
        let address = server.address.unwrap().to_string();
        assert!(seen["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{seen}");
        assert_eq!((&seen["server"], &seen["scheme"]), (&address.into(), &"http".into()), "{interface}");
        assert_eq!(seen["headers"]["host"], "test");
        server.stop();
    }
}

#[test]
fn what_is_no_address_is_ignored() {
    let server = app("wsgi").start();
    for header in
        ["x-forwarded-for: unknown", "forwarded: for=_hidden", "forwarded: for=", "x-forwarded-host: a/b"]
    {
        let seen = asked(&server, "/", &format!("{header}\r\n"));
        assert!(seen["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{header}: {seen}");
        assert_eq!(seen["headers"]["host"], "test", "{header}");
    }
    server.stop();
}

#[test]
fn a_proxy_that_is_not_trusted_is_not_believed_and_named_in_the_log_once() {
    for (interface, env) in [("asgi", true), ("wsgi", false)] {
        let app = app(interface);
        let app = match env {
            true => app.env("FORWARDED_ALLOW_IPS", "10.0.0.0/8, unix:"),
            false => app.option("forwarded-allow-ips", "10.0.0.0/8").option("forwarded-allow-ips", "::1"),
        };
        let server = app.start();
        for _ in 0..3 {
            let seen = asked(&server, "/", OF_PROXY);
            assert!(seen["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{seen}");
            assert_eq!((&seen["scheme"], &seen["headers"]["host"]), (&"http".into(), &"test".into()));
        }
        let told = server.log().matches("add it to --forwarded-allow-ips peer=\"127.0.0.1\"").count();
        assert_eq!(told, 1, "{}", server.log());
        server.stop();
    }
}

#[test]
fn without_proxy_headers_none_is_believed_and_nothing_is_said() {
    let server = app("asgi").arg("--no-proxy-headers").start();
    let seen = asked(&server, "/", OF_PROXY);
    assert!(seen["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{seen}");
    assert!(!server.log().contains("--forwarded-allow-ips"), "{}", server.log());
    server.stop();
}

#[test]
fn proxies_that_connect_to_unix_sockets_are_trusted() {
    for (interface, client) in
        [("asgi", "203.0.113.9:4711"), ("wsgi", "203.0.113.9:4711"), ("rsgi", "203.0.113.9:4711")]
    {
        let socket = directory("proxied").join("s.sock");
        let server = app(interface).option("uds", socket.display()).start();
        let mut stream = UnixStream::connect(&socket).unwrap();
        let request = format!("GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{OF_PROXY}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let seen: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!((&seen["client"], &seen["scheme"]), (&client.into(), &"https".into()), "{interface}");
        server.stop();
    }
}

#[test]
fn a_websocket_has_what_its_proxy_says() {
    let server = app("asgi").start();
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let seen = asked(&server, "/", &format!("{upgrade}{OF_PROXY}"));
    assert_eq!((&seen["client"], &seen["scheme"]), (&"203.0.113.9:4711".into(), &"wss".into()));
    assert_eq!(asked(&server, "/", upgrade)["scheme"], "ws");
    server.stop();
}

#[test]
fn reports_of_the_log_name_the_client_that_the_proxy_told() {
    let server = app("asgi").option("stall-timeout", "1").start();
    server.connect().send(format!("GET /block HTTP/1.1\r\nhost: t\r\n{OF_PROXY}\r\n"));
    server.wait_for("worker is stuck", 1);
    assert!(server.log().contains("203.0.113.9:4711"), "{}", server.log());
    server.wait_for("worker ready", 2);
    server.stop();
}

#[test]
fn headers_with_underscores_do_not_reach_applications_unless_they_are_let() {
    let sent = "x_user: root\r\nx-user: me\r\nremote_user: proxy\r\nremote-user: client\r\n";
    for interface in INTERFACES {
        let drop = app(interface).start();
        for _ in 0..2 {
            let seen = asked(&drop, "/", sent);
            assert_eq!(seen["headers"]["x-user"], "me", "{interface}");
            assert_eq!(seen["headers"].get("x_user"), None, "{interface}");
            assert_eq!(seen["headers"]["remote-user"], "client", "{interface}");
        }
        for header in ["x_user", "remote_user"] {
            let told = drop.log().matches(&format!("header=\"{header}\"")).count();
            assert_eq!(told, 1, "{header}: {}", drop.log());
        }
        drop.stop();

        let refuse = app(interface).option("header-map", "refuse").start();
        assert_eq!(refuse.connect().request("GET", "/", sent, b"").status, 400, "{interface}");
        assert_eq!(refuse.connect().get("/").status, 200, "{interface}");
        refuse.stop();

        let named = app(interface).option("forwarder-headers", "REMOTE_USER,SCRIPT_NAME").start();
        let seen = asked(&named, "/", sent);
        let name = if interface == "wsgi" { "remote-user" } else { "remote_user" };
        assert_eq!(seen["headers"][name], "proxy", "{interface}: {seen}");
        assert_eq!(seen["headers"]["x-user"], "me", "{interface}");
        named.stop();

        let dangerous = app(interface).option("header-map", "dangerous").start();
        let seen = asked(&dangerous, "/", "x-user: me\r\nx_user: root\r\n");
        let both = if interface == "wsgi" { "x-user" } else { "x_user" };
        assert_eq!(
            seen["headers"][both],
            if interface == "wsgi" { "me,root" } else { "root" },
            "{interface}"
        );
        dangerous.stop();
    }
}

#[test]
fn the_root_path_is_part_of_the_path_whether_or_not_the_proxy_removes_it() {
    for interface in INTERFACES {
        let server = app(interface).option("root-path", "/my shop/").start();
        for path in ["/items/%C3%BC", "/my%20shop/items/%C3%BC"] {
            let seen = asked(&server, path, "");
            match interface {
                "asgi" => {
                    assert_eq!(seen["root_path"], "/my shop");
                    assert_eq!(seen["path"], "/my shop/items/ü");
                    assert_eq!(seen["raw_path"], "/my%20shop/items/%C3%BC");
                }
                "wsgi" => {
                    assert_eq!(seen["root_path"], "/my shop");
                    assert_eq!(seen["path"], "/my shop/items/\u{c3}\u{bc}");
                }
                // RSGI has no root path.
                _ => assert!(seen["path"].as_str().unwrap().ends_with("/items/ü")),
            }
        }
        server.stop();
    }
}

#[test]
fn script_name_of_a_trusted_proxy_is_the_root_path_of_its_request() {
    for interface in ["asgi", "wsgi"] {
        let server = app(interface).option("url-path-prefix", "/other").start();
        let mut conn = server.connect();
        let seen = ask(&mut conn, "/shop/items", "SCRIPT_NAME: /shop\r\n");
        assert_eq!(
            (&seen["root_path"], &seen["path"]),
            (&"/shop".into(), &"/shop/items".into()),
            "{interface}"
        );
        let seen = ask(&mut conn, "/items", "");
        assert_eq!(
            (&seen["root_path"], &seen["path"]),
            (&"/other".into(), &"/other/items".into()),
            "{interface}"
        );
        server.stop();
        let wary = app(interface).option("forwarded-allow-ips", "").start();
        let seen = asked(&wary, "/items", "SCRIPT_NAME: /shop\r\n");
        assert_eq!((&seen["root_path"], &seen["path"]), (&"".into(), &"/items".into()), "{interface}");
        wary.stop();
    }
}

#[test]
fn rsgi_s_authority_is_the_host_that_a_proxy_names() {
    let server = app("rsgi").start();
    let client = Http2::to(&server);
    let authority = |host: Option<&'static str>| {
        let mut request = client.request(Method::GET, "/a");
        if let Some(host) = host {
            request.headers_mut().insert("x-forwarded-host", HeaderValue::from_static(host));
        }
        let reply = client.send(request).unwrap();
        serde_json::from_slice::<Value>(&reply.body).unwrap()["headers"][":authority"].clone()
    };
    assert_eq!(authority(None), server.address.unwrap().to_string());
    assert_eq!(authority(Some("shop.example:8443")), "shop.example:8443");
    assert_eq!(asked(&server, "/a", OF_PROXY)["headers"][":authority"], Value::Null, "HTTP/1 has none");
    server.stop();
}
