//! Uploads that break off: the client disconnects, resets, or sends invalid chunks.

use hostler_testkit::{Conn, Server};
use nix::sys::signal::Signal;

/// How an upload breaks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Break {
    /// FIN, from a client that still reads.
    Finish,
    /// FIN, or RST if something was not read.
    Close,
    /// A chunk without a size.
    Malformed,
}

const BREAKS: [Break; 3] = [Break::Finish, Break::Close, Break::Malformed];

/// Breaks an upload to `path` once the application is at it; what the client gets, if it is there.
fn broken(server: &Server, path: &str, how: Break, number: usize) -> Option<Vec<u8>> {
    let mut conn = server.connect();
    match how {
        Break::Malformed => {
            conn.send(format!(
                "POST {path} HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
            ));
        }
        Break::Finish | Break::Close => {
            conn.send(format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: 1000\r\n\r\nhello"));
        }
    }
    server.wait_for(&format!("{} begins", path.trim_matches('/')), number);
    match how {
        Break::Finish => conn.finish(),
        Break::Malformed => conn.send("nonsense\r\n"),
        Break::Close => {
            drop(conn);
            return None;
        }
    }
    Some(rest(conn))
}

fn rest(mut conn: Conn) -> Vec<u8> {
    // A reset is an end, too.
    conn.to_end().unwrap_or_default()
}

/// Refused or closed, and neither answered as if it were complete nor left pending.
fn is_refused(answer: &[u8], how: Break) -> bool {
    let told = answer.starts_with(b"HTTP/1.1 400 ");
    told || (answer.is_empty() && how != Break::Malformed)
}

/// A stop has nothing to wait for.
fn stops_at_once(mut server: Server) {
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert!(!server.log().contains("graceful timeout"), "{}", server.log());
    assert!(!server.log().contains("outlived its response"), "{}", server.log());
}

#[test]
fn an_upload_that_breaks_while_it_is_read_is_a_disconnect_and_ends_the_connection() {
    for event_loop in ["hostler", "asyncio"] {
        let server = Server::app("uploads_app:app").option("workers", 1).option("loop", event_loop).start();
        for (number, how) in (1..).zip(BREAKS) {
            let answer = broken(&server, "/read", how, number);
            assert!(answer.is_none_or(|answer| is_refused(&answer, how)), "{how:?}");
            server.wait_for("read ended with http.disconnect", number);
            server.wait_for("and then http.disconnect", number);
            server.wait_for("read raised OSError", number);
        }
        stops_at_once(server);
    }
}

#[test]
fn an_upload_that_breaks_while_its_response_is_streamed_ends_both() {
    let server = Server::app("uploads_app:app").option("workers", 1).start();
    for (number, how) in (1..).zip(BREAKS) {
        let answer = broken(&server, "/stream", how, number).unwrap_or_default();
        assert!(!answer.ends_with(b"0\r\n\r\n"), "{how:?}: a broken exchange looked whole");
        let ends = "stream ended with ['http.disconnect', 'http.disconnect', 'http.disconnect']";
        server.wait_for(ends, number);
        server.wait_for("stream raised OSError", number);
    }
    // The client reads nothing, so the handler waits in `send`.
    let mut flooded = server.connect();
    flooded.send("POST /flood HTTP/1.1\r\nhost: t\r\ncontent-length: 1000\r\n\r\nhello");
    flooded.exactly(100_000).unwrap();
    flooded.finish();
    server.wait_for("flood raised OSError, http.disconnect", 1);
    drop(flooded);
    stops_at_once(server);
}

#[test]
fn an_unread_upload_that_breaks_delays_nothing() {
    for (app, interface) in [("uploads_app:app", "asgi"), ("uploads_app:rsgi", "rsgi")] {
        let server = Server::app(app).option("interface", interface).option("workers", 1).start();
        for (number, how) in (1..).zip(BREAKS) {
            broken(&server, "/unread", how, number);
        }
        assert_eq!(server.connect().get("/unread").text(), "answered");
        stops_at_once(server);
    }
}

#[test]
fn an_upload_that_breaks_raises_in_an_rsgi_application() {
    let server = Server::app("uploads_app:rsgi").option("interface", "rsgi").option("workers", 1).start();
    for path in ["/whole", "/pieces", "/stream"] {
        for (number, how) in (1..).zip(BREAKS) {
            let answer = broken(&server, path, how, number).unwrap_or_default();
            assert!(path == "/stream" || is_refused(&answer, how), "{path} {how:?}");
            assert!(!answer.ends_with(b"0\r\n\r\n"), "{path} {how:?}");
            server.wait_for(&format!("{} raised ProtocolClosed", path.trim_matches('/')), number);
        }
    }
    stops_at_once(server);
}
