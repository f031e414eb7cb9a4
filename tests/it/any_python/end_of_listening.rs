//! Clients that connect while the server stops: they are served, or refused, and never left waiting or reset.

use hostler_testkit::{Builder, Conn, LIMIT, Server, directory, get_unix};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    io::{self, ErrorKind, Write},
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Instant,
};

fn python() -> Builder {
    Server::app("supervised:app").option("graceful-timeout", 600)
}

/// One that has a request in flight to its end, and stops.
fn stopping(builder: Builder, path: &str) -> (Server, Conn) {
    let server = builder.start();
    let mut long = server.connect();
    long.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n"));
    server.wait_until("the request is in flight", || server.connect().get("/pid").status == 200);
    server.signal(Signal::SIGTERM);
    (server, long)
}

/// Waits until the kernel refuses clients; those before that are served or were not accepted yet.
fn wait_refused(server: &Server, connect: impl Fn() -> io::Result<()>) {
    let began = Instant::now();
    loop {
        match connect() {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
            other => assert!(began.elapsed() < LIMIT, "{other:?}: {}", server.log()),
        }
    }
}

fn end(mut server: Server, long: Conn) {
    drop(long);
    server.signal(Signal::SIGINT);
    assert!(server.wait_exit().success());
    server.wait_empty();
}

#[test]
fn clients_of_a_server_that_finishes_a_long_request_are_refused() {
    let native = || Server::program(env!("CARGO_BIN_EXE_native_app").into());
    let native = || native().env("REQUEST_TIMEOUT_SECONDS", "600");
    let python = |name: &str| python().option("workers", 2).option("accept", name);
    for (builder, path) in
        [(python("shared"), "/wait/600"), (python("per-worker"), "/wait/600"), (native(), "/wait")]
    {
        let (server, mut long) = stopping(builder, path);
        let address = server.address.unwrap();
        wait_refused(&server, || Conn::try_to(address).map(drop));
        assert!(!long.is_readable(), "the request in flight is not cut");
        end(server, long);
    }
}

#[test]
fn clients_of_a_unix_socket_are_refused_too() {
    let socket = directory("refuses").join("socket");
    let mut server = python().option("workers", 1).option("uds", socket.display()).start();
    let mut long = UnixStream::connect(&socket).unwrap();
    long.write_all(b"GET /wait/600 HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    assert_eq!(get_unix(&socket, "/pid").unwrap(), server.workers()[0].to_string());
    server.signal(Signal::SIGTERM);
    wait_refused(&server, || UnixStream::connect(&socket).map(drop));
    server.signal(Signal::SIGINT);
    assert!(server.wait_exit().success());
}

/// They connect faster than a worker accepts: its queue is never empty.
#[test]
fn clients_that_never_pause_are_refused_too() {
    let socket = directory("never-pauses").join("socket");
    let mut server = python().option("workers", 1).option("uds", socket.display()).start();
    let mut long = UnixStream::connect(&socket).unwrap();
    long.write_all(b"GET /wait/600 HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| wait_refused(&server, || UnixStream::connect(&socket).map(drop)));
        }
        server.wait_until("the request is in flight", || get_unix(&socket, "/pid").is_ok());
        kill(Pid::from_raw(server.master()), Signal::SIGTERM).unwrap();
    });
    server.signal(Signal::SIGINT);
    assert!(server.wait_exit().success());
}

#[test]
fn clients_of_a_service_managers_socket_wait_for_the_next_start() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let serve = || {
        python()
            .option("workers", 1)
            .option("log-level", "debug")
            .wrapped(&["sh", "-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"", "sh"])
            .descriptor(listener.try_clone().unwrap())
    };
    let (server, long) = stopping(serve(), "/wait/600");
    let worker = server.workers()[0];
    server.wait_for("worker accepts no more", 2);
    let mut late = Conn::to(listener.local_addr().unwrap());
    late.send("GET /pid HTTP/1.1\r\nhost: t\r\n\r\n");
    end(server, long);
    let next = serve().start();
    assert_ne!(late.reply().expect("it is served").text(), worker.to_string());
    next.stop();
}

/// What a client without patience sees of a stop: responses, or a refusal.
fn resets(address: SocketAddr, refused: &AtomicBool) -> Vec<String> {
    let mut failures = Vec::new();
    while !refused.load(Relaxed) {
        match Conn::try_to(address).and_then(|mut conn| conn.try_get("/pid", false)) {
            Ok(reply) => assert_eq!(reply.status, 200),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => refused.store(true, Relaxed),
            Err(error) => failures.push(error.to_string()),
        }
    }
    failures
}

/// What clients see of a stop until they are refused.
fn resets_of_stop(server: &Server) -> Vec<String> {
    let (address, refused) = (server.address.unwrap(), AtomicBool::new(false));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..2).map(|_| scope.spawn(|| resets(address, &refused))).collect();
        kill(Pid::from_raw(server.master()), Signal::SIGTERM).unwrap();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

#[test]
fn clients_are_served_or_refused_while_a_worker_hangs() {
    let server = python().option("workers", 2).start();
    let hung = Pid::from_raw(server.workers()[0]);
    kill(hung, Signal::SIGSTOP).unwrap();
    assert_eq!(resets_of_stop(&server), Vec::<String>::new(), "{}", server.log());
    kill(hung, Signal::SIGCONT).unwrap();
    server.stop();
}

#[test]
fn clients_are_served_or_refused_while_workers_boot() {
    let slow = || python().option("workers", 1).env("IMPORT_SECONDS", "3");
    for (signal, begun, count) in
        [(Signal::SIGTTIN, "number of workers changed", 1), (Signal::SIGUSR2, "mold ready", 2)]
    {
        let mut server = slow().start();
        let processes = server.processes().len();
        server.signal(signal);
        server.wait_for(begun, count);
        server.wait_until("a process is added", || server.processes().len() > processes);
        assert_eq!(resets_of_stop(&server), Vec::<String>::new(), "{signal}: {}", server.log());
        assert!(server.wait_exit().success());
        server.wait_empty();
    }
}

/// One request of a client that connects now: whether it is served or refused.
fn is_served_or_refused(address: SocketAddr) -> bool {
    match Conn::try_to(address).and_then(|mut conn| conn.try_get("/pid", false)) {
        Ok(reply) => reply.status == 200,
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
    }
}

/// How many handshakes the kernel has answered with a cookie instead of remembering them, since it was started.
fn cookies_sent() -> usize {
    let table = std::fs::read_to_string("/proc/net/netstat").unwrap();
    let mut lines = table.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    pairs.find(|(name, _)| *name == "SyncookiesSent").map_or(0, |(_, count)| count.parse().unwrap())
}

/// A full queue may have the kernel send cookies (tcp_syncookies): of such a handshake it knows nothing until the client's next
/// segment comes, so that no server can wait for it. Without cookies no client is reset.
#[test]
fn clients_that_met_a_full_queue_are_served_or_refused() {
    let mut server = python().option("workers", 1).option("backlog", 128).start();
    let address = server.address.unwrap();
    let mut blocking = server.connect();
    blocking.send("GET /block/2 HTTP/1.1\r\nhost: t\r\n\r\n");
    server.wait_for("blocks now", 1);
    let before = cookies_sent();
    let failures = thread::scope(|scope| {
        let clients: Vec<_> = (0..400).map(|_| scope.spawn(|| is_served_or_refused(address))).collect();
        server.signal(Signal::SIGTERM);
        clients.into_iter().map(|client| client.join().unwrap()).filter(|served| !served).count()
    });
    let unknown = cookies_sent() - before;
    assert!(failures <= unknown, "{failures} clients, {unknown} cookies: {}", server.log());
    assert!(server.wait_exit().success());
}

#[test]
fn a_stop_under_load_resets_no_client() {
    for round in 0..4 {
        let accept = ["shared", "per-worker"][round % 2];
        let mut server = Server::app("supervised:app").option("workers", 2).option("accept", accept).start();
        let (address, refused) = (server.address.unwrap(), AtomicBool::new(false));
        let failures: Vec<String> = thread::scope(|scope| {
            let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| resets(address, &refused))).collect();
            for _ in 0..50 {
                assert_eq!(server.connect().get("/pid").status, 200);
            }
            kill(Pid::from_raw(server.master()), Signal::SIGTERM).unwrap();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        });
        assert_eq!(failures, Vec::<String>::new(), "{accept}: {}", server.log());
        assert!(server.wait_exit().success());
    }
}
