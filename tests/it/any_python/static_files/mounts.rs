//! What is found beneath a mount, and what is not.

use super::{Site, pattern, serve};
use crate::tls_support::Authority;
use hostler_testkit::Server;
use std::{fs, io::Read, os::unix::fs::symlink};

#[test]
fn files_of_all_sizes_arrive_whole() {
    let site = Site::new();
    // Read at once, at the limit of that, sent by the kernel in one part and in several.
    for size in [0, 1, 8_000, 65_536, 65_537, 262_144, 262_145, 5_000_000] {
        site.write(&format!("{size}.bin"), pattern(size));
    }
    let server = serve(&site).start();
    let mut conn = server.connect();
    for size in [0, 1, 8_000, 65_536, 65_537, 262_144, 262_145, 5_000_000] {
        let reply = conn.get(&format!("/static/{size}.bin"));
        assert_eq!((reply.status, reply.header("content-length")), (200, Some(size.to_string().as_str())));
        assert!(reply.body == pattern(size), "{size}");
        assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
        assert_eq!(reply.header("cache-control"), Some("max-age=86400"));
        assert_eq!(reply.header("accept-ranges"), Some("bytes"));
        let head = conn.request("HEAD", &format!("/static/{size}.bin"), "", b"");
        assert_eq!((head.status, head.header("content-length")), (200, reply.header("content-length")));
        assert_eq!(head.header("etag"), reply.header("etag"));
    }
    // The application on the same connection.
    assert_eq!(conn.get("/pid").status, 200);
    server.stop();
}

#[test]
fn files_are_served_over_unix_sockets_and_to_http_1_0() {
    let site = Site::new();
    let content = "0123456789".repeat(30_000);
    site.write("large.txt", &content);
    let socket = site.path().join("socket");
    let server = serve(&site)
        .option("bind", "127.0.0.1:0")
        .option("bind", format!("unix:{}", socket.display()))
        .start();
    let reply = hostler_testkit::get_unix(&socket, "/static/large.txt").unwrap();
    assert!(reply.ends_with(&content));
    let mut old = server.connect();
    old.send("GET /static/large.txt HTTP/1.0\r\n\r\n");
    assert!(old.to_end().unwrap().ends_with(content.as_bytes()));
    server.stop();
}

/// Read in pieces: the kernel cannot send what has to be encrypted.
#[test]
fn files_are_served_over_tls() {
    let site = Site::new();
    let content: String = (0..100_000).map(|number| format!("{number:06}\n")).collect();
    site.write("large.txt", &content);
    let authority = Authority::new("static-tls");
    let server = authority.server().serve(serve(&site)).start();
    let mut conn = authority.client().connect(&server);
    for _ in 0..3 {
        assert!(conn.get("/static/large.txt").ends_with(&content));
    }
    conn.send(
        "GET /static/large.txt HTTP/1.1\r\nhost: test\r\nrange: bytes=7-699999\r\nconnection: close\r\n\r\n",
    );
    let mut rest = Vec::new();
    conn.stream.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(&content.as_bytes()[7..]) && rest.starts_with(b"HTTP/1.1 206 "));
    server.stop();
}

#[test]
fn names_that_lead_out_of_the_directory_find_nothing() {
    let site = Site::with(&[
        ("a.txt", "a"),
        ("été b.txt", "b"),
        (".env", "secret"),
        (".git/config", "secret"),
        (".well-known/x", "x"),
    ]);
    fs::create_dir(site.path().join("directory")).unwrap();
    let server = serve(&site).start();
    let mut conn = server.connect();
    for path in [
        "/static/../asgi_app.py",
        "/static/%2e%2e/asgi_app.py",
        "/static/..%2fasgi_app.py",
        "/static//etc/passwd",
        "/static/%2fetc/passwd",
        "/static/a.txt%00",
        "/static/a.txt/",
        "/static/a.txt/b",
        "/static/%zz",
        "/static/%ff",
        "/static/.env",
        "/static/.git/config",
        "/static/%2eenv",
        "/static/directory",
        "/static/directory/",
        "/static/",
        "/static",
        "/static/none.txt",
    ] {
        let reply = conn.get(path);
        assert_eq!((reply.status, reply.text().as_str()), (404, "Not Found"), "{path}");
    }
    let long = conn.get(&format!("/static/{}", "n".repeat(5000)));
    assert_eq!(long.status, 404);
    assert_eq!(conn.get("/static/a.txt?version=1").text(), "a");
    assert_eq!(conn.get("/%73tatic/%61.txt").text(), "a");
    assert_eq!(conn.get("/static/%C3%A9t%C3%A9%20b.txt").text(), "b");
    assert_eq!(conn.get("/static/.well-known/x").text(), "x");
    // Not beneath the route: for the application, which knows no such path.
    assert_eq!(conn.get("/statics/a.txt").status, 500);
    server.stop();
}

#[test]
fn links_are_followed_beneath_the_directory_only() {
    let (site, other) = (Site::with(&[("deep/a.txt", "a")]), Site::with(&[("secret", "secret")]));
    symlink("deep/a.txt", site.path().join("within")).unwrap();
    symlink("deep", site.path().join("directory")).unwrap();
    symlink(other.path().join("secret"), site.path().join("out")).unwrap();
    symlink(other.path(), site.path().join("elsewhere")).unwrap();
    symlink("loop", site.path().join("loop")).unwrap();
    let server = serve(&site).start();
    let mut conn = server.connect();
    assert_eq!(conn.get("/static/within").text(), "a");
    assert_eq!(conn.get("/static/directory/a.txt").text(), "a");
    for path in ["/static/out", "/static/elsewhere/secret", "/static/loop"] {
        assert_eq!(conn.get(path).status, 404, "{path}");
    }
    server.wait_for("a symbolic link leads out of the directory of static files", 1);
    server.stop();
    let follows = serve(&site).arg("--static-path-follow-links").start();
    assert_eq!(follows.connect().get("/static/elsewhere/secret").text(), "secret");
    follows.stop();
}

/// A pipe would have the worker wait for its writer, a socket or a device for who knows what.
#[test]
fn only_regular_files_are_served_and_nothing_blocks() {
    let site = Site::with(&[("a.txt", "a"), ("unreadable", "x")]);
    nix::unistd::mkfifo(&site.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(site.path().join("socket")).unwrap();
    let server = serve(&site).start();
    let mut conn = server.connect();
    for path in ["/static/pipe", "/static/socket"] {
        assert_eq!(conn.get(path).status, 404, "{path}");
    }
    assert_eq!(conn.get("/static/a.txt").text(), "a");
    server.stop();
}

#[test]
fn other_methods_are_told_which_ones_there_are() {
    let site = Site::with(&[("a.txt", "a")]);
    let server = serve(&site).start();
    let mut conn = server.connect();
    for method in ["DELETE", "OPTIONS", "PUT"] {
        let reply = conn.request(method, "/static/a.txt", "", b"");
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    assert_eq!(conn.get("/static/a.txt").text(), "a");
    // The connection may end with it, as its body is not read.
    assert_eq!(conn.request("POST", "/static/a.txt", "", b"a body").status, 405);
    server.stop();
}

#[test]
fn the_longest_route_wins() {
    let (one, two, three) =
        (Site::with(&[("a", "1")]), Site::with(&[("a", "2")]), Site::with(&[("a", "3"), ("pid", "3")]));
    let server = Server::app("asgi_app:app")
        .option("static-path-route", "/s")
        .option("static-path-mount", one.path().display())
        .option("static-path-route", "/s/deep/")
        .option("static-path-mount", two.path().display())
        .option("static-mount", format!("/={}", three.path().display()))
        .start();
    let mut conn = server.connect();
    for (path, content) in [("/s/a", "1"), ("/s/deep/a", "2"), ("/a", "3")] {
        assert_eq!(conn.get(path).text(), content, "{path}");
    }
    assert_eq!(conn.get("/s/deep/none").status, 404);
    // At / the application gets what has no file, and methods that files do not have.
    assert_eq!(conn.get("/pid").text(), "3");
    assert!(conn.get("/pids").status == 500 && conn.request("POST", "/pid", "", b"").text() != "3");
    assert_eq!(conn.get("/echo/../a").status, 200);
    assert_ne!(conn.get("/echo/../a").text(), "3");
    server.stop();
}

#[test]
fn directories_have_an_index_and_are_redirected_to_their_slash() {
    let site = Site::with(&[
        ("index.html", "top"),
        ("docs/index.html", "docs"),
        ("about.html", "about"),
        ("app.html", "page"),
        ("empty/other", ""),
    ]);
    let config = site.path().join("hostler.toml");
    let table =
        |rest: &str| format!("[[static-mount]]\nroute = \"/site\"\npath = {:?}\n{rest}\n", site.path());
    fs::write(&config, table("index = \"index.html\"\nclean_urls = true\nfallback = \"app.html\"")).unwrap();
    let server = Server::app("asgi_app:app").option("config", config.display()).start();
    let mut conn = server.connect();
    for (path, content) in [
        ("/site/", "top"),
        ("/site/docs/", "docs"),
        ("/site/docs/index.html", "docs"),
        ("/site/about", "about"),
        ("/site/about.html", "about"),
        ("/site/some/page", "page"),
        ("/site/empty/", "page"),
    ] {
        let reply = conn.get(path);
        assert_eq!((reply.status, reply.text().as_str()), (200, content), "{path}");
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
    }
    for (path, location) in [("/site", "./site/"), ("/site/docs?a=b", "./docs/?a=b")] {
        let reply = conn.get(path);
        assert_eq!((reply.status, reply.header("location")), (301, Some(location)), "{path}");
    }
    assert_eq!(conn.get("/site/missing.js").status, 404);
    server.stop();
}
