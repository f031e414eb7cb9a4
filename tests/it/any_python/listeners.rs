//! Listeners: ports, Unix sockets, inherited sockets.

use hostler_testkit::{Conn, Server, directory, get_unix, root};
use nix::sys::signal::Signal;
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::{
        fd::AsRawFd,
        unix::{
            fs::{MetadataExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
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
    let app = Server::app("supervised:app").option("bind", format!("0.0.0.0:{}", free.port()));
    let (code, log) = app.option("bind", format!("127.0.0.1:{}", free.port())).fail();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("is given as well, and one of the two includes the other"), "{log}");
    let passed = TcpListener::bind("127.0.0.1:0").unwrap();
    let app = Server::app("supervised:app").option("bind", "fd://3").option("bind", "fd://3");
    let (code, log) = app.descriptor(passed).fail();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("cannot listen on fd://3") && log.contains("given twice"), "{log}");
}

#[test]
fn a_descriptor_that_is_no_socket_is_refused() {
    let file = fs::File::open("/dev/null").unwrap();
    let (code, log) = Server::app("supervised:app").wrapped(&PASSED).descriptor(file).fail();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("cannot listen on fd://3") && log.contains("not a socket"), "{log}");
}

fn mode_and_group(path: &std::path::Path) -> (u32, u32) {
    let meta = fs::metadata(path).unwrap();
    (meta.permissions().mode() & 0o7777, meta.gid())
}

#[test]
fn a_unix_socket_has_the_mode_owner_and_group_that_are_asked_for() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    let socket = directory("access").join("s.sock");
    let app = || Server::app("supervised:app").option("workers", 1).option("uds", socket.display());
    let server = app()
        .option("uds-permissions", "660")
        .option("uds-owner", "65534")
        .option("uds-group", "65533")
        .start();
    assert_eq!(mode_and_group(&socket), (0o660, 65533));
    assert_eq!(fs::metadata(&socket).unwrap().uid(), 65534);
    assert!(get_unix(&socket, "/pid").is_ok());
    server.stop();
    assert!(!socket.exists());
    let (code, log) = app().option("uds-group", "no-such-group").fail();
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("invalid value 'no-such-group' for --uds-group"), "{log}");
    assert!(!socket.exists());
}

#[test]
fn an_upgrade_gives_a_unix_socket_its_new_mode() {
    let dir = directory("access-upgrade");
    let (socket, file) = (dir.join("s.sock"), dir.join("config"));
    let configured = |mode: &str| format!("uds = '{}'\nuds-mode = '{mode}'\nworkers = 1\n", socket.display());
    fs::write(&file, configured("600")).unwrap();
    let mut server =
        Server::app("supervised:app").option("config", file.display()).option("workers", 1).start();
    assert_eq!(mode_and_group(&socket).0, 0o600);
    fs::write(&file, configured("666")).unwrap();
    server.signal(Signal::SIGUSR2);
    assert_eq!(server.wait_exit_of_master().code(), Some(0), "{}", server.log());
    assert_eq!(mode_and_group(&socket).0, 0o666);
    assert!(get_unix(&socket, "/pid").is_ok());
}

/// A connection to an abstract name, and the body of a GET.
fn get_abstract(name: &str) -> std::io::Result<String> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    let mut stream = UnixStream::connect_addr(&address)?;
    stream.write_all(b"GET /pid HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text.rsplit_once("\r\n\r\n").unwrap_or_default().1.to_owned())
}

#[test]
fn an_abstract_unix_socket_is_served_through_reloads_and_upgrades_and_gone_at_the_end() {
    let name = format!("hostler-it-{}", std::process::id());
    let app = || Server::app("supervised:app").option("workers", 1).option("bind", format!("unix:@{name}"));
    let mut server = app().start();
    let first = get_abstract(&name).unwrap();
    assert!(server.log().contains(&format!("address=unix:@{name}")), "{}", server.log());
    let (code, log) = app().fail();
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains(&format!("cannot listen on unix:@{name}")) && log.contains("another program"),
        "{log}"
    );
    server.signal(Signal::SIGHUP);
    server.wait_for("worker exited", 1);
    let second = get_abstract(&name).unwrap();
    assert_ne!(first, second);
    server.signal(Signal::SIGUSR2);
    assert_eq!(server.wait_exit_of_master().code(), Some(0), "{}", server.log());
    assert_ne!(get_abstract(&name).unwrap(), second);
    let successor = server.successor();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(successor), Signal::SIGTERM).unwrap();
    server.wait_empty();
    assert!(get_abstract(&name).is_err());
}

#[test]
fn a_name_is_listened_on_at_all_of_its_addresses() {
    if !nix::unistd::geteuid().is_root() || TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: this needs a mount namespace, and IPv6");
        return;
    }
    let hosts = directory("hosts").join("hosts");
    // The last one is no address of this machine, and left out.
    fs::write(&hosts, "127.0.0.1 both.test\n::1 both.test\n192.0.2.77 both.test\n").unwrap();
    let script = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
    let wrapper = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let app =
        Server::app("supervised:app").option("workers", 1).option("bind", "both.test:0").wrapped(&wrapper);
    let mut server = app.start();
    if server.log().contains("unshare:") {
        println!("skipped: no mount namespaces here");
        return;
    }
    let port = server.address.unwrap().port();
    let answers = || {
        ["127.0.0.1", "::1"]
            .map(|ip| Conn::to((ip.parse::<std::net::IpAddr>().unwrap(), port).into()).get("/pid").status)
    };
    assert_eq!(answers(), [200, 200]);
    server.signal(Signal::SIGUSR2);
    assert_eq!(server.wait_exit_of_master().code(), Some(0), "{}", server.log());
    assert_eq!(answers(), [200, 200]);
}

#[test]
fn addresses_can_be_written_in_every_way() {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (port, other) = (free(), free());
    let app = Server::app("supervised:app").option("workers", 1).option("port", port);
    // Both families on one port, a host with the port of --port, and IPv6 with and without brackets.
    let mut server = app.option("bind", "127.0.0.1").option("bind", format!(":{other}"));
    let v6 = TcpListener::bind("[::1]:0").is_ok();
    if v6 {
        server = server.option("bind", format!("[::]:{other}")).option("bind", "::1");
    }
    let server = server.start();
    let mut addresses = vec![("127.0.0.1", port), ("127.0.0.1", other)];
    if v6 {
        addresses.extend([("::1", port), ("::1", other)]);
    }
    for (ip, port) in addresses {
        let address = (ip.parse::<std::net::IpAddr>().unwrap(), port).into();
        assert_eq!(Conn::to(address).get("/pid").status, 200, "{ip} {port}");
    }
    server.stop();
}

#[test]
fn a_socket_can_be_any_descriptor_from_0_on() {
    for number in [0, 1, 7] {
        let passed = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = passed.local_addr().unwrap();
        let script = format!("exec \"$@\" {number}<&3 3<&-");
        let app = Server::app("supervised:app").option("workers", 1).option("bind", format!("fd://{number}"));
        let mut server = app.wrapped(&["bash", "-c", &script, "bash"]).descriptor(passed).start();
        assert_eq!(Conn::to(address).get("/pid").status, 200, "{number}");
        server.signal(Signal::SIGUSR2);
        assert_eq!(server.wait_exit_of_master().code(), Some(0), "{}", server.log());
        assert_eq!(Conn::to(address).get("/pid").status, 200, "{number}");
    }
}
