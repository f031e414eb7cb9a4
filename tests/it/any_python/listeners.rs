//! Listeners: ports, Unix sockets, inherited sockets.

use hostler_testkit::{Server, directory, root};
use std::{
    fs,
    net::TcpListener,
    os::{fd::AsRawFd, unix::net::UnixListener},
    process::Command,
};

/// As systemd passes one socket.
const PASSED: [&str; 4] = ["sh", "-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"", "sh"];

#[test]
fn a_port_in_use_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (status, log) = Server::app("asgi_app:app").option("port", port).fail();
    assert_eq!(status, Some(1), "{log}");
    assert!(
        log.contains(&format!("cannot listen on 127.0.0.1:{port}")) && log.contains("another program"),
        "{log}"
    );
    let server = Server::app("asgi_app:app").start();
    let (status, log) = Server::app("asgi_app:app").option("port", server.address.unwrap().port()).fail();
    assert_eq!(status, Some(1), "two servers share a port in silence:\n{log}");
}

#[test]
fn a_privileged_port_is_explained() {
    // As user `nobody`, without the capability; a container may allow low ports to every user.
    let start = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if start.trim() == "0" || !nix::unistd::geteuid().is_root() {
        println!("skipped: this machine lets us bind low ports, or does not let us become nobody");
        return;
    }
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"])
        .arg(root().join("target/release/axum-hello"))
        .arg("127.0.0.1:81")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if text.contains("setpriv:") || text.contains("execve") {
        println!("skipped: nobody may not run programs here: {text}");
        return;
    }
    assert_ne!(output.status.code(), Some(0), "{text}");
}

#[test]
fn a_unix_socket_is_served_and_removed() {
    let path = std::env::temp_dir().join(format!("hostler-it-{}.sock", std::process::id()));
    let server = Server::app("asgi_app:app").option("uds", path.display()).start();
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /pid HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    server.stop();
    assert!(!path.exists());
}

#[test]
fn a_start_on_a_unix_socket_whose_queue_is_full_is_refused_at_once() {
    let dir = directory("full-queue");
    let socket = dir.join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    // The shortest queue there is (listen(2)); std asks for a long one.
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let mut waiting = Vec::new();
    loop {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket as make};
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let client = make(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
        match connect(client.as_raw_fd(), &UnixAddr::new(&socket).unwrap()) {
            Ok(()) => waiting.push(client),
            Err(error) => break assert_eq!(error, nix::Error::EAGAIN),
        }
    }
    let (code, log) = Server::app("hostile:app").option("uds", socket.display()).fail();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("cannot listen on unix:"), "{log}");
    assert!(socket.exists());
}

#[test]
fn a_socket_of_systemd_is_served_and_not_inherited() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::app("supervised:app")
        .option("workers", 1)
        .wrapped(&PASSED)
        .descriptor(listener.try_clone().unwrap())
        .start();
    assert_eq!(server.address, Some(address));
    assert_eq!(server.connect().get("/pid").status, 200);
    let seen = server.connect().get("/inherited").text();
    assert_eq!(seen, "LISTEN_FDS=None children=[]");
    server.stop();
    // It was never ours to close.
    assert!(std::net::TcpStream::connect(address).is_ok());
}

#[test]
fn a_socket_of_systemd_is_served_although_the_file_has_empty_addresses() {
    for empty in ["bind = []\n", "uds = ''\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let file = directory("empty-addresses").join("config");
        fs::write(&file, empty).unwrap();
        let app = Server::app("supervised:app").option("workers", 1).option("config", file.display());
        let server = app.wrapped(&PASSED).descriptor(listener.try_clone().unwrap()).start();
        assert_eq!(server.address, listener.local_addr().ok(), "{empty}");
        server.stop();
    }
}

#[test]
fn a_socket_of_systemd_that_is_not_served_is_logged() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let app = Server::app("supervised:app").option("workers", 1).option("port", 0);
    let server = app.wrapped(&PASSED).descriptor(listener.try_clone().unwrap()).start();
    let told = "passed sockets are not listened on: other addresses are configured sockets=\"fd://3\"";
    assert!(server.log().contains(told), "{}", server.log());
    assert_ne!(server.address, listener.local_addr().ok());
    server.stop();
}

#[test]
fn an_address_that_is_given_twice_is_refused_as_such() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let socket = directory("twice").join("s.sock");
    for address in [free.to_string(), format!("unix:{}", socket.display())] {
        let app = Server::app("supervised:app").option("bind", &address);
        let (code, log) = app.option("bind", &address).fail();
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains("hint: this address is given twice"), "{log}");
        assert!(!socket.exists());
    }
}

#[test]
fn a_descriptor_that_is_no_socket_is_refused() {
    let file = fs::File::open("/dev/null").unwrap();
    let (code, log) = Server::app("supervised:app").wrapped(&PASSED).descriptor(file).fail();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("cannot listen on fd://3") && log.contains("not a socket"), "{log}");
}
