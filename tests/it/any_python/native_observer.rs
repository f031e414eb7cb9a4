//! The observer of native services, which is a fork of the master: it shows what that of others shows, and leaves as little behind.

use super::observer::{SMALL, admin, asks_and_does_not_read, get, observer, probe, status};
use hostler_testkit::{Builder, Conn, Load, Server, get_unix, proc, root, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

/// The example, whose second argument is the observer's address.
fn axum() -> Builder {
    Server::program(root().join("target/release/axum-hello")).arg("127.0.0.1:0")
}

fn supervised(admin: &str) -> Builder {
    Server::program(env!("CARGO_BIN_EXE_native_app").into()).env("ADMIN", admin)
}

/// The workers that there are, by their process ids in order.
fn workers(server: &Server) -> Vec<i32> {
    let mut found = proc::children(server.master());
    found.retain(|pid| proc::title(*pid).starts_with("hostler: worker"));
    found.sort_unstable();
    found
}

#[test]
fn it_shows_metrics_health_status_and_a_dashboard() {
    let server = axum().start();
    let address = admin(&server);
    for _ in 0..3 {
        assert_eq!(server.connect().get("/hello/anna").text(), "hello anna");
    }
    wait_until("all are counted", || {
        get(address, "/metrics")
            .text()
            .contains("hostler_requests_total{method=\"GET\",status=\"2xx\"} 3.0\n")
    });
    for path in ["/livez", "/readyz", "/startupz"] {
        wait_until(path, || probe(address, path) == (200, "ok".into()));
    }
    let shown = status(address);
    assert_eq!((&shown["server"]["workers_serving"], &shown["server"]["ready"]), (&2.into(), &true.into()));
    let mut pids: Vec<i64> =
        shown["workers"].as_array().unwrap().iter().map(|worker| worker["pid"].as_i64().unwrap()).collect();
    pids.sort_unstable();
    assert_eq!(pids, workers(&server).into_iter().map(i64::from).collect::<Vec<_>>());
    let page = get(address, "/");
    assert!(page.status == 200 && page.text().contains("<html"), "{}", page.status);
    let pid = observer(&server);
    assert_eq!(proc::parent(pid), Some(server.master()));
    let resident = proc::resident_kib(pid);
    assert!(resident <= SMALL, "{resident} KiB");
    server.stop();
}

#[test]
fn without_an_address_there_is_none() {
    let server = Server::program(root().join("target/release/axum-hello")).start();
    let titles: Vec<String> = proc::children(server.master()).into_iter().map(proc::title).collect();
    assert!(titles.len() == 2 && !titles.iter().any(|title| title.contains("observer")), "{titles:?}");
    server.stop();
}

#[test]
fn probes_are_answered_while_all_native_workers_are_blocked() {
    let server = supervised("127.0.0.1:0").start();
    let address = admin(&server);
    let blocked = || {
        let shown = status(address);
        let workers = shown["workers"].as_array().unwrap();
        workers.iter().filter(|worker| worker["blocked_seconds"].as_f64().unwrap() > 0.1).count()
    };
    let mut clients: Vec<Conn> = (0..2).map(|_| server.connect()).collect();
    for (number, conn) in clients.iter_mut().enumerate() {
        conn.send("GET /block HTTP/1.1\r\nhost: test\r\n\r\n");
        wait_until("another worker is blocked", || blocked() > number);
    }
    let times = (0..10).map(|_| {
        let begun = Instant::now();
        assert_eq!(probe(address, "/readyz").0, 200);
        begun.elapsed()
    });
    let best = times.min().unwrap();
    assert!(best < Duration::from_millis(50), "{best:?}");
    wait_until("stuck workers are replaced", || {
        status(address)["server"]["workers_ended"]["stall-timeout"] == 2
    });
    server.stop();
}

#[test]
fn killed_under_load_it_is_forked_again_and_no_request_notices() {
    let server = axum().start();
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
    wait_until("all are counted", || {
        status(address)["traffic"]["requests_by_status"]["2xx"] == outcome.answered
    });
    server.stop();
}

#[test]
fn it_stays_small_while_clients_do_not_read() {
    let server = axum().start();
    let (address, pid) = (admin(&server), observer(&server));
    let clients: Vec<TcpStream> = (0..200).map(|_| asks_and_does_not_read(address, "/metrics")).collect();
    assert_eq!(probe(address, "/readyz").0, 200);
    let resident = proc::resident_kib(pid);
    assert!(resident <= SMALL && observer(&server) == pid, "{resident} KiB");
    drop(clients);
    server.stop();
}

#[test]
fn reloads_and_upgrades_of_native_services_keep_it_reachable() {
    let mut server = supervised("127.0.0.1:0").start();
    let (address, first) = (admin(&server), observer(&server));
    server.signal(Signal::SIGHUP);
    wait_until("reloaded", || status(address)["server"]["last_reload"]["outcome"] == "succeeded");
    wait_until("the old workers are gone", || status(address)["server"]["workers_ended"]["reload"] == 2);
    assert_eq!(observer(&server), first);
    server.signal(Signal::SIGUSR2);
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    let successor = server.successor();
    wait_until("the new server's observer answers", || status(address)["server"]["pid"] == successor);
    assert_eq!(probe(address, "/readyz").0, 200);
    kill(Pid::from_raw(successor), Signal::SIGTERM).unwrap();
    server.wait_empty();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn it_ends_with_the_master_and_workers_have_nothing_of_it() {
    let server = supervised("127.0.0.1:0").start();
    let (pid, killed) = (observer(&server), workers(&server)[0]);
    // Its successor is forked while there is an observer.
    kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();
    server.wait_for("worker ready", 3);
    wait_until("both have as many sockets", || {
        let sockets: Vec<usize> = workers(&server).into_iter().map(proc::sockets).collect();
        sockets.len() == 2 && sockets[0] == sockets[1]
    });
    kill(Pid::from_raw(server.master()), Signal::SIGKILL).unwrap();
    wait_until("the observer is gone", || proc::state(pid).is_none_or(|state| state == 'Z'));
    server.wait_empty();
}

#[test]
fn its_unix_socket_goes_with_the_server_and_what_is_no_address_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let server = supervised(&format!("unix:{}", path.display())).start();
    wait_until("it answers", || get_unix(&path, "/livez").is_ok_and(|text| text.ends_with("ok\n")));
    server.stop();
    assert!(!path.exists());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for bad in [taken.local_addr().unwrap().to_string(), "fd://3".into(), "127.0.0.1:70000".into()] {
        let (code, log) = supervised(&bad).fail();
        assert!(code == Some(1) && log.contains(&format!("Bind {{ address: \"{bad}\"")), "{code:?} {log}");
    }
}
