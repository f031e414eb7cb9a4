//! Applications that crash, exit, or close descriptors that are not theirs: the log names the cause, other workers serve on.

use hostler_testkit::{Builder, Server, line_of};
use nix::sys::signal::Signal;

fn interfaces() -> [Builder; 3] {
    ["blocking:app", "blocking:wsgi", "blocking:rsgi"].map(|target| {
        let interface = if target.ends_with("wsgi") { "wsgi" } else { "asgi" };
        let server = Server::app(target).option("workers", 1);
        if target.ends_with("rsgi") { server } else { server.option("interface", interface) }
    })
}

/// Requests something that ends the worker; there may be a response or not.
fn ask_for_the_end(server: &Server, path: &str) {
    let _ = server.connect().try_get(path, true);
}

#[test]
fn a_crash_is_logged_with_its_requests_and_its_stack() {
    for server in interfaces() {
        let server = server.start();
        let crashes =
            [("segfault", "SIGSEGV"), ("abort", "SIGABRT"), ("crash/7", "SIGBUS"), ("crash/8", "SIGFPE")];
        for (count, (path, signal)) in crashes.into_iter().enumerate() {
            ask_for_the_end(&server, &format!("/{path}"));
            server.wait_for("worker crashed", count + 1);
            server.wait_for(&format!("killed by {signal}"), 1);
            server.wait_for(&format!("requests=\"GET /{path} "), 1);
            server.wait_for("worker ready", count + 2);
        }
        let log = server.log();
        assert_eq!(log.matches("Fatal Python error").count(), crashes.len(), "{log}");
        let place = format!("blocking.py:{} in segfault", line_of("blocking.py", "free.memset(None"));
        assert!(log.contains(&place) && log.contains("in answer"), "{log}");
        server.stop();
    }
}

#[test]
fn a_crash_is_logged_once_though_the_application_enabled_faulthandler() {
    let path = std::env::temp_dir().join(format!("hostler-faults-{}", std::process::id()));
    let server = Server::app("blocking:app").option("workers", 1).env("PYTHONFAULTHANDLER", "1");
    let server = server.env("FAULTS", path.to_str().unwrap()).start();
    ask_for_the_end(&server, "/segfault");
    server.wait_for("worker crashed", 1);
    assert_eq!(server.log().matches("Fatal Python error").count(), 1, "{}", server.log());
    server.wait_for("worker ready", 2);
    // An application's own settings are kept.
    assert_eq!(server.connect().get("/own_faulthandler").text(), "enabled");
    ask_for_the_end(&server, "/segfault");
    server.wait_for("killed by SIGSEGV", 2);
    assert!(std::fs::read_to_string(&path).unwrap().contains("in segfault"));
    std::fs::remove_file(&path).unwrap();
    server.wait_for("worker ready", 3);
    server.stop();
}

#[test]
fn a_handler_that_exits_is_logged_and_its_worker_respawned() {
    for server in interfaces() {
        let server = server.start();
        ask_for_the_end(&server, "/leave/0");
        server.wait_for("status=\"exited with code 0\" ", 1);
        server.wait_for("requests=\"GET /leave/0 ", 1);
        server.wait_for("worker ready", 2);
        ask_for_the_end(&server, "/leave/7");
        server.wait_for("status=\"exited with code 7\" ", 1);
        server.wait_for("requests=\"GET /leave/7 ", 1);
        server.wait_for("worker ready", 3);
        assert_eq!(server.connect().get("/own_loop").text(), "slept");
        server.stop();
    }
}

#[test]
fn sys_exit_in_a_handler_is_logged_as_the_applications_exit() {
    let server = Server::app("blocking:app").option("workers", 1).start();
    for (count, path) in ["/exit/5", "/later/exit/5"].into_iter().enumerate() {
        ask_for_the_end(&server, path);
        server.wait_for("the application ended the worker", count + 1);
        server.wait_for("exited with code 5", count + 1);
        server.wait_for("worker ready", count + 2);
    }
    let log = server.log();
    assert!(!log.contains("failed to boot") && !log.contains("the worker failed"), "{log}");
    server.stop();
}

#[test]
fn a_worker_that_served_is_not_logged_as_unable_to_boot() {
    let server = Server::app("hostile:app").option("workers", 1).start();
    assert_eq!(server.connect().get("/exit").text(), "exits");
    server.wait_for("worker ready", 2);
    let log = server.log();
    assert!(!log.contains("failed to boot"), "{log}");
    assert!(log.contains("SystemExit: 7"), "{log}");
    server.stop();
}

#[test]
fn a_worker_whose_descriptors_the_application_closes_ends_in_order() {
    for server in interfaces() {
        let server = server.start();
        ask_for_the_end(&server, "/close_all");
        server.wait_for("the application has closed descriptors that are not its own", 1);
        server.wait_for("exited with code 1", 1);
        server.wait_for("worker ready", 2);
        let log = server.log();
        assert!(!log.contains("a bug in hostler") && !log.contains("SIGSEGV"), "{log}");
        assert_eq!(server.connect().get("/own_loop").text(), "slept");
        server.stop();
    }
}

#[test]
fn threads_loops_and_closed_outputs_of_the_application_are_its_own_affair() {
    for server in interfaces() {
        let mut server = server.start();
        let ask = |question: &str| server.connect().get(&format!("/{question}")).text();
        let worker = ask("pid");
        assert_eq!(ask("mute"), "I/O operation on closed file.");
        assert_eq!(ask("own_loop"), "slept");
        assert_eq!(ask("linger"), "started");
        assert_eq!(ask("broken_exit"), "registered");
        assert_eq!(ask("pid"), worker);
        server.signal(Signal::SIGTERM);
        assert!(server.wait_exit().success(), "{}", server.log());
        assert!(!server.log().contains("worker killed"), "{}", server.log());
    }
}
