//! The access log: what its lines say, of which requests there is one, and where they go. What is written to it harms nothing.

use crate::{
    access_file::{self, lines, objects, text},
    support::{refused, reset},
};
use hostler_testkit::{Builder, Server, directory, wait_until};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

fn logging(name: &str, format: &str) -> (Builder, PathBuf) {
    access_file::logging(name, Server::app("asgi_app:app"), format)
}

/// What a line says of how its request ended: status, whether the response is complete, whether the client left.
fn ending(line: &Value) -> (Option<u64>, bool, bool) {
    (line["status"].as_u64(), line["complete"].as_bool().unwrap(), line["client_left"].as_bool().unwrap())
}

#[test]
fn a_line_in_the_combined_format_says_what_nginx_and_gunicorn_say() {
    let (builder, file) = logging("access-combined", "combined");
    let server = builder.start();
    let headers = "user-agent: curl/8\r\nreferer: http://a/\r\nauthorization: Basic YWRhOng=\r\n";
    let body = server.connect().request("POST", "/echo?a=1", headers, b"hello").text();
    assert_eq!(body, "hello");
    let line = lines(&server, &file, 1).remove(0);
    let (before, rest) = line.split_once(" [").unwrap();
    let (time, after) = rest.split_once("] ").unwrap();
    assert_eq!(before, "127.0.0.1 - ada");
    assert_eq!((time.len(), &time[2..3], &time[11..12]), (26, "/", ":"), "{line}");
    assert_eq!(after, r#""POST /echo?a=1 HTTP/1.1" 200 5 "http://a/" "curl/8""#);
    server.stop();
}

#[test]
fn a_json_line_has_duration_bytes_worker_and_ids() {
    let (builder, file) = logging("access-json", "json");
    let server = builder.start();
    let trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    server.connect().request("GET", "/slow?0.2", trace, b"");
    let line = &objects(&server, &file, 1)[0];
    assert_eq!(
        (&line["method"], &line["path"], &line["query"]),
        (&"GET".into(), &"/slow".into(), &"0.2".into())
    );
    assert_eq!((&line["client"], &line["host"]), (&"127.0.0.1".into(), &"test".into()));
    assert_eq!((&line["protocol"], &line["scheme"]), (&"HTTP/1.1".into(), &"http".into()));
    assert_eq!((&line["bytes"], &line["worker"]), (&"slow answer".len().into(), &1.into()));
    assert_eq!(line["pid"].as_i64(), Some(i64::from(server.workers()[0])));
    assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(line["request_id"].as_str().map(str::len), Some(32));
    assert_eq!(ending(line), (Some(200), true, false));
    let seconds = |name: &str| line[name].as_f64().unwrap();
    assert!((0.2..30.0).contains(&seconds("duration_seconds")), "{line}");
    assert!((0.2..=seconds("duration_seconds")).contains(&seconds("first_byte_seconds")), "{line}");
    assert!(seconds("queue_seconds") < 0.2, "{line}");
    server.stop();
}

#[test]
fn the_json_log_format_makes_the_access_log_json_on_standard_output() {
    let file = directory("access-stdout").join("out");
    let redirect = format!("exec \"$@\" > {}", file.display());
    let builder =
        Server::app("asgi_app:app").option("workers", 1).option("log-format", "json").arg("--access-log");
    let server = builder.option("port", 0).wrapped(&["sh", "-c", &redirect, "sh"]).launch();
    server.wait_for("worker ready", 1);
    let address = server.log().lines().find_map(|line| {
        let event: Value = serde_json::from_str(line).ok()?;
        event["address"].as_str()?.parse().ok()
    });
    hostler_testkit::Conn::to(address.unwrap()).get("/pid");
    let line = &objects(&server, &file, 1)[0];
    assert_eq!((&line["path"], &line["message"]), (&"/pid".into(), &"request".into()));
    server.stop();
}

#[test]
fn no_request_makes_a_line_of_its_own_or_leaves_its_quotes() {
    let (builder, file) = logging("access-injection", "combined");
    let server = builder.start();
    let evil = b"user-agent: a\" 200 0 \"-\" \"\\\xc2\x9b[2J\xff\r\nreferer: x\ty\r\n";
    let mut conn = server.connect();
    conn.send([b"GET /pid/\"%0a\" HTTP/1.1\r\nhost: t\r\n".as_slice(), evil, b"\r\n"].concat());
    assert_eq!(conn.reply().unwrap().status, 200);
    let line = lines(&server, &file, 1).remove(0);
    assert!(line.contains(r#""GET /pid/\"%0a\" HTTP/1.1" 200 "#), "{line}");
    assert!(line.ends_with(r#""x\x09y" "a\" 200 0 \"-\" \"\\\xc2\x9b[2J\xff""#), "{line}");
    server.stop();
}

#[test]
fn requests_that_are_refused_or_take_too_long_have_lines() {
    let (builder, file) = logging("access-refused", "json");
    let server = builder.option("request-timeout", "1s").start();
    let mut conn = server.connect();
    conn.send("GET /nohost HTTP/1.1\r\n\r\n");
    assert_eq!(conn.reply().unwrap().status, 400);
    assert_eq!(objects(&server, &file, 1)[0]["status"], 400);
    assert_eq!(server.connect().get("/never").status, 504);
    let lines = objects(&server, &file, 2);
    assert_eq!((&lines[0]["path"], &lines[1]["path"]), (&"/nohost".into(), &"/never".into()));
    assert_eq!(ending(&lines[1]), (Some(504), true, false));
    assert!(lines[1]["duration_seconds"].as_f64() >= Some(1.0) && lines[1]["bytes"].as_u64() > Some(0));
    server.stop();
    let (builder, file) = logging("access-late", "json");
    let server = builder.option("body-read-timeout", "1s").start();
    let mut conn = server.connect();
    conn.send("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\n");
    assert_eq!(conn.reply().unwrap().status, 408);
    assert_eq!(objects(&server, &file, 1)[0]["status"], 408);
    server.stop();
}

#[test]
fn a_client_that_leaves_is_told_from_a_response_that_fails() {
    let (builder, file) = logging("access-left", "json");
    let server = builder.start();
    let mut conn = server.connect();
    conn.send("GET /leaving HTTP/1.1\r\nhost: t\r\n\r\n");
    server.wait_for("waits now", 1);
    drop(conn);
    // What the application did then is known; whether the client has read it is not.
    assert_eq!(ending(&objects(&server, &file, 1)[0]), (Some(500), true, true));
    let mut conn = server.connect();
    conn.send("GET /leaving HTTP/1.1\r\nhost: t\r\n\r\n");
    server.wait_for("waits now", 2);
    reset(conn);
    assert_eq!(ending(&objects(&server, &file, 2)[1]), (Some(499), false, true));
    let mut conn = server.connect();
    conn.send("GET /flood HTTP/1.1\r\nhost: t\r\n\r\n");
    conn.exactly(1_000_000).unwrap();
    drop(conn);
    let left = &objects(&server, &file, 3)[2];
    assert_eq!(ending(left), (Some(200), false, true));
    // What was read, and what two kernels had room for.
    assert!((900_000..60_000_000).contains(&left["bytes"].as_u64().unwrap()), "{left}");
    assert!(server.connect().try_get("/raise_late", true).is_err());
    let failed = &objects(&server, &file, 4)[3];
    assert_eq!((ending(failed), &failed["bytes"]), ((Some(200), false, false), &5.into()));
    assert_eq!(server.connect().get("/raise").status, 500);
    assert_eq!(ending(&objects(&server, &file, 5)[4]), (Some(500), true, false));
    server.stop();
}

#[test]
fn requests_that_a_stop_cuts_have_lines() {
    let (builder, file) = logging("access-cut", "json");
    let mut server = builder.option("graceful-timeout", "1s").start();
    let mut conn = server.connect();
    conn.send("GET /stream HTTP/1.1\r\nhost: t\r\n\r\nGET /never HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(conn.reply().unwrap().status, 200);
    server.wait_until("begun", || text(&file).lines().count() == 1);
    server.signal(Signal::SIGTERM);
    server.wait_exit();
    let cut = &objects(&server, &file, 2)[1];
    assert_eq!((&cut["path"], ending(cut)), (&"/never".into(), (None, false, false)));
}

#[test]
fn pipelined_requests_have_lines_in_their_order_and_head_has_no_bytes() {
    let (builder, file) = logging("access-pipeline", "%(m)s %(U)s %(s)s %(b)s %({x-kind}o)s");
    let server = builder.start();
    let mut conn = server.connect();
    conn.send("GET /stream HTTP/1.1\r\nhost: t\r\n\r\nHEAD /pid HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(conn.reply().unwrap().body.len(), 80);
    let lines = lines(&server, &file, 2);
    assert_eq!(lines, ["GET /stream 200 80 stream", "HEAD /pid 200 0 -"]);
    server.stop();
}

#[test]
fn a_websocket_has_a_line_when_it_ends() {
    let file = directory("access-websocket").join("access");
    let server = Server::app("websocket_app:app")
        .option("workers", 1)
        .option("access-logfile", file.display())
        .option("access-log-fmt", "%(status)d %(path)s %(bytes)d %(complete)s")
        .start();
    let mut conn = server.connect();
    conn.send(
        "GET /echo HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    );
    assert_eq!(conn.reply().unwrap().status, 101);
    // A masked text message of two bytes, and a close.
    conn.send(b"\x81\x82\0\0\0\0hi");
    assert_eq!(conn.exactly(4).unwrap(), b"\x81\x02hi");
    assert_eq!(text(&file), "", "it has not ended");
    conn.send(b"\x88\x82\0\0\0\0\x03\xe8");
    conn.to_end().unwrap();
    assert_eq!(lines(&server, &file, 1), ["101 /echo 8 true"]);
    server.stop();
}

#[test]
fn excluded_paths_have_no_lines_and_sampling_leaves_errors() {
    let (builder, file) = logging("access-some", "%(path)s %(status)d");
    let server = builder.option("access-log-exclude", "/pid").option("access-log-exclude", "/str*").start();
    let mut conn = server.connect();
    for path in ["/pid", "/stream", "/scope"] {
        assert_eq!(conn.get(path).status, 200);
    }
    assert_eq!(lines(&server, &file, 1), ["/scope 200"]);
    server.stop();
    let (builder, file) = logging("access-sample", "%(path)s %(status)d");
    let server = builder.option("access-log-sample", 20).start();
    let mut conn = server.connect();
    (0..500).for_each(|_| assert_eq!(conn.get("/pid").status, 200));
    assert_eq!(conn.get("/raise").status, 500);
    server.wait_until("errors are logged", || text(&file).contains("/raise 500"));
    let sampled = text(&file).matches("/pid 200").count();
    assert!((50..200).contains(&sampled), "{sampled}");
    server.stop();
}

#[test]
fn the_file_is_reopened_on_usr1() {
    let (builder, file) = logging("access-reopen", "%(path)s");
    let moved = file.with_extension("1");
    let server = builder.start();
    let mut conn = server.connect();
    conn.get("/pid");
    lines(&server, &file, 1);
    fs::rename(&file, &moved).unwrap();
    server.signal(Signal::SIGUSR1);
    server.wait_for("access log reopened", 1);
    server.wait_until("in the new file", || {
        conn.get("/scope");
        text(&file).contains("/scope")
    });
    assert!(text(&moved).starts_with("/pid\n") && !text(&file).contains("/pid"));
    server.stop();
}

#[test]
fn a_full_disk_costs_lines_and_is_told_once() {
    let builder = Server::app("asgi_app:app").option("workers", 1).option("access-logfile", "/dev/full");
    let mut server = builder.start();
    let mut conn = server.connect();
    for _ in 0..3 {
        assert_eq!(conn.get("/pid").status, 200);
        server.wait_for("the access log cannot be written: lines are dropped", 1);
    }
    drop(conn);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    let log = server.log();
    assert_eq!(log.matches("lines are dropped").count(), 1, "{log}");
    assert!(log.contains("access log lines were lost: the access log could not be written lines=3"), "{log}");
}

#[test]
fn requests_that_wait_for_a_blocked_loop_or_a_thread_say_for_how_long() {
    let (builder, file) = logging("access-queue", "%(path)s %(queue_seconds)s");
    let server = builder.start();
    let (mut blocking, mut waiting) = (server.connect(), server.connect());
    assert_eq!(waiting.get("/pid").status, 200);
    blocking.send("GET /block?1 HTTP/1.1\r\nhost: t\r\n\r\n");
    server.wait_for("blocks now", 1);
    assert_eq!(waiting.get("/scope").status, 200);
    let waited = |file: &Path, count, path: &str| -> f64 {
        let line = lines(&server, file, count).into_iter().find(|line| line.starts_with(path)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(waited(&file, 3, "/scope") >= 0.5, "{}", text(&file));
    assert!(waited(&file, 3, "/block") < 0.5, "{}", text(&file));
}

#[test]
fn requests_that_wait_for_a_thread_of_wsgi_say_for_how_long() {
    let file = directory("access-threads").join("access");
    let server = Server::app("wsgi_app:app")
        .option("workers", 1)
        .option("interface", "wsgi")
        .option("blocking-threads", 2)
        .option("access-logfile", file.display())
        .option("access-log-fmt", "%(queue_ms)s")
        .start();
    let mut conns: Vec<_> = (0..4).map(|_| server.connect()).collect();
    conns.iter_mut().for_each(|conn| conn.send("GET /slow?0.5 HTTP/1.1\r\nhost: t\r\n\r\n"));
    conns.iter_mut().for_each(|conn| assert_eq!(conn.reply().unwrap().status, 200));
    let waits = lines(&server, &file, 4).into_iter().map(|line| line.parse::<f64>().unwrap());
    assert_eq!(waits.filter(|waited| *waited >= 300.0).count(), 2, "{}", text(&file));
    server.stop();
}

#[test]
fn a_request_of_wsgi_does_not_wait_for_a_thread_while_its_body_arrives() {
    let file = directory("access-upload").join("access");
    let server = Server::app("wsgi_app:app")
        .option("workers", 1)
        .option("interface", "wsgi")
        .option("blocking-threads", 2)
        .option("access-logfile", file.display())
        .option("access-log-fmt", "%(path)s %(queue_ms)s %(M)s")
        .start();
    let mut slow = server.connect();
    slow.send("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 8\r\n\r\nhalf");
    // As long as this takes.
    assert_eq!(server.connect().get("/slow?2").status, 200);
    slow.send("rest");
    assert_eq!(slow.reply().unwrap().text(), "halfrest");
    let line = &lines(&server, &file, 2)[1];
    let mut parts = line.strip_prefix("/echo ").unwrap().split(' ').map(|part| part.parse::<f64>().unwrap());
    let (queue, duration) = (parts.next().unwrap(), parts.next().unwrap());
    assert!(queue < 1000.0 && duration >= 2000.0, "{line}");
    server.stop();
}

#[test]
fn lines_are_written_while_the_application_blocks() {
    let (builder, file) = logging("access-blocked", "%(path)s");
    let server = builder.start();
    let mut conn = server.connect();
    assert_eq!(conn.get("/pid").status, 200);
    conn.send("GET /block?60 HTTP/1.1\r\nhost: t\r\n\r\n");
    server.wait_for("blocks now", 1);
    assert_eq!(lines(&server, &file, 1), ["/pid"]);
}

#[test]
fn formats_and_files_that_cannot_be_are_refused_in_the_users_terms() {
    let app = || Server::app("asgi_app:app");
    refused(app().option("access-log-fmt", "%(nope)s"), 2, &["--access-log-fmt", "there is no value `nope`"]);
    let words = ["--access-log-fmt", "`JSON` has no value", "in small letters"];
    refused(app().option("access-log-fmt", "JSON"), 2, &words);
    let words = ["`{Cookie}i` would write credentials to the log"];
    refused(app().option("access-log-fmt", "%({Cookie}i)s"), 2, &words);
    refused(app().option("access-log-exclude", "health"), 2, &["`health` is no path", "begins with `/`"]);
    let words = ["cannot write the access log to `/nonexistent/access`", "--access-logfile names a file"];
    refused(app().option("access-logfile", "/nonexistent/access"), 78, &words);
}

#[test]
fn formats_of_gunicorn_say_what_gunicorn_says() {
    let format = "%(r)s %(b)s %({x}i)s %({HTTP_X}e)s %({remote_addr}e)s %(port)d %(u)s";
    let (builder, file) = logging("access-gunicorn", format);
    let server = builder.option("forwarded-allow-ips", "127.0.0.1").start();
    let mut conn = server.connect();
    let headers = "host: t\r\nx: 1\r\nx: 2\r\nx-forwarded-for: 10.0.0.7\r\nauthorization: Basic YWRh\r\n";
    conn.send(format!("HEAD http://t/pid?z HTTP/1.1\r\n{headers}\r\n"));
    assert_eq!(conn.exactly(12).unwrap(), b"HTTP/1.1 200");
    assert_eq!(lines(&server, &file, 1), ["HEAD http://t/pid?z HTTP/1.1 0 2 1,2 10.0.0.7 - -"]);
    server.stop();
}

#[test]
fn without_the_option_there_is_no_access_log() {
    let dir = directory("access-off");
    let builder = Server::app("asgi_app:app").option("workers", 1).arg("--no-access-log");
    let server = builder.option("access-logfile", dir.join("access").display()).start();
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
    wait_until("nothing is there", || !dir.join("access").exists());
}
