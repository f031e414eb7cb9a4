//! Companions that are handed listening sockets: pre-forked servers of any language.

use super::{Site, pid};
use hostler_testkit::Server;
use nix::sys::signal::{Signal, kill};
use std::{
    io::Read as _,
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
};

/// Answers each connection with what it was told of its sockets, and serves both.
const SERVER: &str = r#"
import os, select, socket
count = int(os.environ["LISTEN_FDS"])
assert int(os.environ["LISTEN_PID"]) == os.getpid()
sockets = [socket.socket(fileno=3 + number) for number in range(count)]
while True:
    for ready in select.select(sockets, [], [])[0]:
        ready.setblocking(False)
        try:
            client, _ = ready.accept()
        except BlockingIOError:
            continue
        client.sendall(f"{os.environ['LISTEN_FDNAMES']} {os.environ['HOSTLER_REPLICA']}".encode())
        client.close()
"#;

fn site() -> Site {
    let site = Site::new(
        r#"
        [[companion]]
        name = "web"
        command = "python3 DIR/server.py"
        replicas = 2
        listen = ["http=127.0.0.1:PORT", "unix:DIR/socket"]
        "#,
    );
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = site.path("hostler.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("PORT", &port.to_string());
    std::fs::write(file, text).unwrap();
    std::fs::write(site.path("server.py"), SERVER).unwrap();
    site
}

/// The address that the companion's socket has.
fn address(server: &Server) -> SocketAddr {
    server.wait_for("listening for a companion", 2);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("listening for a companion address=127")).unwrap();
    line.split("address=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
}

fn ask(address: SocketAddr) -> String {
    let mut text = String::new();
    TcpStream::connect(address).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn replicas_share_sockets_that_stay_open_while_they_are_started_again() {
    let site = site();
    let server = site.builder().start();
    let address = address(&server);
    let answer = ask(address);
    assert!(answer == "http:web 1" || answer == "http:web 2", "{answer}");
    for nth in 1..=2 {
        kill(pid(&server, "web", nth), Signal::SIGKILL).unwrap();
    }
    // The client waits, and is not refused.
    for _ in 0..20 {
        assert!(ask(address).starts_with("http:web "));
    }
    let mut text = String::new();
    UnixStream::connect(site.path("socket")).unwrap().read_to_string(&mut text).unwrap();
    assert!(text.starts_with("http:web "), "{text}");
    server.stop();
    assert!(!site.path("socket").exists());
}

#[test]
fn sockets_of_companions_outlast_reloads_and_upgrades() {
    let site = site();
    let mut server = site.builder().start();
    let address = address(&server);
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    assert!(ask(address).starts_with("http:web "));
    server.signal(Signal::SIGUSR2);
    server.wait_for("companion taken over as it runs companion=\"web\"", 2);
    server.wait_exit_of_master();
    kill(pid(&server, "web", 1), Signal::SIGKILL).unwrap();
    for _ in 0..20 {
        assert!(ask(address).starts_with("http:web "));
    }
    kill(nix::unistd::Pid::from_raw(server.successor()), Signal::SIGTERM).unwrap();
    server.wait_empty();
    assert!(!site.path("socket").exists(), "{}", server.log());
}

#[test]
fn an_address_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let site =
        Site::new(&format!("[[companion]]\nname = \"a\"\ncommand = \"true\"\nlisten = [\"{address}\"]"));
    let (code, log) = site.builder().fail();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(&format!("cannot listen on {address} for companion `a`")), "{log}");
}
