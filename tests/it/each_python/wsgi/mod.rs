//! WSGI (PEP 3333), in place (one thread) and with several.

mod bodies;
mod environ;
mod errors;
mod files;
mod pieces;
mod slow_clients;
mod threads;

use crate::support::reset;
use hostler_testkit::{Builder, Conn, Server};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

fn wsgi_app(threads: u16) -> Builder {
    Server::app("wsgi_app:app").option("blocking-threads", threads)
}

/// With one thread and with several.
fn both(test: impl Fn(&Server)) {
    for threads in [1, 4] {
        test(&wsgi_app(threads).start());
    }
}

fn adverse_app(threads: u16) -> Builder {
    Server::app("wsgi_adverse:app").option("workers", 1).option("blocking-threads", threads)
}

fn adverse_both(test: impl Fn(&Server)) {
    for threads in [1, 4] {
        let server = adverse_app(threads).start();
        test(&server);
        server.stop();
    }
}

/// A file that tells an application to go on.
struct Go(TempDir);

impl Go {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("go")
    }

    fn now(&self) {
        fs::write(self.path(), "").unwrap();
    }
}

fn send_get(conn: &mut Conn, path: &str) {
    conn.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n"));
}

fn send_expecting(conn: &mut Conn, path: &str, length: usize) {
    let head = format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: {length}");
    conn.send(format!("{head}\r\nexpect: 100-continue\r\n\r\n"));
}

/// What comes until the connection ends.
fn all_of(server: &Server, path: &str) -> String {
    let mut conn = server.connect();
    send_get(&mut conn, path);
    String::from_utf8(conn.to_end().unwrap()).unwrap()
}

/// Reads until `text` has come.
fn read_until(conn: &mut Conn, text: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).ends_with(text) {
        seen.extend(conn.exactly(1).expect("it comes"));
    }
}

/// Waits until the application's own count of something has a value.
fn wait_for_state(server: &Server, what: &str, value: &str) {
    let has_value = || server.connect().get(&format!("/state?{what}")).text() == value;
    server.wait_until(&format!("{value} {what}"), has_value);
}
