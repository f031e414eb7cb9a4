//! `--response-header`: headers of all responses, whoever makes them.

use hostler_testkit::{Builder, Server, directory};
use std::fs;

fn with_headers(target: &str) -> Builder {
    let server = Server::app(target).option("workers", 1).option("response-header", "X-Frame-Options: DENY");
    server.option("header", "X-Kind: ours").option("header", "Link: </a>").option("header", "link: </b>")
}

#[test]
fn responses_of_all_interfaces_have_them_and_keep_their_own() {
    for (interface, target, paths) in [
        ("asgi", "asgi_app:app", &["/scope", "/stream"][..]),
        ("rsgi", "rsgi_app:app", &["/scope"]),
        // What `write()` sends goes past hyper.
        ("wsgi", "wsgi_app:app", &["/environ", "/write", "/write"]),
    ] {
        let server = with_headers(target).option("interface", interface).start();
        for path in paths {
            let reply = server.connect().get(path);
            assert_eq!(reply.header("x-frame-options"), Some("DENY"), "{target} {path}: {reply:?}");
            let links = reply.headers.iter().filter(|(name, _)| name == "link").count();
            assert_eq!(links, 2, "{target} {path}: {reply:?}");
            let kind = if *path == "/stream" { "stream" } else { "ours" };
            let kinds = reply.headers.iter().filter(|(name, _)| name == "x-kind");
            assert_eq!(kinds.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), [kind], "{target} {path}");
        }
        server.stop();
    }
}

#[test]
fn files_and_errors_of_the_server_have_them() {
    let files = directory("response-headers");
    fs::write(files.join("file.txt"), "text").unwrap();
    let server = with_headers("asgi_app:app")
        .option("static-path-mount", files.display())
        .option("limit-request-body", 10)
        .start();
    let file = server.connect().get("/static/file.txt");
    assert_eq!((file.status, file.header("x-frame-options")), (200, Some("DENY")), "{file:?}");
    let refused = server.connect().request("POST", "/scope", "", &[b'x'; 100]);
    assert_eq!((refused.status, refused.header("x-frame-options")), (413, Some("DENY")), "{refused:?}");
    let failed = server.connect().get("/raise");
    assert_eq!((failed.status, failed.header("x-frame-options")), (500, Some("DENY")), "{failed:?}");
    server.stop();
}

#[test]
fn uvicorns_option_is_the_same_and_framing_is_the_servers() {
    let server =
        Server::peer("uvicorn asgi_app:app --port 0 --header X-Env:prod --header Server:shop").launch();
    server.wait_for("serving url", 1);
    let reply = hostler_testkit::Conn::to(server.logged_address().unwrap()).get("/scope");
    assert_eq!((reply.header("x-env"), reply.header("server")), (Some("prod"), Some("shop")), "{reply:?}");
    server.stop();
    for wrong in ["Content-Length: 5", "no colon", "X Y: z"] {
        let (code, log) = Server::app("asgi_app:app").option("response-header", wrong).fail();
        assert!(code == Some(2) && log.contains("--response-header"), "{wrong}: {log}");
    }
}
