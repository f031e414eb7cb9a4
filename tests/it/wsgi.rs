//! WSGI (PEP 3333), in place and with threads.

use hostler_testkit::{Builder, Server};
use serde_json::Value;
use std::time::{Duration, Instant};

fn with_threads(threads: u16) -> Builder {
    Server::app("wsgi_app:app").option("blocking-threads", threads)
}

/// Every test that does not say otherwise runs both ways.
fn both(test: impl Fn(&Server)) {
    for threads in [1, 4] {
        test(&with_threads(threads).start());
    }
}

#[test]
fn the_environ_is_complete() {
    both(|server| {
        let headers = "x-twice: a\r\nx-twice: b\r\ncontent-type: text/x\r\nx_under: no\r\n";
        let reply = server.connect().request("POST", "/environ/%C3%BC?q=1", headers, b"abc");
        let environ: Value = serde_json::from_slice(&reply.body).unwrap();
        let port = server.address.unwrap().port().to_string();
        for (key, value) in [
            ("REQUEST_METHOD", "POST"),
            ("SCRIPT_NAME", ""),
            ("PATH_INFO", "/environ/\u{c3}\u{bc}"),
            ("QUERY_STRING", "q=1"),
            ("CONTENT_TYPE", "text/x"),
            ("CONTENT_LENGTH", "3"),
            ("SERVER_NAME", "127.0.0.1"),
            ("SERVER_PORT", &port),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("HTTP_HOST", "test"),
            ("HTTP_X_TWICE", "a, b"),
            ("wsgi.url_scheme", "http"),
        ] {
            assert_eq!(environ[key], value, "{key}");
        }
        assert_eq!(environ["wsgi.multiprocess"], true);
        assert_eq!(environ.get("HTTP_X_UNDER"), None);
    });
}

#[test]
fn bodies_can_be_read_in_every_way() {
    both(|server| {
        let mut conn = server.connect();
        assert_eq!(conn.request("POST", "/echo", "", b"hello").text(), "hello");
        assert_eq!(conn.request("POST", "/lines", "", b"one\ntwo\nthree").text(), "one|2");
        let large = vec![b'x'; 3_000_000];
        assert_eq!(conn.request("POST", "/echo", "", &large).body, large);
        conn.send(
            "POST /echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        );
        assert_eq!(conn.reply().unwrap().text(), "hello");
        assert_eq!(conn.get("/echo").text(), "");
    });
}

#[test]
fn write_and_late_start_response_work() {
    both(|server| {
        assert_eq!(server.connect().get("/write").text(), "written twice and returned");
        assert_eq!(server.connect().get("/generator").text().lines().count(), 10);
    });
}

#[test]
fn close_is_called_whatever_happened() {
    for threads in [1, 4] {
        let server = with_threads(threads).option("workers", 1).start();
        assert_eq!(server.connect().get("/closing").text(), "one two");
        let mut conn = server.connect();
        conn.send("GET /closing_raise HTTP/1.1\r\nhost: t\r\n\r\n");
        assert!(conn.reply().is_err(), "a broken answer looked whole");
        server.wait_for("raised late on purpose", 1);
        let limit = Instant::now() + Duration::from_secs(10);
        while server.connect().get("/closed").text() != "2" {
            assert!(Instant::now() < limit);
        }
    }
}

#[test]
fn exceptions_and_broken_answers_are_500_and_the_worker_lives() {
    both(|server| {
        // More often than there are threads.
        for path in ["/raise", "/badheader", "/toolong"].iter().chain(&["/manyheaders"; 9]) {
            let reply = server.connect().get(path);
            assert_eq!(reply.status, 500, "{path}");
            assert_eq!(reply.header("set-cookie"), None, "{path}");
        }
        server.wait_for("RuntimeError: raised on purpose", 1);
        server.wait_for("an answer has 16384 headers at most", 9);
        let mut conn = server.connect();
        conn.send("GET /tooshort HTTP/1.1\r\nhost: t\r\n\r\n");
        assert!(conn.reply().is_err(), "a short body looked whole");
        assert!(server.workers().contains(&server.connect().get("/pid").text().parse().unwrap()));
    });
}

#[test]
fn the_standard_librarys_validator_finds_nothing() {
    for threads in [1, 4] {
        let server = Server::app("wsgi_app:valid").option("blocking-threads", threads).start();
        let reply = server.connect().request("POST", "/", "", b"body");
        assert_eq!(reply.text(), "ok body", "{}", server.log());
    }
}

#[test]
fn threads_answer_at_the_same_time_and_persist() {
    let server = with_threads(4).option("workers", 1).start();
    server.wait_for("at most 4 application calls at once", 1);
    let begun = Instant::now();
    let mut conns: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for conn in &mut conns {
        conn.send("GET /sleep HTTP/1.1\r\nhost: t\r\n\r\n");
    }
    let mut names: Vec<_> = conns.iter_mut().map(|conn| conn.reply().unwrap().text()).collect();
    // One after another they would take 1.2 s at the least.
    assert!(begun.elapsed() < Duration::from_millis(1150), "{:?}", begun.elapsed());
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4);
}

#[test]
fn a_thread_that_takes_too_long_is_answered_for_and_interrupted() {
    let server = Server::app("wsgi_app:app")
        .option("workers", 1)
        .option("blocking-threads", 2)
        .option("request-timeout", "300ms")
        .start();
    let reply = server.connect().get("/loop");
    assert_eq!(reply.status, 504, "{}", reply.text());
    server.wait_for("RequestTimeout", 1);
    // Both threads serve on.
    let mut conns: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for conn in &mut conns {
        conn.send("GET /slow?0.1 HTTP/1.1\r\nhost: t\r\n\r\n");
    }
    conns.iter_mut().for_each(|conn| assert_eq!(conn.reply().unwrap().text(), "slow answer"));
    server.stop();
}

#[test]
fn files_are_sent_from_where_they_were_read_to_and_closed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "0123456789").unwrap();
    let path = format!("/file?{}", file.path().display());
    both(|server| {
        let mut conn = server.connect();
        let before: u32 = conn.get("/closed").text().parse().unwrap();
        let whole = conn.get(&path);
        assert_eq!((whole.text().as_str(), whole.header("content-length")), ("23456789", Some("8")));
        assert_eq!(conn.get(&format!("{path}&short")).text(), "234");
        let head = conn.request("HEAD", &path, "", b"");
        assert_eq!((head.body.len(), head.header("content-length")), (0, Some("8")));
        assert_eq!(conn.get(&format!("{path}&long")).status, 500);
        assert_eq!(conn.get("/nofile").text(), "not a real file");
        assert_eq!(conn.get("/closed").text().parse::<u32>().unwrap(), before + 4);
    });
}

#[test]
fn early_hints_go_before_the_answer() {
    both(|server| {
        let mut conn = server.connect();
        let hint = conn.get("/hints");
        assert_eq!((hint.status, hint.header("link")), (103, Some("</a.css>; rel=preload")));
        assert_eq!(hint.headers.len(), 1);
        assert_eq!(conn.reply().unwrap().text(), "hinted");
    });
}
