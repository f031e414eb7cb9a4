//! Settings of mounts: what is refused, and what a reload does.

use super::{Site, serve};
use crate::support::Place;
use hostler_testkit::{Builder, READABLE_PYTHON, Server, can_make_namespaces, python};
use nix::sys::signal::Signal;
use std::{fs, path::Path, process::Command};

fn mounts(pairs: &[(&str, &str)]) -> Builder {
    pairs.iter().fold(Server::app("asgi_app:app"), |server, (route, path)| {
        server.option("static-path-route", route).option("static-path-mount", path)
    })
}

#[test]
fn mounts_that_cannot_be_served_are_refused_at_the_start() {
    let site = Site::with(&[("file", "")]);
    let here = site.path().to_str().unwrap();
    let file = site.path().join("file");
    for (server, code, texts) in [
        (
            mounts(&[("/a", here), ("/a/", "/tmp")]),
            2,
            ["would both be served as /a", "a route has one directory"],
        ),
        (
            mounts(&[("/a", here)]).option("static-mount", format!("/a={here}")),
            2,
            ["would both be served as /a", here],
        ),
        (
            mounts(&[("/a", here)]).option("static-path-route", "/b"),
            2,
            ["2 routes and 1 directories", "in the same order"],
        ),
        (mounts(&[("static", here)]), 2, ["`static` is no path of a URL", "begins with a slash"]),
        (mounts(&[("/a/../b", here)]), 2, ["is no path of a URL", "/a/../b"]),
        (mounts(&[("/a", "/no/such/directory")]), 78, ["/no/such/directory", "No such file or directory"]),
        (mounts(&[("/a", file.to_str().unwrap())]), 78, ["it is no directory", "static files of /a"]),
        (
            mounts(&[("/a", here)]).option("static-path-header", "no header"),
            2,
            ["static-path-header", "Name: value"],
        ),
        (
            mounts(&[("/a", here)]).option("static-path-header", "Content-Length: 5"),
            2,
            ["static-path-header", "length"],
        ),
        (
            mounts(&[("/a", here)]).option("static-path-dir-to-file", "../x"),
            2,
            ["`../x` is no name of a file", "index.html"],
        ),
        (Server::app("asgi_app:app").option("static-mount", "/a"), 2, ["static-mount", "ROUTE=DIRECTORY"]),
        (Server::app("asgi_app:app").option("x-sendfile", "/no/such"), 78, ["/no/such", "--x-sendfile"]),
    ] {
        let (status, log) = server.fail();
        assert_eq!(status, Some(code), "{log}");
        texts.iter().for_each(|text| assert!(log.contains(text), "{text}: {log}"));
    }
}

fn is_readable_for_nobody(python: &Path) -> bool {
    let test = ["--reuid", "65534", "--clear-groups", "test", "-x"];
    Command::new("setpriv").args(test).arg(python).status().is_ok_and(|status| status.success())
}

/// The master is root, the workers are not.
#[test]
fn a_directory_that_the_workers_may_not_enter_is_told() {
    use std::os::unix::fs::PermissionsExt;
    if !nix::unistd::geteuid().is_root() {
        eprintln!("left out: it needs root");
        return;
    }
    let python = fs::canonicalize(python()).unwrap();
    let site = Site::with(&[("a.txt", "a")]);
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let server = serve(&site).option("user", "nobody");
    // Only a Python below a private home needs a namespace of its own.
    let server = match is_readable_for_nobody(&python) {
        true => server,
        false if can_make_namespaces() => {
            server.wrapped(&["unshare", "--mount", "sh", "-c", READABLE_PYTHON, python.to_str().unwrap()])
        }
        false => panic!("{} is not readable for every user, and there are no namespaces", python.display()),
    };
    let (status, log) = server.fail();
    assert_eq!(status, Some(3), "{log}");
    assert!(log.contains("cannot enter the directory") && log.contains("Permission denied"), "{log}");
}

#[test]
fn a_reload_with_a_bad_mount_changes_nothing_and_a_good_one_does() {
    let place = Place::new("static-reload");
    let (one, two) = (Site::with(&[("a", "one")]), Site::with(&[("a", "two")]));
    let table = |path: &str| {
        format!("[[static-mount]]\nroute = \"/s\"\npath = {path:?}\nheaders = {{ X-Site = {path:?} }}\n")
    };
    fs::write(&place.config, table(one.path().to_str().unwrap())).unwrap();
    let server = place.app().start();
    assert_eq!(server.connect().get("/s/a").text(), "one");
    fs::write(&place.config, table("/no/such/directory")).unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for("cannot use the directory `/no/such/directory`", 1);
    assert_eq!(server.connect().get("/s/a").text(), "one");
    fs::write(&place.config, table(two.path().to_str().unwrap())).unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_until("the new directory is served, with its headers", || {
        let reply = server.connect().get("/s/a");
        reply.text() == "two" && reply.header("x-site") == two.path().to_str()
    });
    server.stop();
}

#[test]
fn headers_are_added_and_replaced() {
    let site = Site::with(&[("a.txt", "a")]);
    let server = serve(&site)
        .option("static-path-header", "X-Content-Type-Options: nosniff")
        .option("static-path-header", "Cache-Control: no-cache")
        .option("static-path-header", "Access-Control-Allow-Origin: *")
        .start();
    let mut conn = server.connect();
    let first = conn.get("/static/a.txt");
    let tag = format!("if-none-match: {}\r\n", first.header("etag").unwrap());
    for reply in [first, conn.request("GET", "/static/a.txt", &tag, b"")] {
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("cache-control"), Some("no-cache"));
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    }
    assert_eq!(conn.get("/pid").header("x-content-type-options"), None);
    server.stop();
}

/// A mount for fonts has `Vary: Origin`; caches must go by the encoding all the same.
#[test]
fn headers_of_a_mount_take_nothing_from_encodings_and_ranges() {
    let site = Site::with(&[("a.js", "plain"), ("a.js.br", "brotli")]);
    let server = serve(&site)
        .option("static-path-header", "Vary: Origin")
        .option("static-path-header", "Content-Type: text/x-own")
        .start();
    let mut conn = server.connect();
    let varies = |reply: &hostler_testkit::Reply| {
        let values = reply.headers.iter().filter(|(name, _)| name == "vary");
        values.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let encoded = conn.request("GET", "/static/a.js", "accept-encoding: br\r\n", b"");
    assert_eq!(encoded.text(), "brotli");
    assert_eq!(varies(&encoded), ["Accept-Encoding", "Origin"]);
    let plain = conn.get("/static/a.js");
    assert_eq!((plain.text().as_str(), plain.header("content-type")), ("plain", Some("text/x-own")));
    assert_eq!(varies(&plain), ["Accept-Encoding", "Origin"]);
    let parts = conn.request("GET", "/static/a.js", "range: bytes=0-0,4-4\r\n", b"");
    let kind = parts.header("content-type").unwrap();
    assert!(parts.status == 206 && kind.starts_with("multipart/byteranges; boundary="), "{kind}");
    assert_eq!(parts.text().matches("Content-Type: text/x-own\r\n").count(), 2, "{}", parts.text());
    server.stop();
}

/// What recycling guards against is what applications leak.
#[test]
fn files_do_not_count_as_requests_of_the_application() {
    let site = Site::with(&[("a.txt", "a")]);
    let server = serve(&site).option("max-requests", 5).start();
    let worker = server.workers();
    for _ in 0..50 {
        assert_eq!(server.connect().get("/static/a.txt").status, 200);
    }
    assert_eq!(server.workers(), worker);
    for _ in 0..5 {
        assert_eq!(server.connect().get("/pid").status, 200);
    }
    server.wait_until("the worker is recycled", || server.workers() != worker);
    server.stop();
}
