//! The observer: what it shows, that it shows it whatever the workers do, and that its death and its clients cost nobody else.

use hostler_testkit::{Builder, Conn, Load, Server, proc, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    thread::sleep,
    time::{Duration, Instant},
};

/// What the observer may take of memory, in KiB.
pub(super) const SMALL: u64 = 8 * 1024;
/// And while hundreds of clients ask for long answers: some of these at a time, not one for each.
const SMALL_WHILE_ASKED: u64 = 12 * 1024;

fn observed(target: &str) -> Builder {
    Server::app(target).option("admin", "127.0.0.1:0")
}

/// Where the observer listens, from the log.
pub(super) fn admin(server: &Server) -> SocketAddr {
    server.wait_for("observer listening", 1);
    let log = server.log();
    let address = log.split("admin=").nth(1).unwrap().split_ascii_whitespace().next().unwrap();
    address.parse().unwrap()
}

pub(super) fn get(address: SocketAddr, path: &str) -> hostler_testkit::Reply {
    Conn::to(address).try_get(path, false).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(super) fn probe(address: SocketAddr, path: &str) -> (u16, String) {
    let reply = get(address, path);
    (reply.status, reply.text().trim().to_owned())
}

pub(super) fn status(address: SocketAddr) -> Value {
    let reply = get(address, "/status.json");
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    serde_json::from_slice(&reply.body).unwrap()
}

/// The observer's process.
pub(super) fn observer(server: &Server) -> i32 {
    let mut found = None;
    wait_until("there is an observer", || {
        let children = proc::children(server.master());
        found = children.into_iter().find(|pid| proc::title(*pid).starts_with("hostler: observer"));
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn without_an_address_there_is_no_observer() {
    let server = Server::app("observed:app").start();
    let titles: Vec<String> = proc::children(server.master()).into_iter().map(proc::title).collect();
    assert!(!titles.iter().any(|title| title.contains("observer")), "{titles:?}");
    server.stop();
}

#[test]
fn probes_are_answered_at_once_while_every_worker_is_blocked() {
    let server = observed("observed:app").start();
    let address = admin(&server);
    let mut blocked: Vec<Conn> = (0..2).map(|_| server.connect()).collect();
    let busy = |value: &Value| {
        let workers = value["workers"].as_array().unwrap();
        workers.iter().filter(|worker| worker["blocked_seconds"].as_f64().unwrap() > 0.1).count()
    };
    for conn in &mut blocked {
        conn.send("GET /block?8 HTTP/1.1\r\nhost: test\r\n\r\n");
        let before = busy(&status(address));
        wait_until("another worker is blocked", || busy(&status(address)) > before);
    }
    for path in ["/livez", "/readyz", "/startupz"] {
        // The machine may be busy with other tests: the best of some.
        let times = (0..10).map(|_| {
            let begun = Instant::now();
            assert_eq!(probe(address, path), (200, "ok".into()));
            begun.elapsed()
        });
        let best = times.min().unwrap();
        assert!(best < Duration::from_millis(50), "{path}: {best:?}");
    }
    let shown = status(address);
    let handling = &shown["workers"][0]["handling"][0];
    assert_eq!((&handling["method"], &handling["path"]), (&"GET".into(), &"/block".into()));
    assert!(handling["age_seconds"].as_f64().unwrap() > 0.1);
    server.signal(Signal::SIGINT);
}

#[test]
fn readiness_follows_the_server_from_its_start_to_its_stop() {
    let mut server = observed("observed:app")
        .env("SLOW_IMPORT", "1.5")
        .option("drain-delay", 2)
        .option("workers", 2)
        .launch();
    let address = admin(&server);
    let (code, text) = probe(address, "/readyz");
    assert!(code == 503 && text.starts_with("starting"), "{code} {text}");
    assert_eq!((probe(address, "/startupz").0, probe(address, "/livez").0), (503, 200));
    wait_until("ready", || probe(address, "/readyz").0 == 200);
    assert_eq!(probe(address, "/startupz").0, 200);
    server.signal(Signal::SIGTERM);
    wait_until("not ready", || probe(address, "/readyz") == (503, "the server stops".into()));
    assert_eq!((probe(address, "/startupz").0, probe(address, "/livez").0), (200, 200));
    assert_eq!(status(address)["server"]["state"], "draining");
    assert!(server.wait_exit().success());
}

#[test]
fn too_few_workers_are_not_ready() {
    let server = observed("observed:app").option("ready-workers", 2).start();
    let address = admin(&server);
    wait_until("ready", || probe(address, "/readyz").0 == 200);
    server.signal(Signal::SIGWINCH);
    wait_until("not ready", || probe(address, "/readyz").0 == 503);
    server.stop();
}

#[test]
fn it_is_a_small_process_that_has_nothing_of_the_application() {
    let server = observed("observed:app").start();
    let (address, pid) = (admin(&server), observer(&server));
    for path in ["/", "/metrics", "/status.json", "/readyz", "/nothing"] {
        let _ = get(address, path);
    }
    let resident = proc::resident_kib(pid);
    assert!(resident <= SMALL, "{resident} KiB");
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    assert!(!maps.contains("libpython") && !maps.contains("hostler_python"), "{maps}");
    assert_eq!(proc::parent(pid), Some(server.master()));
    server.stop();
}

#[test]
fn killed_under_load_it_comes_back_and_no_request_notices() {
    let server = observed("observed:app").start();
    let address = admin(&server);
    let load = Load::start(server.address.unwrap(), "/", 4);
    load.wait_for(100);
    for _ in 0..3 {
        let pid = observer(&server);
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        wait_until("it is another process", || observer(&server) != pid);
        assert_eq!(probe(address, "/readyz").0, 200);
        load.wait_for(100);
    }
    let outcome = load.end();
    assert_eq!(outcome.failures, Vec::<String>::new());
    // The last responses are counted in the turn in which clients have them.
    wait_until("all are counted", || {
        status(address)["traffic"]["requests_by_status"]["2xx"] == outcome.answered
    });
    server.stop();
}

#[test]
fn clients_that_do_not_read_or_do_not_ask_keep_nobody_out() {
    let server = observed("observed:app").start();
    let address = admin(&server);
    let mut idle = Vec::new();
    for number in 0..200 {
        let mut client = TcpStream::connect(address).unwrap();
        let sent: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /status.json HTTP/1.1\r\nho",
            // Asks often, and reads nothing.
            _ => &b"GET /status.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(50),
        };
        // The observer may have closed it already.
        let _ = client.write_all(sent);
        idle.push(client);
    }
    assert_eq!(probe(address, "/readyz").0, 200);
    let pid = observer(&server);
    let (sockets, resident) = (proc::sockets(pid), proc::resident_kib(pid));
    assert!(sockets < 48 && resident <= SMALL, "{sockets} sockets, {resident} KiB");
    assert_eq!(server.connect().get("/").status, 200);
    drop(idle);
    server.stop();
}

/// A client that asks for a document again and again, and whose socket has room for little of it.
pub(super) fn asks_and_does_not_read(address: SocketAddr, path: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut client = TcpStream::from(socket);
    client.set_nonblocking(true).unwrap();
    // The observer stops reading at some time, and may have closed it already.
    let _ =
        client.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").repeat(100).as_bytes());
    client
}

#[test]
fn it_stays_small_while_clients_do_not_read_what_many_workers_have() {
    let server = observed("observed:app").option("workers", 24).arg("--preload").start();
    let (address, pid) = (admin(&server), observer(&server));
    let mut most = 0;
    let mut clients = Vec::new();
    // All at once, and then one after another, each with newer numbers than the one before.
    for (pause, path) in [(0, "/metrics"), (20, "/metrics"), (20, "/status.json")] {
        for _ in 0..100 {
            clients.push(asks_and_does_not_read(address, path));
            sleep(Duration::from_millis(pause));
            most = most.max(proc::resident_kib(pid));
        }
        let reply = get(address, path);
        assert_eq!(reply.status, 200);
        assert!(reply.body.len() > 10_000, "{path} is long: {}", reply.body.len());
        most = most.max(proc::resident_kib(pid));
    }
    assert!(most <= SMALL_WHILE_ASKED, "{most} KiB");
    assert_eq!(observer(&server), pid);
    server.stop();
}

/// What asks by this name.
fn by_name(address: SocketAddr, host: &str, path: &str) -> (u16, String) {
    let mut conn = Conn::to(address);
    conn.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"));
    let reply = conn.reply().unwrap();
    (reply.status, reply.text().to_owned())
}

#[test]
fn a_browser_is_not_shown_clients_by_a_name_that_anybody_may_own() {
    let server = observed("observed:app").option("admin-hosts", "metrics.example.com,.shop.example").start();
    let address = admin(&server);
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let addressed =
        [&address.to_string(), "[::1]:1", "localhost:9090", "shop", "metrics.example.com", machine.trim()];
    for path in ["/", "/status.json"] {
        for host in addressed.into_iter().chain(["a.shop.example:443"]) {
            assert_eq!(by_name(address, host, path).0, 200, "{host}{path}");
        }
        for host in
            ["rebound.example", "rebound.example:9090", "127.0.0.1.rebound.example", "x.metrics.example.com"]
        {
            let (status, text) = by_name(address, host, path);
            assert_eq!(status, 403, "{host}{path}: {text}");
            assert!(text.contains("--admin-hosts ") && !text.contains("workers"), "{text}");
        }
    }
    // Prometheus, the kubelet and load balancers ask by names of services.
    for path in ["/metrics", "/livez", "/readyz", "/startupz"] {
        assert_eq!(by_name(address, "hostler.shop.svc:9100", path).0, 200, "{path}");
    }
    server.stop();
}

#[test]
fn only_what_reads_is_allowed() {
    let server = observed("observed:app").start();
    let address = admin(&server);
    for (method, expected) in [("POST", 405), ("DELETE", 405), ("HEAD", 200), ("GET", 200)] {
        let mut conn = Conn::to(address);
        conn.send(format!("{method} /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
        let text = String::from_utf8(conn.to_end().unwrap()).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {expected} ")), "{method}: {text}");
    }
    assert_eq!(get(address, "/nothing").status, 404);
    server.stop();
}

#[test]
fn an_address_in_use_is_an_error_at_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (code, log) = Server::app("observed:app").option("admin", address).fail();
    assert!(code == Some(1) && log.contains(&format!("cannot listen on {address}")), "{code:?}\n{log}");
}

#[test]
fn a_unix_socket_is_for_its_owner_and_goes_with_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let server = Server::app("observed:app").option("admin", format!("unix:{}", path.display())).start();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /status.json HTTP/1.1\r\nhost: x.example\r\nconnection: close\r\n\r\n").unwrap();
    let text = std::io::read_to_string(stream).unwrap();
    // No browser gets here: any name will do.
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("}"), "{text}");
    server.stop();
    assert!(!path.exists());
}

#[test]
fn reloads_and_upgrades_keep_it_reachable_and_a_reload_is_shown() {
    let mut server = observed("observed:app").start();
    let (address, first) = (admin(&server), observer(&server));
    server.signal(Signal::SIGHUP);
    wait_until("reloaded", || status(address)["server"]["last_reload"]["outcome"] == "succeeded");
    let shown = status(address);
    assert_eq!(
        (&shown["server"]["generation"], &shown["server"]["reloads"]["succeeded"]),
        (&1.into(), &1.into())
    );
    assert_eq!(observer(&server), first);
    wait_until("the old workers are gone", || status(address)["server"]["workers_ended"]["reload"] == 2);
    server.signal(Signal::SIGUSR2);
    server.wait_for("new server started", 1);
    let successor = server.successor();
    // No moment without an answer, and then the new server's.
    wait_until("the new server answers", || status(address)["server"]["pid"] == successor);
    assert_eq!(probe(address, "/readyz").0, 200);
    server.wait_for("upgraded", 1);
    kill(Pid::from_raw(successor), Signal::SIGTERM).unwrap();
    let _ = server.wait_exit();
}

#[test]
fn it_ends_with_a_master_that_is_killed() {
    let server = observed("observed:app").start();
    let pid = observer(&server);
    kill(Pid::from_raw(server.master()), Signal::SIGKILL).unwrap();
    wait_until("the observer is gone", || proc::state(pid).is_none_or(|state| state == 'Z'));
}

#[test]
fn signals_to_all_processes_do_not_end_it_before_the_server() {
    let mut server = observed("observed:app").option("drain-delay", 2).start();
    let (address, pid) = (admin(&server), observer(&server));
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1] {
        kill(Pid::from_raw(pid), signal).unwrap();
    }
    server.signal(Signal::SIGTERM);
    wait_until("not ready", || probe(address, "/readyz").0 == 503);
    assert_eq!(observer(&server), pid);
    assert!(server.wait_exit().success());
    assert!(!server.log().contains("companion"), "{}", server.log());
    // Clients that come now are refused.
    sleep(Duration::ZERO);
    assert!(TcpStream::connect(address).is_err());
}
