//! Requests that are refused: wherever that is, their response, the access log and the server's log tell of the same request,
//! by the rules that hold for all requests.

use crate::http2_client::Http2;
use hostler_testkit::{Builder, Conn, Server, directory};
use hyper::Method;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Method and path, if they are known.
type Line<'a> = Option<(&'a str, &'a str)>;

/// A server whose requests have ids, with one worker and both logs in JSON.
struct Logs {
    server: Server,
    address: SocketAddr,
    worker: i64,
    access: PathBuf,
}

impl Logs {
    fn start(name: &str, change: impl FnOnce(Builder) -> Builder) -> Self {
        let access = directory(name).join("access");
        let builder = Server::app("asgi_app:app").option("workers", 1).option("port", 0);
        let builder = builder.option("request-id-header", "X-Request-ID").arg("--request-id-response");
        let builder = builder.option("access-logfile", access.display()).option("log-format", "json");
        let mut server = change(builder).launch();
        server.wait_for("worker ready", 1);
        let events = events(&server);
        let address = events.iter().find_map(|event| event["address"].as_str()?.parse().ok()).unwrap();
        server.address = Some(address);
        let ready = events.iter().find(|event| event["message"] == "worker ready").unwrap();
        Self { worker: ready["pid"].as_i64().unwrap(), server, address, access }
    }

    /// Sends these bytes; the status, the id and the text of the response.
    fn send(&self, bytes: impl AsRef<[u8]>) -> (u16, String, String) {
        let mut conn = Conn::to(self.address);
        conn.send(bytes);
        let reply = conn.reply().unwrap();
        let id = reply.header("x-request-id").unwrap_or_else(|| panic!("no id: {reply:?}"));
        (reply.status, id.to_owned(), reply.text())
    }

    /// The line of the access log about the request with this id.
    fn access_line(&self, id: &str) -> Value {
        let line = || json_lines(&self.access).into_iter().find(|line| line["request_id"] == id);
        self.server.wait_until(&format!("a line about {id}"), || line().is_some());
        line().unwrap()
    }

    /// The line of the server's log about the request with this id.
    fn log_line(&self, id: &str) -> Value {
        let line = || events(&self.server).into_iter().find(|event| event["request_id"] == id);
        self.server.wait_until(&format!("an event about {id}"), || line().is_some());
        line().unwrap()
    }

    /// Checks what both logs say of a request that was refused.
    fn expect(&self, id: &str, (status, cause): (u16, &str), line: Line<'_>) {
        let access = self.access_line(id);
        assert_eq!((&access["status"], &access["complete"]), (&status.into(), &true.into()), "{access}");
        assert_eq!(access["bytes"], cause.len(), "{access}");
        let told = line.map(|(method, path)| (Value::from(method), Value::from(path)));
        let (method, path) = told.clone().unwrap_or_default();
        assert_eq!((&access["method"], &access["path"]), (&method, &path), "{access}");
        let event = self.log_line(id);
        assert!(event["message"].as_str().unwrap().starts_with("request refused"), "{event}");
        assert_eq!((&event["status"], &event["cause"]), (&status.into(), &cause.into()), "{event}");
        let (method, path) = told.unwrap_or_else(|| ("".into(), "".into()));
        assert_eq!((&event["method"], &event["path"]), (&method, &path), "{event}");
        assert_eq!((&event["worker"], &event["pid"]), (&1.into(), &self.worker.into()), "{event}");
        assert!(event["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{event}");
    }
}

fn events(server: &Server) -> Vec<Value> {
    server.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn json_lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn is_made(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn too_large(headers: &str) -> String {
    format!("POST /large HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999999\r\n{headers}\r\n")
}

#[test]
fn the_id_of_a_refused_request_is_believed_only_where_any_would_be() {
    let long = format!("x-request-id: {}\r\n", "A".repeat(3000));
    let bad = [&*long, "x-request-id: a\r\nx-request-id: b\r\n", "x-request-id: no good\r\n", ""];
    let trusting = Logs::start("refused-trusted", |builder| builder);
    assert_eq!(trusting.send(too_large("x-request-id: from-proxy\r\n")).1, "from-proxy");
    assert_eq!(trusting.access_line("from-proxy")["status"], 413);
    assert_eq!(trusting.log_line("from-proxy")["path"], "/large");
    let wary = Logs::start("refused-wary", |builder| builder.option("forwarded-allow-ips", "10.9.9.9"));
    let forged = [bad.as_slice(), &["x-request-id: forged\r\n"]].concat();
    for (logs, headers) in [(&trusting, bad.as_slice()), (&wary, forged.as_slice())] {
        for headers in headers {
            let (status, id, _) = logs.send(too_large(headers));
            assert!(status == 413 && is_made(&id), "{headers}: {id}");
            assert_eq!(logs.access_line(&id)["status"], 413);
        }
    }
    let ids = json_lines(&wary.access);
    assert!(ids.iter().all(|line| is_made(line["request_id"].as_str().unwrap())), "{ids:?}");
}

#[test]
fn response_and_logs_tell_of_the_same_request_wherever_it_is_refused() {
    let logs = Logs::start("refused-everywhere", |builder| {
        builder.option("limit-request-line", 200).option("limit-request-field-size", 300)
    });
    let long = "x".repeat(300);
    let post = "POST /post HTTP/1.1\r\nhost: t\r\n";
    let refusals: [(String, u16, Line<'_>); 12] = [
        ("GET /nohost HTTP/1.1\r\n\r\n".into(), 400, Some(("GET", "/nohost"))),
        (too_large(""), 413, Some(("POST", "/large"))),
        (format!("GET /{long} HTTP/1.1\r\nhost: t\r\n\r\n"), 414, Some(("GET", "…"))),
        // Its head never ends.
        (format!("GET /field?a HTTP/1.1\r\nhost: t\r\nx: {long}"), 431, Some(("GET", "/field"))),
        (format!("GET /many HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(150)), 431, Some(("GET", "/many"))),
        ("GET /space HTTP/1.1\r\nhost: t\r\nbad header: x\r\n\r\n".into(), 400, Some(("GET", "/space"))),
        ("GET /\x01 HTTP/1.1\r\nhost: t\r\n\r\n".into(), 400, None),
        ("G@T /method HTTP/1.1\r\nhost: t\r\n\r\n".into(), 400, None),
        (format!("{post}transfer-encoding: gzip, chunked\r\n\r\n"), 501, Some(("POST", "/post"))),
        (
            "CONNECT a.example:80 HTTP/1.1\r\nhost: a.example:80\r\n\r\n".into(),
            501,
            Some(("CONNECT", "a.example:80")),
        ),
        ("GET /version HTTP/3.0\r\nhost: t\r\n\r\n".into(), 505, Some(("GET", "/version"))),
        ("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".into(), 505, Some(("PRI", "*"))),
    ];
    for (bytes, status, line) in refusals {
        let (answered, id, text) = logs.send(&bytes);
        assert_eq!(answered, status, "{bytes}: {text}");
        assert!(is_made(&id), "{id}");
        // A kind is told once in ten seconds; the versions are one.
        if bytes.starts_with("PRI") {
            assert_eq!(logs.access_line(&id)["status"], 505);
            continue;
        }
        let path = logs.access_line(&id)["path"].clone();
        match line {
            Some((method, "…")) => {
                let path = path.as_str().unwrap().to_owned();
                assert_eq!(path, format!("/{long}"));
                let event = logs.log_line(&id);
                assert_eq!((&event["method"], &event["status"]), (&method.into(), &414.into()));
                assert_eq!(event["path"], format!("{}…", &path[..200]));
            }
            line => logs.expect(&id, (status, &text), line),
        }
    }
    logs.server.stop();
}

#[test]
fn a_head_that_takes_too_long_has_its_duration_and_what_came_of_it() {
    let logs = Logs::start("refused-late", |builder| builder.option("http1-header-read-timeout", "1s"));
    let (status, id, text) = logs.send("GET /late?a HTTP/1.1\r\nhost: t\r\n");
    assert_eq!(status, 408);
    logs.expect(&id, (408, &text), Some(("GET", "/late")));
    let line = logs.access_line(&id);
    assert!((1.0..60.0).contains(&line["duration_seconds"].as_f64().unwrap()), "{line}");
    assert_eq!((&line["query"], &line["protocol"]), (&"a".into(), &"HTTP/1.1".into()));
    // On a connection that has served others, and without a whole line.
    let mut conn = Conn::to(logs.address);
    assert_eq!(conn.get("/pid").status, 200);
    conn.send("GET /la");
    let reply = conn.reply().unwrap();
    let line = logs.access_line(reply.header("x-request-id").unwrap());
    assert_eq!((&line["status"], &line["path"]), (&408.into(), &"/la…".into()));
    assert!((1.0..60.0).contains(&line["duration_seconds"].as_f64().unwrap()), "{line}");
    logs.server.stop();
}

#[test]
fn requests_for_which_there_is_no_room_have_their_ids() {
    let logs = Logs::start("refused-busy", |builder| {
        builder.option("limit-concurrency", 1).option("limit-queue", 1).option("queue-timeout", "1s")
    });
    let mut running = Conn::to(logs.address);
    running.send("GET /never/1 HTTP/1.1\r\nhost: t\r\n\r\n");
    logs.server.wait_for("never responds", 1);
    let mut queued = Conn::to(logs.address);
    queued.send("GET /never/2 HTTP/1.1\r\nhost: t\r\nx-request-id: queued\r\n\r\n");
    let replies = [Conn::to(logs.address).get("/never/3"), queued.reply().unwrap()];
    for reply in replies {
        let id = reply.header("x-request-id").unwrap();
        let path = if id == "queued" { "/never/2" } else { "/never/3" };
        logs.expect(id, (503, &reply.text()), Some(("GET", path)));
    }
    drop(running);
}

#[test]
fn streams_that_are_refused_have_their_ids_and_their_host() {
    let logs = Logs::start("refused-streams", |builder| {
        builder.option("limit-request-line", 200).option("limit-request-body", 10)
    });
    let client = Http2::to(&logs.server);
    let long = format!("/{}", "x".repeat(300));
    let mut requests = vec![client.request(Method::GET, &long), client.request(Method::POST, "/large")];
    requests[1].headers_mut().insert("content-length", 11.into());
    requests[1].headers_mut().insert("x-request-id", "from-proxy".parse().unwrap());
    for (request, status) in requests.into_iter().zip([414, 413]) {
        let exchange = client.begin(request, status == 414).unwrap();
        let reply = client.end(exchange).unwrap();
        assert_eq!(reply.status, status);
        let id = reply.headers["x-request-id"].to_str().unwrap();
        assert_eq!(id == "from-proxy", status == 413, "{id}");
        let line = logs.access_line(id);
        assert_eq!((&line["status"], &line["protocol"]), (&status.into(), &"HTTP/2".into()));
        assert_eq!(line["host"], logs.address.to_string());
        let event = logs.log_line(id);
        assert_eq!((&event["status"], &event["worker"]), (&status.into(), &1.into()), "{event}");
    }
    drop(client);
    logs.server.stop();
}

#[test]
fn a_version_or_protocol_that_is_not_spoken() {
    let logs = Logs::start("refused-http1", |builder| builder.option("http", 2));
    let (status, id, text) = logs.send("GET /one HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!((status, &*text), (505, "only HTTP/2 is spoken here (--http)"));
    logs.expect(&id, (505, &text), Some(("GET", "/one")));
    let (status, id, text) = logs.send(b"\x16\x03\x01\0\x05hello");
    assert_eq!(status, 400);
    logs.expect(&id, (400, &text), None);
    logs.server.stop();
    let logs = Logs::start("refused-http2", |builder| builder.option("http", 1));
    let (status, id, text) = logs.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert_eq!(status, 505);
    logs.expect(&id, (505, &text), Some(("PRI", "*")));
    logs.server.stop();
}

#[test]
fn without_the_options_a_refused_request_has_one_id_in_both_logs() {
    let access = directory("refused-plain").join("access");
    let builder = Server::app("asgi_app:app").option("workers", 1).option("access-logfile", access.display());
    let server = builder.option("access-log-fmt", "%(request_id)s %(r)s %(s)s").start();
    let mut conn = server.connect();
    conn.send("GET /nohost HTTP/1.1\r\n\r\n");
    let reply = conn.reply().unwrap();
    assert_eq!((reply.status, reply.header("x-request-id")), (400, None));
    server.wait_for("request refused", 1);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("request refused")).unwrap();
    let id = line.split("request_id=\"").nth(1).unwrap().split('"').next().unwrap();
    let named = "method=\"GET\" path=\"/nohost\" client=\"127.0.0.1:";
    let whose = format!("\" worker=1 pid={} others=0", server.workers()[0]);
    assert!(is_made(id) && line.contains(named) && line.contains(&whose), "{line}");
    let expected = format!("{id} GET /nohost HTTP/1.1 400\n");
    server.wait_until("logged", || fs::read_to_string(&access).unwrap_or_default() == expected);
    server.stop();
}

#[test]
fn responses_without_a_body_have_no_length_in_the_access_log() {
    let access = directory("refused-length").join("access");
    let builder = Server::app("asgi_app:app").option("workers", 1).option("access-logfile", access.display());
    let server = builder.option("access-log-fmt", "%(s)s %({Content-Length}o)s").start();
    let mut conn = server.connect();
    for (path, expected) in [("/status?304", "304 -"), ("/status?200", "200 0"), ("/status?204", "204 -")] {
        conn.get(path);
        let last = || fs::read_to_string(&access).unwrap_or_default().lines().last() == Some(expected);
        server.wait_until(&format!("`{expected}` is logged"), last);
    }
    server.stop();
}

/// What the server's last line says it has had: requests, and responses of class 5xx.
fn counted(log: &str) -> Option<(usize, usize)> {
    let line = log.lines().rfind(|line| line.contains("stopped requests="))?;
    let number = |name: &str| {
        let digits = line.split(name).nth(1)?.split(|char: char| !char.is_ascii_digit()).next()?;
        digits.parse().ok()
    };
    Some((number("requests=")?, number("errors=")?))
}

#[test]
fn requests_that_are_refused_are_counted() {
    for logged in [true, false] {
        let access = directory(&format!("refused-counted-{logged}")).join("access");
        let builder = Server::app("asgi_app:app").option("workers", 1).option("limit-concurrency", 1);
        let builder = builder.option("limit-queue", 0);
        let builder = if logged { builder.option("access-logfile", access.display()) } else { builder };
        let mut server = builder.start();
        let statuses = [
            ("GET /nohost HTTP/1.1\r\n\r\n", 400),
            ("GET /two HTTP/1.1\r\nhost: t\r\nhost: t\r\n\r\n", 400),
            ("CONNECT t:80 HTTP/1.1\r\nhost: t:80\r\n\r\n", 501),
            ("GET / HTTP/3.0\r\nhost: t\r\n\r\n", 505),
            ("GET /\u{1} HTTP/1.1\r\nhost: t\r\n\r\n", 400),
            ("GET /pid HTTP/1.1\r\nhost: t\r\n\r\n", 200),
        ];
        for (request, status) in statuses {
            let mut conn = server.connect();
            conn.send(request);
            assert_eq!(conn.reply().unwrap().status, status, "{request}");
        }
        let client = Http2::to(&server);
        assert_eq!(client.send(client.request(Method::CONNECT, "")).unwrap().status, 501);
        let mut running = server.connect();
        running.send("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\nexpect: 100-continue\r\n\r\n");
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(running.exactly(interim.len()).unwrap(), interim);
        assert_eq!(server.connect().get("/pid").status, 503);
        assert_eq!(client.get("/pid").status, 503);
        running.send("x");
        assert_eq!(running.reply().unwrap().status, 200);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait_exit().code(), Some(0));
        let log = server.log();
        // The six, four beside them; 501 and 503 twice, 505.
        assert_eq!(counted(&log), Some((10, 5)), "{log}");
        let lines = fs::read_to_string(&access).unwrap_or_default().lines().count();
        assert_eq!(lines, if logged { 10 } else { 0 });
    }
}
