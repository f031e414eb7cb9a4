//! What an ASGI application gets of a request: scope, body, context.

use super::serve;
use hostler_testkit::Server;
use serde_json::Value;

#[test]
fn the_scope_is_complete() {
    let server = serve();
    let headers = "x-twice: a\r\nx-twice: b\r\n";
    let path = "/scope/a%20b/%C3%BC?q=1&r=%20";
    let scope: Value =
        serde_json::from_slice(&server.connect().request("PUT", path, headers, b"").body).unwrap();
    assert_eq!(scope["type"], "http");
    assert_eq!(scope["asgi"]["version"], "3.0");
    assert_eq!(scope["http_version"], "1.1");
    assert_eq!(scope["method"], "PUT");
    assert_eq!(scope["scheme"], "http");
    assert_eq!(scope["path"], "/scope/a b/ü");
    assert_eq!(scope["raw_path"], "/scope/a%20b/%C3%BC");
    assert_eq!(scope["query_string"], "q=1&r=%20");
    assert_eq!(scope["root_path"], "");
    assert_eq!(scope["client"][0], "127.0.0.1");
    assert_eq!(scope["server"][1], server.address.unwrap().port());
    assert_eq!(scope["state"], serde_json::json!({"started": "yes"}));
    let twice: Vec<&Value> =
        scope["headers"].as_array().unwrap().iter().filter(|pair| pair[0] == "x-twice").collect();
    assert_eq!(twice, [&serde_json::json!(["x-twice", "a"]), &serde_json::json!(["x-twice", "b"])]);
    server.stop();
}

#[test]
fn requests_of_a_connection_do_not_see_each_others_scope() {
    let server = serve();
    let mut conn = server.connect();
    let first: Value =
        serde_json::from_slice(&conn.request("GET", "/scope", "x-a: 1\r\n", b"").body).unwrap();
    let second: Value =
        serde_json::from_slice(&conn.request("GET", "/scope", "x-b: 2\r\n", b"").body).unwrap();
    assert_eq!(first["headers"], serde_json::json!([["host", "test"], ["x-a", "1"]]));
    assert_eq!(second["headers"], serde_json::json!([["host", "test"], ["x-b", "2"]]));
    assert_eq!(second["state"], serde_json::json!({"started": "yes"}));
}

#[test]
fn what_a_request_does_to_its_scope_no_other_sees() {
    for options in [&[][..], &["--request-timeout", "30"]] {
        let server =
            options.iter().fold(Server::app("asgi_app:app").option("workers", 1), |app, arg| app.arg(arg));
        let server = server.start();
        let mut conns = [server.connect(), server.connect()];
        let mut shown = Vec::new();
        for spoils in ["nothing", "values", "keys", "inside", "kept", "nothing", "kept", "inside", "nothing"]
        {
            let replies = conns.iter_mut().map(|conn| conn.get(&format!("/abilities?{spoils}")));
            shown.extend(replies.map(|reply| reply.text()));
        }
        assert!(shown[0].contains(r#""http.response.pathsend": {}"#), "{}", shown[0]);
        assert!(shown.iter().all(|other| *other == shown[0]), "{shown:#?}");
        server.stop();
    }
}

#[test]
fn bodies_arrive_in_one_piece_and_in_many() {
    let server = serve();
    let mut conn = server.connect();
    assert_eq!(conn.request("POST", "/echo", "", b"hello").text(), "hello");
    let large = vec![b'x'; 3_000_000];
    assert_eq!(conn.request("POST", "/echo", "", &large).body, large);
    conn.send("POST /echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
    conn.send("6\r\n world\r\n0\r\n\r\n");
    assert_eq!(conn.reply().unwrap().text(), "hello world");
    conn.send("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n");
    assert_eq!(conn.exactly(25).unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
    conn.send("body");
    assert_eq!(conn.reply().unwrap().text(), "body");
}

#[test]
fn requests_see_the_lifespans_context_and_not_each_others() {
    let server = Server::app("asgi_app:app").option("workers", 1).start();
    let mut conn = server.connect();
    for _ in 0..2 {
        assert_eq!(conn.get("/context").text(), "lifespan nothing");
        assert_eq!(conn.get("/context?wait").text(), "lifespan nothing left behind");
    }
    let mut both = [server.connect(), server.connect()];
    both.iter_mut().for_each(|conn| conn.send("GET /context?wait HTTP/1.1\r\nhost: t\r\n\r\n"));
    for conn in &mut both {
        assert_eq!(conn.reply().unwrap().text(), "lifespan nothing left behind");
    }
    server.stop();
}

#[test]
fn an_application_may_return_any_awaitable() {
    for app in ["future", "awaitable", "generator"] {
        let server = Server::app(&format!("odd:{app}")).option("workers", 1).start();
        for _ in 0..2 {
            assert_eq!(server.connect().get("/").text(), "awaited", "{app}");
        }
        server.stop();
    }
    let server = Server::app("odd:synchronous").option("workers", 1).start();
    assert_eq!(server.connect().get("/").status, 500);
    server.wait_for("TypeError: a coroutine was expected, got None", 1);
    server.stop();
}
