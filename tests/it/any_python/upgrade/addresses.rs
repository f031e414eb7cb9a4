//! Upgrades after which the configuration names other addresses, another pid file or other properties of the sockets.

use super::{long_request, signal, upgrade};
use hostler_testkit::{Server, directory, get_unix, proc};
use nix::sys::signal::Signal;
use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

/// A server of one worker with this configuration, and its file.
fn configured(name: &str, text: &str) -> (Server, PathBuf) {
    let file = directory(name).join("config");
    fs::write(&file, text).unwrap();
    let app = Server::app("supervised:app").option("config", file.display());
    (app.option("workers", 1).start(), file)
}

/// The addresses that were bound, in the order of the log.
fn bound(server: &Server) -> Vec<SocketAddr> {
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains(" listening address="));
    lines.filter_map(|line| line.rsplit_once("address=")?.1.parse().ok()).collect()
}

/// Upgrades, and waits until the old server is gone; the new one's process id.
fn upgraded(server: &mut Server) -> i32 {
    let successor = upgrade(server);
    assert_eq!(server.wait_exit_of_master().code(), Some(0), "{}", server.log());
    successor
}

fn end(server: &Server, successor: i32) {
    signal(successor, Signal::SIGTERM);
    server.wait_empty();
}

/// Not bound, and not kept open either, where clients would wait for a response.
fn is_refused(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

#[test]
fn an_address_that_was_removed_is_no_longer_listened_on() {
    let socket = directory("removed-socket").join("s.sock");
    let listened = format!("bind = ['127.0.0.1:0', 'localhost:0', 'unix:{}']\n", socket.display());
    let (mut server, file) = configured("removed", &listened);
    let removed = bound(&server)[1];
    fs::write(&file, "bind = ['127.0.0.1:0']\n").unwrap();
    let successor = upgraded(&mut server);
    server.wait_for(&format!("no longer listened on address={removed}"), 1);
    server.wait_for(&format!("no longer listened on address=unix:{}", socket.display()), 1);
    server.wait_until("the address closed", || is_refused(removed));
    server.wait_until("the socket removed", || !socket.exists());
    assert_eq!(server.connect().get("/pid").status, 200);
    end(&server, successor);
}

#[test]
fn an_upgrade_that_fails_or_whose_server_crashes_removes_no_address() {
    let dir = directory("kept-socket");
    let (socket, pid_file) = (dir.join("s.sock"), dir.join("pid"));
    let both =
        format!("bind = ['127.0.0.1:0', 'unix:{}']\npid-file = '{}'\n", socket.display(), pid_file.display());
    let (server, file) = configured("kept", &both);
    server.wait_for_file(&pid_file);
    fs::write(&file, "bind = ['127.0.0.1:0', '192.0.2.1:1']\n").unwrap();
    server.signal(Signal::SIGUSR2);
    server.wait_for("not upgraded", 1);
    assert!(get_unix(&socket, "/pid").is_ok(), "{}", server.log());
    fs::write(&file, "bind = ['127.0.0.1:0']\n").unwrap();
    let mut long = long_request(&server, 8);
    server.signal(Signal::SIGUSR2);
    server.wait_for("no longer listened on", 1);
    assert!(socket.exists() && pid_file.exists(), "the old server drains: {}", server.log());
    signal(server.successor(), Signal::SIGKILL);
    server.wait_for("this one serves again", 1);
    server.wait_for("worker ready", 3);
    assert!(get_unix(&socket, "/pid").is_ok(), "{}", server.log());
    assert_eq!(long.reply().unwrap().text(), "waited");
    server.stop();
    assert!(!socket.exists() && !pid_file.exists());
}

#[test]
fn a_server_on_a_passed_socket_listens_on_the_addresses_that_were_configured_since() {
    let passed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = passed.local_addr().unwrap();
    let file = directory("passed").join("config");
    fs::write(&file, "bind = ['fd://3']\nworkers = 1\n").unwrap();
    let app = Server::app("supervised:app").option("config", file.display()).descriptor(passed);
    let mut server = app.option("workers", 1).start();
    fs::write(&file, "bind = ['127.0.0.1:0', 'fd://4']\nworkers = 1\n").unwrap();
    server.signal(Signal::SIGUSR2);
    server.wait_for("cannot listen on fd://4", 1);
    server.wait_for("not upgraded", 1);
    fs::write(&file, "bind = ['127.0.0.1:0']\nworkers = 1\n").unwrap();
    server.signal(Signal::SIGUSR2);
    server.wait_for("this server serves", 1);
    assert_eq!(server.wait_exit_of_master().code(), Some(0), "{}", server.log());
    server.wait_until("the passed socket closed", || is_refused(address));
    let configured = *bound(&server).last().unwrap();
    assert_ne!(configured, address);
    assert_eq!(hostler_testkit::Conn::to(configured).get("/pid").status, 200);
    end(&server, server.successor());
}

#[test]
fn a_pid_file_that_was_renamed_or_removed_does_not_stay() {
    let dir = directory("pid-files");
    let [one, two] = ["1", "2"].map(|name| dir.join(name));
    let with = |path: &Path| format!("bind = ['127.0.0.1:0']\npid-file = '{}'\n", path.display());
    let (mut server, file) = configured("pid-file", &with(&one));
    server.wait_for_file(&one);
    fs::write(&file, with(&two)).unwrap();
    let second = upgraded(&mut server);
    server.wait_until("the old file removed", || !one.exists());
    assert_eq!(fs::read_to_string(&two).unwrap().trim(), second.to_string());
    fs::write(&file, "bind = ['127.0.0.1:0']\n").unwrap();
    signal(second, Signal::SIGUSR2);
    server.wait_until("no file", || !two.exists());
    server.wait_for("stopped", 2);
    end(&server, server.successor());
}

#[test]
fn mode_and_backlog_change_with_an_upgrade_and_accept_does_not() {
    let dir = directory("properties");
    let (passed, socket) = (dir.join("passed.sock"), dir.join("s.sock"));
    let listener = UnixListener::bind(&passed).unwrap();
    let file = dir.join("config");
    let with = |rest: &str| {
        let binds = format!("bind = ['127.0.0.1:0', 'fd://3', 'unix:{}']\n", socket.display());
        fs::write(&file, binds + rest).unwrap();
    };
    with("uds-permissions = '0600'\nbacklog = 128\n");
    let app = Server::app("supervised:app").option("config", file.display()).descriptor(listener);
    let mut server = app.option("workers", 2).start();
    let mode = || fs::metadata(&socket).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    with("uds-permissions = '0660'\nbacklog = 300\naccept = 'per-worker'\n");
    server.signal(Signal::SIGHUP);
    let lasting = "changed options take effect with an upgrade (SIGUSR2) or a start";
    server.wait_for(&format!("{lasting} options=\"uds-permissions, backlog\""), 1);
    server.wait_for("changed options take effect with a start options=\"accept\"", 1);
    server.wait_for(" reloaded", 1);
    let successor = upgraded(&mut server);
    server.wait_for("--accept takes effect with a start: the sockets of the old server are kept", 1);
    assert_eq!(mode(), 0o660);
    assert_eq!(waiting(&server, &passed), 301);
    end(&server, successor);
}

/// How many connections may wait on a Unix socket, while the server is stopped.
fn waiting(server: &Server, path: &Path) -> usize {
    let all = server.processes();
    all.iter().for_each(|pid| signal(*pid, Signal::SIGSTOP));
    server.wait_until("all stopped", || all.iter().all(|pid| proc::state(*pid) == Some('T')));
    let mut clients = Vec::new();
    while let Some(client) = connected(path) {
        clients.push(client);
    }
    all.iter().for_each(|pid| signal(*pid, Signal::SIGCONT));
    clients.len()
}

/// A connection to a Unix socket, if there is room in its queue.
fn connected(path: &Path) -> Option<UnixStream> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    use std::os::fd::AsRawFd;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let client = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
    connect(client.as_raw_fd(), &UnixAddr::new(path).unwrap()).ok().map(|()| client.into())
}
