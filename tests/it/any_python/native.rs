//! Native services, which have no Python.

use crate::{
    support::body_is_no_request,
    tls_support::{Authority, certificate_in},
};
use hostler_testkit::{Load, Server, root};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

fn serve() -> Server {
    Server::program(root().join("target/release/axum-hello")).start()
}

#[test]
fn an_axum_router_is_served_by_workers() {
    let server = serve();
    let mut conn = server.connect();
    assert_eq!(conn.get("/").text(), "Hello, world!");
    assert_eq!(conn.get("/hello/anna").text(), "hello anna");
    assert_eq!(conn.get("/nowhere").status, 404);
    assert!(server.workers().contains(&conn.get("/pid").text().parse().unwrap()));
    server.stop();
}

/// The native twin of `tests/apps/supervised.py`.
fn supervised() -> hostler_testkit::Builder {
    Server::program(env!("CARGO_BIN_EXE_native_app").into())
}

#[test]
fn blocking_work_has_no_more_threads_than_it_is_given() {
    let server = supervised().env("BLOCKING_THREADS", "2").env("REQUEST_TIMEOUT_SECONDS", "30").start();
    assert_eq!(server.connect().get("/blocking").text(), "2");
    server.stop();
    let server = supervised().env("REQUEST_TIMEOUT_SECONDS", "30").start();
    let most: u32 = server.connect().get("/blocking").text().parse().unwrap();
    assert!(most > 2, "{most}");
    server.stop();
}

#[test]
fn reloads_and_upgrades_of_native_workers_cost_no_request() {
    let mut server = supervised().start();
    let mut idle = server.connect();
    let before = idle.get("/pid").text();
    let load = Load::start(server.address.unwrap(), "/pid", 4);
    load.wait_for(100);
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    server.wait_for("worker exited", 2);
    assert_ne!(idle.get("/pid").text(), before);
    server.signal(Signal::SIGUSR2);
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    load.wait_for(100);
    let outcome = load.end();
    assert_eq!(outcome.failures, Vec::<String>::new(), "of {}", outcome.answered);
    assert_eq!(idle.get("/pid").status, 200);
    let successor = server.successor();
    kill(Pid::from_raw(successor), Signal::SIGTERM).unwrap();
    server.wait_empty();
}

#[test]
fn a_half_closed_client_of_a_native_service_gets_its_response() {
    let server = supervised().start();
    let mut conn = server.connect();
    conn.send("GET /wait HTTP/1.1\r\nhost: test\r\n\r\n");
    conn.finish();
    assert_eq!(conn.reply().unwrap().status, 504, "{}", server.log());
    server.stop();
}

#[test]
fn an_unread_body_of_a_native_request_is_not_taken_for_a_request() {
    let server = supervised().start();
    body_is_no_request(&server, true, "native");
    server.stop();
}

#[test]
fn a_hung_native_worker_is_reported_and_replaced() {
    let server = supervised().start();
    let mut hung = server.connect();
    hung.send("GET /block HTTP/1.1\r\nhost: t\r\n\r\n");
    server.wait_for("worker is stuck", 1);
    assert!(server.log().contains("GET /block"), "{}", server.log());
    server.wait_for("worker ready", 3);
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}

#[test]
fn a_native_request_that_takes_too_long_is_answered_with_504() {
    let server = supervised().start();
    assert_eq!(server.connect().get("/wait").status, 504);
    server.stop();
}

#[test]
fn a_panic_of_a_native_service_closes_its_connection_alone() {
    let server = supervised().start();
    let before = server.workers();
    let mut panicked = server.connect();
    panicked.send("GET /panic HTTP/1.1\r\nhost: t\r\n\r\n");
    assert!(panicked.to_end().unwrap_or_default().is_empty());
    assert_eq!(server.connect().get("/").status, 200);
    assert_eq!(server.workers(), before);
    server.stop();
}

#[test]
fn static_files_are_served_beside_a_native_service() {
    let directory = tempfile::TempDir::new().unwrap();
    let content = "0123456789".repeat(20_000);
    std::fs::write(directory.path().join("a.txt"), &content).unwrap();
    let server = supervised().env("STATIC", directory.path().to_str().unwrap()).start();
    let mut conn = server.connect();
    let file = conn.get("/static/a.txt");
    assert_eq!(file.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(file.text() == content);
    assert_eq!(conn.get("/static/none").status, 404);
    assert!(conn.get("/pid").text().parse::<i32>().is_ok());
    server.stop();
    let (_, log) = supervised().env("STATIC", "/no/such/directory").fail();
    assert!(log.contains("cannot serve files") || log.contains("StaticFiles"), "{log}");
}

#[test]
fn a_killed_native_worker_is_replaced() {
    let server = serve();
    let killed = server.workers()[0];
    kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();
    // Of the successor alone: the level is info.
    server.wait_for("worker ready", 1);
    assert_eq!(server.connect().get("/").status, 200);
    server.stop();
}

/// How many sockets each worker of the only server that runs has.
fn sockets_of_workers(server: &Server) -> Vec<usize> {
    let mut workers = server.processes();
    workers.retain(|pid| *pid != server.successor());
    let sockets = |pid: &i32| {
        let all = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let links = all.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    };
    let mut counts: Vec<usize> = workers.iter().map(sockets).collect();
    counts.sort_unstable();
    counts
}

#[test]
fn workers_of_an_upgrade_inherit_no_channel_of_the_masters() {
    let mut server = supervised().start();
    server.signal(Signal::SIGUSR2);
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    let forked_beside_the_old_one = sockets_of_workers(&server);
    let successor = server.successor();
    kill(Pid::from_raw(successor), Signal::SIGHUP).unwrap();
    server.wait_for(" reloaded generation=1", 1);
    server.wait_for("reason=\"reload\"", 2);
    // Two of each of the three generations, but the last.
    server.wait_for("worker exited", 4);
    assert_eq!(forked_beside_the_old_one, sockets_of_workers(&server), "{}", server.log());
    kill(Pid::from_raw(successor), Signal::SIGTERM).unwrap();
    server.wait_empty();
}

#[test]
fn a_worker_of_a_successor_that_crashed_is_not_taken_for_a_server() {
    let mut server = supervised()
        .env("PROCESS_NAME", "a-service-whose-name-is-cut-where-it-is-shown")
        .env("REQUEST_TIMEOUT_SECONDS", "60")
        .start();
    // The old server drains for as long as this lasts.
    let mut long = server.connect();
    long.send("GET /wait HTTP/1.1\r\nhost: test\r\n\r\n");
    server.wait_for("a request waits", 1);
    server.signal(Signal::SIGUSR2);
    server.wait_for("upgraded: the new server serves", 1);
    let successor = server.successor();
    kill(Pid::from_raw(successor), Signal::SIGKILL).unwrap();
    server.wait_for("this one serves again", 1);
    assert_eq!(server.connect().get("/pid").status, 200, "{}", server.log());
    // Not gracefully: the request would take a minute.
    server.signal(Signal::SIGINT);
    server.wait_exit();
}

#[test]
fn native_workers_drain_when_their_master_is_killed() {
    let mut server = supervised().start();
    server.signal(Signal::SIGKILL);
    server.wait_exit_of_master();
    server.wait_for("the master is gone", 2);
    server.wait_empty();
}

#[test]
fn a_native_service_is_served_over_tls() {
    let authority = Authority::new("tls-native");
    let files = authority.server();
    let with = |key: &str| {
        supervised().env("TLS_CERTIFICATE", files.certificate.to_str().unwrap()).env("TLS_KEY", key)
    };
    let server = with(files.key.to_str().unwrap()).start();
    let mut connection = authority.client().connect(&server);
    let worker = connection.get("/pid");
    assert!(server.workers().contains(&worker.parse().unwrap()));
    let new = authority.make("server", &["localhost", "new.example"], |_| {});
    let second = certificate_in(&new.certificate);
    server.wait_until("served", || authority.client().connect(&server).certificate() == second);
    assert_eq!(connection.get("/pid"), worker);
    server.stop();
    let (status, log) = with("missing.key").fail();
    assert_eq!(status, Some(1));
    assert!(log.contains("missing.key"), "{log}");
}

#[test]
fn native_workers_keep_no_keys_of_the_master() {
    let authority = Authority::new("tls-native-keys");
    let files = authority.server();
    let server = supervised()
        .env("TLS_CERTIFICATE", files.certificate.to_str().unwrap())
        .env("TLS_KEY", files.key.to_str().unwrap())
        .start();
    let kept = |server: &Server| -> usize {
        let descriptors = |pid| std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let targets =
            server.workers().into_iter().flat_map(descriptors).filter_map(|fd| fd.path().read_link().ok());
        targets.filter(|target| target.to_string_lossy().contains("hostler-message")).count()
    };
    assert_eq!(kept(&server), 0);
    for generation in 1..=2 {
        server.signal(Signal::SIGHUP);
        server.wait_for(&format!(" reloaded generation={generation}"), 1);
    }
    server.wait_for("worker exited", 4);
    assert_eq!(kept(&server), 0);
    server.stop();
}

#[test]
fn a_native_service_learns_from_proxies_what_the_program_does() {
    let header = "x-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: https\r\n";
    let line = "PROXY TCP4 198.51.100.1 192.0.2.1 4711 443\r\n";
    let server = supervised().env("PROXIES", "127.0.0.1, 198.51.100.0/24").start();
    let mut conn = server.connect();
    conn.send(line);
    assert_eq!(conn.request("GET", "/client", "", b"").text(), "198.51.100.1:4711 http");
    assert_eq!(conn.request("GET", "/client", header, b"").text(), "203.0.113.9:0 https");
    server.stop();
    let server = supervised().env("PROXIES", "10.0.0.0/8").start();
    let client = server.connect().request("GET", "/client", header, b"").text();
    assert!(client.starts_with("127.0.0.1:") && client.ends_with(" http"), "{client}");
    server.stop();
    let (status, log) = supervised().env("PROXIES", "10.0.0.0/8, proxy.example").fail();
    assert_eq!(status, Some(1));
    assert!(log.contains("proxy.example"), "{log}");
}
