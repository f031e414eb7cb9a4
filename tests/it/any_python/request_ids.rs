//! Ids of requests and traces: accepted or made, passed to the application, sent back, and in the log.

use crate::support::refused;
use hostler_testkit::{Builder, Server, directory};
use serde_json::Value;
use std::fs;

fn app() -> Builder {
    Server::app("asgi_app:app").option("workers", 1).option("request-id-header", "X-Request-ID")
}

/// What the application finds in a header.
fn seen(scope: &str, name: &str) -> Vec<String> {
    let scope: Value = serde_json::from_str(scope).unwrap();
    let headers = scope["headers"].as_array().unwrap().iter();
    let named = headers.filter(|pair| pair[0] == name);
    named.map(|pair| pair[1].as_str().unwrap().to_owned()).collect()
}

fn is_made(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[test]
fn an_id_that_came_is_kept_and_others_are_made() {
    let file = directory("ids").join("access");
    let server = app().arg("--request-id-response").option("access-logfile", file.display());
    let server = server.option("access-log-fmt", "%(request_id)s").start();
    let mut conn = server.connect();
    let reply = conn.request("GET", "/scope", "x-request-id: from-proxy.1\r\n", b"");
    assert_eq!(reply.header("x-request-id"), Some("from-proxy.1"));
    assert_eq!(seen(&reply.text(), "x-request-id"), ["from-proxy.1"]);
    let mut ids = vec!["from-proxy.1".to_owned()];
    for headers in ["", "x-request-id: no good\r\n", "x-request-id: a\r\nx-request-id: b\r\n"] {
        let reply = conn.request("GET", "/scope", headers, b"");
        let id = reply.header("x-request-id").unwrap().to_owned();
        assert!(is_made(&id), "{id}");
        assert_eq!(seen(&reply.text(), "x-request-id"), std::slice::from_ref(&id));
        ids.push(id);
    }
    server.wait_until("logged", || fs::read_to_string(&file).unwrap_or_default().lines().eq(ids.iter()));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    server.stop();
}

#[test]
fn an_applications_own_id_in_the_response_counts() {
    let server = app().start();
    let reply = server.connect().get("/scope");
    assert_eq!(reply.header("x-request-id"), None, "it is not sent back unless that is asked for");
    server.stop();
}

#[test]
fn every_interface_finds_the_id_where_it_has_headers() {
    let server = Server::app("wsgi_app:app")
        .option("workers", 1)
        .option("interface", "wsgi")
        .option("request-id-header", "X-Request-ID")
        .start();
    let environ: Value = serde_json::from_str(&server.connect().get("/environ").text()).unwrap();
    assert!(is_made(environ["HTTP_X_REQUEST_ID"].as_str().unwrap()), "{environ}");
    server.stop();
}

#[test]
fn a_traceparent_passes_and_is_made_where_that_is_configured() {
    let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let server = Server::app("asgi_app:app").option("workers", 1).arg("--make-traceparent").start();
    let mut conn = server.connect();
    let trace = format!("traceparent: {valid}\r\ntracestate: a=1\r\n");
    let text = conn.request("GET", "/scope", &trace, b"").text();
    assert_eq!(
        (seen(&text, "traceparent"), seen(&text, "tracestate")),
        (vec![valid.into()], vec!["a=1".into()])
    );
    let text = conn.request("GET", "/scope", "traceparent: broken\r\ntracestate: a=1\r\n", b"").text();
    let made = seen(&text, "traceparent").remove(0);
    assert!(made.starts_with("00-") && made.ends_with("-00") && made.len() == 55, "{made}");
    assert_eq!(seen(&text, "tracestate"), Vec::<String>::new());
    assert_ne!(seen(&conn.get("/scope").text(), "traceparent"), [made]);
    server.stop();
}

#[test]
fn a_line_about_an_error_of_a_request_says_which_request() {
    let server = app().option("request-timeout", "1s").start();
    let mut conn = server.connect();
    let id = "x-request-id: the-id\r\n";
    assert_eq!(conn.request("GET", "/raise?secret", id, b"").status, 500);
    let pid = server.workers()[0];
    let fields = |path: &str| format!("method=\"GET\" path=\"{path}\" client=\"127.0.0.1:");
    let rest = format!("request_id=\"the-id\" worker=1 pid={pid}");
    let line = |what: &str| {
        server.wait_for(what, 1);
        server.log().lines().find(|line| line.contains(what)).unwrap().to_owned()
    };
    let raised = line("the ASGI application raised");
    assert!(
        raised.contains(&fields("/raise")) && raised.contains(&rest) && !raised.contains("secret"),
        "{raised}"
    );
    assert!(server.log().contains("RuntimeError: raised on purpose"));
    assert_eq!(conn.request("GET", "/never", id, b"").status, 504);
    let late = line("request timeout: responded with 504");
    assert!(late.contains(&fields("/never")) && late.contains(&rest), "{late}");
    server.stop();
}

#[test]
fn such_a_line_in_json_has_them_as_fields() {
    let file = directory("ids-json").join("log");
    let server = Server::app("wsgi_app:app")
        .option("workers", 1)
        .option("interface", "wsgi")
        .option("log-format", "json")
        .option("log-file", file.display())
        .option("port", 0)
        .launch();
    let events = || -> Vec<Value> {
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    server.wait_until("ready", || events().iter().any(|event| event["message"] == "worker ready"));
    let address = events().iter().find_map(|event| event["address"].as_str()?.parse().ok()).unwrap();
    assert_eq!(hostler_testkit::Conn::to(address).get("/raise").status, 500);
    let raised =
        |event: &Value| event["message"].as_str().is_some_and(|text| text.contains("application raised"));
    server.wait_until("told", || events().iter().any(raised));
    let event = events().into_iter().find(raised).unwrap();
    assert_eq!(
        (&event["method"], &event["path"], &event["worker"]),
        (&"GET".into(), &"/raise".into(), &1.into())
    );
    assert!(event["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{event}");
    assert!(is_made(event["request_id"].as_str().unwrap()) && event["pid"].is_i64(), "{event}");
}

#[test]
fn a_header_that_is_none_is_refused() {
    let app = || Server::app("asgi_app:app");
    refused(app().option("request-id-header", "X Request"), 2, &["it is no name of a header"]);
    refused(app().arg("--request-id-response"), 2, &["--request-id-header"]);
    for (name, meaning) in [
        ("Content-Length", "says where a message ends"),
        ("Connection", "is about the connection"),
        ("HOST", "says which host"),
        ("authorization", "carries credentials"),
        ("Cookie", "carries credentials"),
        ("traceparent", "carries a trace"),
        ("X-Forwarded-For", "says what proxies know of a client"),
    ] {
        let meaning = format!("`{name}` {meaning}");
        refused(
            app().option("request-id-header", name),
            2,
            &["--request-id-header", &meaning, "X-Request-ID"],
        );
    }
}
