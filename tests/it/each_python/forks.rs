//! Processes that applications fork are ordinary ones: nothing of ours is in them, and what they do is not the worker's.

use hostler_testkit::{Builder, LIMIT, Server};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::time::Instant;

/// Every interface, and WSGI with and without threads.
fn servers() -> Vec<Builder> {
    let app = |target: &str| Server::app(target).option("workers", 1);
    let wsgi =
        |threads: u8| app("forking:wsgi").option("interface", "wsgi").option("blocking-threads", threads);
    vec![
        app("forking:app"),
        app("forking:app").option("loop", "asyncio"),
        app("forking:rsgi"),
        wsgi(1),
        wsgi(3),
    ]
}

pub(crate) fn ask(server: &Server, question: &str) -> Value {
    let reply = server.connect().get(&format!("/{question}"));
    assert_eq!(reply.status, 200, "{question}: {}", reply.text());
    serde_json::from_str(&reply.text()).unwrap_or_else(|_| panic!("{question}: {}", reply.text()))
}

/// What only the server opens: sockets, epoll sets, timers, memory. Pipes and files are the test's.
fn assert_ordinary(found: &Value) {
    assert_eq!(found.get("failed"), None, "{found}");
    for (_, link) in found["descriptors"].as_object().unwrap() {
        let link = link.as_str().unwrap();
        assert!(!["socket:", "anon_inode:", "memfd:"].iter().any(|kind| link.contains(kind)), "{found}");
    }
    let caught = found["signals"]["SigCgt"].as_u64().unwrap();
    // Those above belong to C libraries; of the real-time ones, the last five are ours.
    let ours = (caught >> 57) | caught & (1 << 14 | 1 << 2 | 1 << 9 | 1 << 11 | 1 << 27);
    assert_eq!(ours, 0, "{caught:x}");
    let usual = serde_json::json!([1, -1, true, true, "ran"]);
    assert_eq!(
        Value::from(["threads", "wakeup", "term", "int", "ran"].map(|name| found[name].clone()).to_vec()),
        usual
    );
}

#[test]
fn forked_processes_have_none_of_the_workers_resources() {
    for server in servers() {
        let server = server.start();
        // Another client's connection is open, too.
        let mut other = server.connect();
        let worker = other.get("/pid").text();
        for question in ["describe", "thread", "terminal"] {
            assert_ordinary(&ask(&server, question));
        }
        assert_eq!(other.get("/pid").text(), worker);
        server.stop();
    }
}

#[test]
fn forked_processes_of_suspended_handlers_have_none_of_the_workers_resources() {
    for target in [None, Some("asyncio"), Some("uvloop")] {
        let mut server = Server::app("forking:app").option("workers", 1);
        if let Some(name) = target {
            server = server.option("loop", name);
        }
        let server = server.start();
        let found = ask(&server, "later/describe");
        if target != Some("uvloop") {
            // uvloop opens its own, and puts itself right after a fork.
            assert_ordinary(&found);
        }
        assert_eq!(found["ran"], "ran");
        assert_eq!(ask(&server, "later/pool").as_array().unwrap().len(), 10);
        server.stop();
    }
}

#[test]
fn pools_of_processes_work_and_end_and_the_worker_serves_on() {
    for server in servers() {
        let server = server.start();
        let worker = ask(&server, "pid");
        for _ in 0..3 {
            assert_eq!(ask(&server, "pool")[9], 81);
            assert_eq!(ask(&server, "executor")[9], 81);
            assert_eq!(ask(&server, "process"), serde_json::json!([0, -15]));
            // As in any Python: TERM, QUIT and HUP end it, INT raises KeyboardInterrupt.
            assert_eq!(ask(&server, "signals"), serde_json::json!([-15, -3, 77, -1]));
        }
        assert_eq!(ask(&server, "pid"), worker);
        assert!(!server.log().contains("drain"), "{}", server.log());
        server.stop();
    }
}

#[test]
fn a_forked_process_keeps_no_connection_of_a_killed_worker() {
    let server = Server::app("forking:app").option("workers", 1).start();
    let mut client = server.connect();
    let worker: i32 = client.get("/pid").text().parse().unwrap();
    let orphan: i32 = client.get("/orphan").text().parse().unwrap();
    kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    server.wait_for("killed by SIGKILL", 1);
    // With a copy of the socket in the orphan, the client would wait for that one's end.
    let began = Instant::now();
    assert!(client.reply().is_err());
    assert!(began.elapsed() < LIMIT / 2, "{:?}", began.elapsed());
    kill(Pid::from_raw(orphan), Signal::SIGKILL).unwrap();
    server.wait_for("worker ready", 2);
    server.stop();
}

#[test]
fn a_forked_process_that_returns_from_the_handler_exits_and_sends_nothing() {
    for server in servers() {
        let server = server.start();
        for (way, code) in [("returns", 0), ("returns/exit", 7), ("returns/raise", 1)] {
            let mut client = server.connect();
            // One response, sent by the worker: the other process's exit status.
            assert_eq!(client.get(&format!("/{way}")).text(), code.to_string());
            assert_eq!(client.get("/pid").text(), ask(&server, "pid").to_string());
        }
        server.wait_for("raised in a forked process", 1);
        server.stop();
    }
    let server = Server::app("forking:app").option("workers", 1).start();
    for (way, code) in [("returns", 0), ("returns/exit", 7), ("returns/raise", 1)] {
        assert_eq!(ask(&server, &format!("later/{way}")), code);
    }
    server.stop();
}

#[test]
fn python_does_not_warn_of_threads_at_a_fork() {
    for server in [Server::app("forking:app"), Server::app("forking:wsgi").option("interface", "wsgi")] {
        // Slow callbacks are watched by a thread, which is awake while the handler blocks the loop.
        let server = server.option("workers", 1).option("slow-callback", 1).start();
        assert_eq!(ask(&server, "warned"), serde_json::json!([]));
        assert_eq!(ask(&server, "warned"), serde_json::json!([]));
        server.stop();
    }
}

#[test]
fn forks_at_import_have_none_of_the_workers_or_molds_resources() {
    for (preload, name) in [(false, "worker"), (true, "mold")] {
        let path = std::env::temp_dir().join(format!("hostler-forks-{}-{name}.json", std::process::id()));
        let mut server =
            Server::app("forking:app").option("workers", 1).env("FORK_AT_IMPORT", path.to_str().unwrap());
        if preload {
            server = server.arg("--preload=warn");
        }
        let server = server.start();
        let told: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_ordinary(&told[0]);
        assert_eq!(told[1], serde_json::json!([0, -15]));
        assert_eq!(told[2], serde_json::json!([-15, -3, 77, -1]));
        assert_ordinary(&ask(&server, "describe"));
        server.stop();
        std::fs::remove_file(&path).unwrap();
    }
}
