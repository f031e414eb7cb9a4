//! Files that applications name: `X-Sendfile`, pathsend, `wsgi.file_wrapper`, `response_file`.

use super::{Site, pattern};
use hostler_testkit::{Builder, Server};

const INTERFACES: [&str; 3] = ["asgi", "wsgi", "rsgi"];

fn serve(interface: &str) -> Builder {
    Server::app(&format!("files_app:{interface}")).option("interface", interface).option("workers", 1)
}

#[test]
fn a_file_that_the_application_names_is_sent_in_place_of_its_body() {
    let site = Site::new();
    let content = pattern(300_000);
    site.write("deep/a.bin", &content);
    let path = format!("/?{}", site.path().join("deep/a.bin").display());
    for interface in INTERFACES {
        let server = serve(interface).option("x-sendfile", site.path().display()).start();
        let mut conn = server.connect();
        let reply = conn.get(&path);
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/x-own")), "{interface}");
        assert!(reply.body == content, "{interface}");
        assert_eq!(reply.header("content-length"), Some("300000"));
        assert_eq!((reply.header("x-sendfile"), reply.header("cache-control")), (None, Some("private")));
        assert_eq!(reply.headers.iter().filter(|(name, _)| name == "set-cookie").count(), 2);
        let tag = format!("if-none-match: {}\r\n", reply.header("etag").unwrap());
        assert_eq!(conn.request("GET", &path, &tag, b"").status, 304);
        let part = conn.request("GET", &path, "range: bytes=1000-1999\r\n", b"");
        assert_eq!((part.status, part.header("content-range")), (206, Some("bytes 1000-1999/300000")));
        assert!(part.body == content[1000..2000], "{interface}");
        let head = conn.request("HEAD", &path, "", b"");
        assert_eq!((head.status, head.header("content-length")), (200, Some("300000")), "{interface}");
        // Conditions are about a 200.
        let missing = conn.request("GET", &format!("{path}&404"), &format!("{tag}range: bytes=0-1\r\n"), b"");
        assert_eq!((missing.status, missing.body.len()), (404, 300_000), "{interface}");
        server.stop();
    }
}

#[test]
fn a_status_without_content_and_another_method_than_get_stay_as_they_are() {
    let site = Site::with(&[("a", "content")]);
    let path = format!("/?{}", site.path().join("a").display());
    for interface in INTERFACES {
        let server = serve(interface).option("x-sendfile", site.path().display()).start();
        let mut conn = server.connect();
        for status in [204, 304] {
            let reply = conn.get(&format!("{path}&{status}"));
            assert_eq!((reply.status, reply.header("x-sendfile")), (status, None), "{interface}");
            // RFC 9110 §8.6: a 204 has none.
            assert_eq!((reply.header("content-length"), reply.body.len()), (None, 0), "{interface}");
        }
        let posted = conn.request("POST", &path, "if-none-match: *\r\nrange: bytes=0-1\r\n", b"body");
        assert_eq!((posted.status, posted.text().as_str()), (200, "content"), "{interface}");
        server.stop();
    }
}

#[test]
fn files_that_are_not_allowed_are_not_sent() {
    let (site, other) = (Site::with(&[("a", "a")]), Site::with(&[("secret", "secret")]));
    std::os::unix::fs::symlink(other.path().join("secret"), site.path().join("link")).unwrap();
    nix::unistd::mkfifo(&site.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (here, secret) = (site.path().to_str().unwrap(), other.path().join("secret"));
    let server = serve("asgi").option("x-sendfile", here).start();
    let mut conn = server.connect();
    let names = [
        secret.display().to_string(),
        format!("{here}/../{}/secret", other.path().file_name().unwrap().display()),
        format!("{here}/link"),
        format!("{here}/pipe"),
        format!("{here}/none"),
        here.to_string(),
        "a".into(),
        String::new(),
    ];
    for name in &names {
        let reply = conn.get(&format!("/?{name}"));
        assert_eq!((reply.status, reply.text().as_str()), (404, "Not Found"), "{name}");
        assert_eq!(reply.header("set-cookie"), None);
    }
    server.wait_for("X-Sendfile: cannot send the file", names.len());
    assert_eq!(conn.get("/plain?").text(), "from the application");
    server.stop();
}

/// Whoever did not ask for it gets the header as the application sent it: a proxy may be meant.
#[test]
fn without_the_option_the_header_is_the_applications_own() {
    let site = Site::with(&[("a", "a")]);
    let path = site.path().join("a");
    let server = serve("asgi").start();
    let reply = server.connect().get(&format!("/?{}", path.display()));
    assert_eq!((reply.text().as_str(), reply.header("x-sendfile")), ("from the application", path.to_str()));
    server.stop();
}

#[test]
fn files_of_every_interface_arrive_whole_at_any_size() {
    let site = Site::new();
    let sizes = [0, 1, 65_536, 65_537, 3_000_000];
    sizes.iter().for_each(|size| site.write(&size.to_string(), pattern(*size)));
    for interface in INTERFACES {
        for threads in if interface == "wsgi" { vec![1, 2] } else { vec![1] } {
            let server = serve(interface).option("blocking-threads", threads).start();
            let mut conn = server.connect();
            for size in sizes {
                let path = format!("/pathsend?{}", site.path().join(size.to_string()).display());
                let reply = conn.get(&path);
                assert!(reply.status == 200 && reply.body == pattern(size), "{interface} {size}");
                let head = conn.request("HEAD", &path, "", b"");
                assert_eq!((head.status, head.body.len()), (200, 0), "{interface} {size}");
            }
            server.stop();
        }
    }
}
