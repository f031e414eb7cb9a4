//! Lines of the log about an error of a request: whatever it is, they say which request, in text and in JSON.

use hostler_testkit::{Builder, Conn, Server};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::net::SocketAddr;

/// A server with one worker, and what its lines look like.
struct Told {
    server: Server,
    address: SocketAddr,
    is_json: bool,
    worker: i32,
}

impl Told {
    fn start(builder: Builder, is_json: bool) -> Self {
        let builder = builder.option("workers", 1).option("port", 0);
        let builder = if is_json { builder.option("log-format", "json") } else { builder };
        let server = builder.launch();
        server.wait_for("worker ready", 1);
        let events: Vec<Value> =
            server.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let (address, worker) = match is_json {
            true => (
                events.iter().find_map(|event| event["address"].as_str()?.parse().ok()),
                events.iter().find(|event| event["message"] == "worker ready").unwrap()["pid"].as_i64(),
            ),
            false => (server.logged_address(), server.workers().first().map(|pid| i64::from(*pid))),
        };
        let worker = i32::try_from(worker.unwrap()).unwrap();
        Self { address: address.unwrap(), server, is_json, worker }
    }

    /// Text and JSON.
    fn both(builder: impl Fn() -> Builder) -> [Self; 2] {
        [false, true].map(|is_json| Self::start(builder(), is_json))
    }

    fn connect(&self) -> Conn {
        Conn::to(self.address)
    }

    fn begin(&self, target: &str) -> Conn {
        let mut conn = self.connect();
        conn.send(format!("GET {target} HTTP/1.1\r\nhost: t\r\n\r\n"));
        conn
    }

    /// The line with this event, about a request for this path.
    fn line(&self, event: &str, path: &str) -> String {
        let about = |line: &&str| line.contains(event) && line.contains(path);
        self.server.wait_until(&format!("`{event}` of {path}"), || {
            self.server.log().lines().any(|line| about(&line))
        });
        self.server.log().lines().find(about).unwrap().to_owned()
    }

    /// Checks that a line with this event has all fields; returns the id.
    fn expect(&self, event: &str, method: &str, path: &str) -> String {
        let line = self.line(event, path);
        let pid = self.worker;
        if self.is_json {
            let fields: Value = serde_json::from_str(&line).unwrap();
            assert_eq!((&fields["method"], &fields["path"]), (&method.into(), &path.into()), "{line}");
            assert!(fields["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
            assert_eq!((&fields["worker"], &fields["pid"]), (&1.into(), &pid.into()), "{line}");
            return fields["request_id"].as_str().unwrap().to_owned();
        }
        let named = format!("method=\"{method}\" path=\"{path}\" client=\"127.0.0.1:");
        let whose = format!(" worker=1 pid={pid}");
        assert!(line.contains(&named) && line.contains(&whose), "{line}");
        line.split("request_id=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }
}

impl Told {
    /// What each line says in one text is there as well.
    fn expect_no_empty_request(&self) {
        let log = self.server.log();
        assert!(!log.contains("request=\"\"") && !log.contains("\"request\":\"\""), "{log}");
    }
}

fn asgi() -> Builder {
    Server::app("asgi_app:app")
}

fn is_made(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[test]
fn an_exception_of_any_interface() {
    for (target, interface) in [("asgi_app:app", "asgi"), ("wsgi_app:app", "wsgi"), ("rsgi_app:app", "rsgi")]
    {
        for told in Told::both(|| Server::app(target).option("interface", interface)) {
            assert_eq!(told.connect().get("/raise?secret").status, 500);
            assert!(is_made(&told.expect("application raised", "GET", "/raise")), "{interface}");
            assert!(!told.server.log().contains("secret"), "{}", told.server.log());
        }
    }
}

#[test]
fn what_an_rsgi_application_does_wrong_without_an_exception() {
    let builder = || {
        let builder = Server::app("rsgi_app:app").option("interface", "rsgi");
        builder.option("request-id-header", "X-Request-ID")
    };
    for told in Told::both(builder) {
        for (path, event) in [
            ("/twice", "the RSGI application sent a second response to a request: it is ignored"),
            ("/no_file", "cannot send a file of the RSGI application: responding with 404"),
            ("/short", "a response of the RSGI application is shorter than its Content-Length"),
            ("/long_ignored", "a response of the RSGI application is longer than its Content-Length"),
        ] {
            let mut conn = told.connect();
            conn.send(format!("GET {path}?secret HTTP/1.1\r\nhost: t\r\nx-request-id: mine-2\r\n\r\n"));
            assert_eq!(told.expect(event, "GET", path), "mine-2", "{path}");
        }
        assert!(told.server.log().contains("/there/is/no/such/file"), "{}", told.server.log());
        assert!(!told.server.log().contains("secret"), "{}", told.server.log());
    }
}

#[test]
fn a_body_of_rsgi_that_is_too_long_is_told_of_once() {
    for told in Told::both(|| Server::app("rsgi_app:app").option("interface", "rsgi")) {
        let mut conn = told.begin("/long");
        assert!(conn.to_end().unwrap().len() < 200);
        told.expect("the RSGI application raised in the middle of its response", "GET", "/long");
        // What is logged of it later would be before this.
        assert_eq!(told.connect().get("/raise").status, 500);
        told.expect("application raised before it sent a response", "GET", "/raise");
        let log = told.server.log();
        assert!(log.contains("has 8 bytes so far, but Content-Length says 2"), "{log}");
        assert!(!log.contains("than its Content-Length"), "{log}");
    }
}

#[test]
fn an_exception_of_close_after_the_response() {
    for threads in [1, 2] {
        for told in Told::both(|| {
            Server::app("wsgi_app:app").option("interface", "wsgi").option("blocking-threads", threads)
        }) {
            assert_eq!(told.connect().get("/close_raise").text(), "one two");
            assert!(is_made(&told.expect(
                "close() of the WSGI application's iterable raised",
                "GET",
                "/close_raise"
            )));
        }
    }
}

#[test]
fn what_write_and_the_iterable_make_together_beyond_content_length() {
    for threads in [1, 2] {
        for path in ["/write_and_list", "/write_and_yield"] {
            for told in Told::both(|| {
                Server::app("wsgi_app:app").option("interface", "wsgi").option("blocking-threads", threads)
            }) {
                let mut conn = told.connect();
                conn.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n"));
                let received = String::from_utf8(conn.to_end().unwrap()).unwrap();
                assert!(received.starts_with("HTTP/1.1 200 OK\r\n"), "{received}");
                assert!(received.ends_with("\r\n\r\none "), "{received}");
                let event = "a response of the WSGI application is longer than its Content-Length";
                assert!(is_made(&told.expect(event, "GET", path)), "{threads}");
                // What is logged of it later would be before this.
                assert_eq!(told.connect().get("/raise").status, 500);
                told.expect("application raised", "GET", "/raise");
                let log = told.server.log();
                assert_eq!(log.matches(path).count(), 1, "{log}");
            }
        }
    }
}

#[test]
fn an_exception_after_the_504() {
    let builder = || {
        let builder = Server::app("wsgi_app:app").option("interface", "wsgi").option("blocking-threads", 2);
        builder.option("request-timeout", "1s").option("request-id-header", "X-Request-ID")
    };
    for told in Told::both(builder) {
        let mut conn = told.connect();
        conn.send("GET /loop HTTP/1.1\r\nhost: t\r\nx-request-id: mine-1\r\n\r\n");
        assert_eq!(conn.reply().unwrap().status, 504);
        for event in ["request timeout: responded with 504", "raised before its response began"] {
            assert_eq!(told.expect(event, "GET", "/loop"), "mine-1", "{event}");
        }
    }
}

#[test]
fn requests_that_take_too_long_however_long_their_path_is() {
    for told in Told::both(|| asgi().option("request-timeout", "1s")) {
        let path = format!("/never/{}", "x".repeat(100));
        assert_eq!(told.connect().get(&path).status, 504);
        told.expect("request timeout: responded with 504", "GET", &path);
    }
    for told in Told::both(|| asgi().option("body-read-timeout", "1s")) {
        let path = format!("/echo/{}", "x".repeat(100));
        let mut late = told.connect();
        late.send(format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\n"));
        assert_eq!(late.reply().unwrap().status, 408);
        told.expect("body read timeout: responded with 408", "POST", &path);
    }
}

#[test]
fn requests_that_take_too_long_however_many_there_are() {
    for told in Told::both(|| asgi().option("request-timeout", "2s")) {
        let mut conns: Vec<_> = (0..40).map(|number| told.begin(&format!("/never/n{number}."))).collect();
        conns.iter_mut().for_each(|conn| assert_eq!(conn.reply().unwrap().status, 504));
        for number in 0..40 {
            told.expect("request timeout: responded with 504", "GET", &format!("/never/n{number}."));
        }
        told.expect_no_empty_request();
    }
    let wsgi = || Server::app("wsgi_app:app").option("interface", "wsgi").option("blocking-threads", 2);
    for told in Told::both(|| wsgi().option("body-read-timeout", "2s")) {
        let begin = |number| {
            let mut conn = told.connect();
            conn.send(format!("POST /echo/n{number}. HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\nhe"));
            conn
        };
        let mut conns: Vec<_> = (0..40).map(begin).collect();
        conns.iter_mut().for_each(|conn| assert_eq!(conn.reply().unwrap().status, 408));
        for number in 0..40 {
            told.expect("body read timeout: responded with 408", "POST", &format!("/echo/n{number}."));
        }
        told.expect_no_empty_request();
    }
}

#[test]
fn requests_that_a_stop_cuts() {
    for mut told in Told::both(|| asgi().option("graceful-timeout", "1s")) {
        let _conns = [told.begin("/never/1"), told.begin("/never/2")];
        told.server.wait_for("never responds", 2);
        told.server.signal(Signal::SIGTERM);
        for path in ["/never/1", "/never/2"] {
            assert!(is_made(&told.expect(
                "request cut: it took longer than --graceful-timeout",
                "GET",
                path
            )));
        }
        told.server.wait_exit();
    }
}

#[test]
fn requests_that_a_quick_stop_cuts() {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        for is_json in [false, true] {
            let file = hostler_testkit::directory("error-lines-quick").join("access");
            let builder = asgi().option("access-logfile", file.display());
            let builder = builder.option("access-log-fmt", "%(path)s %(complete)s left=%(client_left)s");
            let mut told = Told::start(builder, is_json);
            let _conns = [told.begin("/never/1"), told.begin("/never/2")];
            told.server.wait_for("never responds", 2);
            told.server.signal(signal);
            for path in ["/never/1", "/never/2"] {
                let event = "request cut: the worker was told to exit at once";
                assert!(is_made(&told.expect(event, "GET", path)));
            }
            told.server.wait_exit();
            assert_eq!(told.server.log().matches("requests in flight are cut").count(), 1);
            let mut lines: Vec<_> =
                std::fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
            lines.sort_unstable();
            assert_eq!(lines, ["/never/1 false left=false", "/never/2 false left=false"]);
        }
    }
}

#[test]
fn requests_of_a_blocked_worker_that_has_to_be_killed_at_a_stop() {
    let blocked = || asgi().option("graceful-timeout", "300ms").option("slow-callback", 0);
    for (signal, mut told) in [Signal::SIGTERM, Signal::SIGINT].into_iter().zip(Told::both(blocked)) {
        let _conn = told.begin("/block?1000");
        told.server.wait_for("blocks now", 1);
        told.server.signal(signal);
        assert!(is_made(&told.expect("request lost: its worker has exited", "GET", "/block")));
        told.server.wait_exit();
    }
}

#[test]
fn a_quick_stop_without_requests_cuts_none() {
    let mut told = Told::start(asgi(), false);
    let mut idle = told.connect();
    assert_eq!(idle.get("/pid").status, 200);
    told.server.signal(Signal::SIGINT);
    told.server.wait_exit();
    assert!(!told.server.log().contains("told to exit at once"), "{}", told.server.log());
}

#[test]
fn requests_that_are_lost_with_their_worker() {
    for told in Told::both(|| asgi().option("request-id-header", "x-request-id")) {
        let mut conn = told.connect();
        conn.send(
            "GET /never/1 HTTP/1.1\r\nhost: t\r\nx-request-id: 550e8400-e29b-41d4-a716-446655440000\r\n\r\n",
        );
        told.server.wait_for("never responds", 1);
        let long = format!("/never/{}", "y".repeat(100));
        let _long = told.begin(&long);
        told.server.wait_for("never responds", 2);
        kill(Pid::from_raw(told.worker), Signal::SIGKILL).unwrap();
        let id = told.expect("request lost: its worker has exited", "GET", "/never/1");
        assert_eq!(id, "550e8400-e29b-41d4-a716-446655440000");
        // There is no room for all of it, which is seen.
        let cut = format!("{}…", &long[..69]);
        assert!(is_made(&told.expect("request lost: its worker has exited", "GET", &cut)));
    }
}

#[test]
fn requests_in_a_loop_that_is_blocked_and_in_a_worker_that_is_stuck() {
    for told in Told::both(|| asgi().option("slow-callback", 200).option("stall-timeout", 2)) {
        let _conn = told.begin("/block?1000");
        told.expect("request in an event loop that is blocked", "GET", "/block");
        told.expect("request in a worker that is stuck", "GET", "/block");
    }
}

#[test]
fn an_error_of_a_native_service() {
    let server = Server::program(env!("CARGO_BIN_EXE_native_app").into()).start();
    assert!(server.connect().try_get("/fail", true).is_err());
    server.wait_for("the service failed, the connection is closed", 1);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("the service failed")).unwrap();
    for field in [
        "error=\"the database is gone\"",
        "method=\"GET\" path=\"/fail\" client=\"127.0.0.1:",
        " request_id=\"",
        " worker=",
    ] {
        assert!(line.contains(field), "{field}: {line}");
    }
    server.stop();
}

#[test]
fn an_error_of_a_native_service_in_json() {
    let program = Server::program(env!("CARGO_BIN_EXE_native_app").into()).env("LOG_FORMAT", "json");
    let server = program.launch();
    let event = |message: &str| {
        let log = server.log();
        let mut events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.find(|event| event["message"] == message)
    };
    server.wait_for("worker ready", 2);
    let address = event("listening").unwrap()["address"].as_str().unwrap().parse().unwrap();
    assert!(Conn::to(address).try_get("/fail?secret", true).is_err());
    server.wait_for("the service failed, the connection is closed", 1);
    let failed = event("the service failed, the connection is closed").unwrap();
    assert_eq!((&failed["level"], &failed["error"]), (&"ERROR".into(), &"the database is gone".into()));
    assert_eq!((&failed["method"], &failed["path"]), (&"GET".into(), &"/fail".into()), "{failed}");
    assert!(failed["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{failed}");
    assert!(is_made(failed["request_id"].as_str().unwrap()), "{failed}");
    let pid = i32::try_from(failed["pid"].as_i64().unwrap()).unwrap();
    assert!(failed["worker"].is_i64() && server.processes().contains(&pid), "{failed}");
}

#[test]
fn the_access_log_has_the_same_id() {
    let file = hostler_testkit::directory("error-lines").join("access");
    let builder = || {
        asgi().option("access-logfile", file.display()).option("access-log-fmt", "%(request_id)s %(status)d")
    };
    let told = Told::start(builder(), false);
    assert_eq!(told.connect().get("/raise").status, 500);
    let id = told.expect("application raised", "GET", "/raise");
    let line = format!("{id} 500\n");
    told.server.wait_until("logged", || std::fs::read_to_string(&file).unwrap_or_default() == line);
}
