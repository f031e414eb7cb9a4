//! A server in Node as a companion: examples/node as it is.

use super::pid;
use hostler_testkit::{Conn, Server, root};
use nix::sys::signal::{Signal, kill};
use std::{fs, net::TcpListener};

fn ask(port: u16) -> String {
    let mut client = Conn::to(([127, 0, 0, 1], port).into());
    let reply = client.request("GET", "/", "connection: close\r\n", b"");
    assert_eq!(reply.status, 200);
    reply.text()
}

#[test]
#[ignore = "needs node: cargo xtask engines"]
fn a_server_in_node_is_pre_forked() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hostler.toml");
    let text = fs::read_to_string(root().join("examples/node/hostler.toml")).unwrap();
    fs::write(&file, text.replace("9000", &port.to_string()).replace("app = \"starlette_app:app\"", ""))
        .unwrap();
    let server = Server::app("starlette_app:app").example().option("config", file.display()).start();
    assert!(ask(port).starts_with("from Node, replica "));
    for nth in 1..=2 {
        kill(pid(&server, "node", nth), Signal::SIGKILL).unwrap();
    }
    // Clients wait, and are not refused, while nobody serves and while replicas are replaced.
    (0..20).for_each(|_| assert!(ask(port).starts_with("from Node, ")));
    server.signal(Signal::SIGHUP);
    while server.log().matches("companion started companion=\"node\"").count() < 6 {
        assert!(ask(port).starts_with("from Node, "));
    }
    server.stop();
}
