//! Applications that crash, hang, leave, close what is not theirs: the log says what happened, others serve on.

use hostler_testkit::{Builder, Server};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

fn interfaces() -> [Builder; 3] {
    ["blocking:app", "blocking:wsgi", "blocking:rsgi"].map(|target| {
        let interface = if target.ends_with("wsgi") { "wsgi" } else { "asgi" };
        let server = Server::app(target).option("workers", 1);
        if target.ends_with("rsgi") { server } else { server.option("interface", interface) }
    })
}

/// The number of the first line of the application that contains a text.
fn line_of(text: &str) -> usize {
    let source = std::fs::read_to_string(hostler_testkit::root().join("tests/apps/blocking.py")).unwrap();
    1 + source.lines().position(|line| line.contains(text)).unwrap()
}

/// Asks for what ends the worker; there may be an answer or not.
fn ask_for_the_end(server: &Server, path: &str) {
    let _ = server.connect().try_get(path, true);
}

#[test]
fn a_crash_is_told_with_its_requests_and_its_stack() {
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
        let place = format!("blocking.py:{} in segfault", line_of("free.memset(None"));
        assert!(log.contains(&place) && log.contains("in answer"), "{log}");
        server.stop();
    }
}

#[test]
fn a_crash_is_told_once_whoever_enabled_faulthandler() {
    let path = std::env::temp_dir().join(format!("hostler-faults-{}", std::process::id()));
    let server = Server::app("blocking:app").option("workers", 1).env("PYTHONFAULTHANDLER", "1");
    let server = server.env("FAULTS", path.to_str().unwrap()).start();
    ask_for_the_end(&server, "/segfault");
    server.wait_for("worker crashed", 1);
    assert_eq!(server.log().matches("Fatal Python error").count(), 1, "{}", server.log());
    server.wait_for("worker ready", 2);
    // An application's own choice stands.
    assert_eq!(server.connect().get("/own_faulthandler").text(), "enabled");
    ask_for_the_end(&server, "/segfault");
    server.wait_for("killed by SIGSEGV", 2);
    assert!(std::fs::read_to_string(&path).unwrap().contains("in segfault"));
    std::fs::remove_file(&path).unwrap();
    server.wait_for("worker ready", 3);
    server.stop();
}

#[test]
fn a_handler_that_leaves_is_told_and_its_worker_replaced() {
    for server in interfaces() {
        let server = server.start();
        ask_for_the_end(&server, "/leave/0");
        server.wait_for("exited with code 0 requests=\"GET /leave/0 ", 1);
        server.wait_for("worker ready", 2);
        ask_for_the_end(&server, "/leave/7");
        server.wait_for("exited with code 7 requests=\"GET /leave/7 ", 1);
        server.wait_for("worker ready", 3);
        assert_eq!(server.connect().get("/own_loop").text(), "slept");
        server.stop();
    }
}

#[test]
fn sys_exit_in_a_handler_ends_a_worker_that_has_served_and_is_called_so() {
    let server = Server::app("blocking:app").option("workers", 1).start();
    for (count, path) in ["/exit/5", "/later/exit/5"].into_iter().enumerate() {
        ask_for_the_end(&server, path);
        server.wait_for("the application ended the worker", count + 1);
        server.wait_for("exited with code 5", count + 1);
        server.wait_for("worker ready", count + 2);
    }
    let log = server.log();
    assert!(!log.contains("cannot boot") && !log.contains("the worker failed"), "{log}");
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
fn a_worker_that_stalls_in_any_way_is_replaced_and_its_line_told() {
    let ways = [
        ("spin", "in spin"),
        ("lock", "in lock"),
        ("wait", "in wait"),
        ("sleep", "in <lambda>"),
        ("poll_with_the_gil", "in <lambda>"),
        ("fork_and_wait", "in fork_and_wait"),
    ];
    let server = Server::app("blocking:app").option("workers", 1).option("stall-timeout", 1).start();
    for (count, (way, place)) in ways.into_iter().enumerate() {
        let path = format!("/{way}/60");
        let mut stuck = server.connect();
        stuck.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n"));
        server.wait_for("worker hangs", count + 1);
        server.wait_for("worker ready", count + 2);
        let log = server.log();
        let told = log.lines().rfind(|line| line.contains("worker hangs")).unwrap();
        assert!(told.contains(place) && told.contains(&format!("GET {path} ")), "{way}: {told}");
        server.wait_for("worker ended", count + 1);
    }
    // Of the tasks too, if Python gets to run: not behind C code that holds the GIL, nor on a machine without time.
    assert!(server.log().contains("Stack for <Task 'Task-4' app>"), "{}", server.log());
    // What was forked outlives its worker, and is this test's to end.
    end_strays(&server);
    server.stop();
}

/// Ends processes of the server's that are neither its master nor the mold nor the last worker.
fn end_strays(server: &Server) {
    let last = server.workers().pop().unwrap();
    for pid in server.processes() {
        let name = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if pid != last && pid != server.master() && !name.contains("mold") {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

#[test]
fn a_boot_that_hangs_is_told_with_the_applications_line() {
    let ways = [("startup", "# the application's await"), ("import", "# the import's line")];
    for (way, text) in ways {
        let server =
            Server::app("blocking:app").option("workers", 1).option("boot-timeout", 1).env("HANG", way);
        let (code, log) = server.fail();
        assert_eq!(code, Some(3), "{log}");
        let place = format!("blocking.py:{} in", line_of(text));
        let told = log.lines().find(|line| line.contains("worker hangs")).unwrap();
        assert!(told.contains("reason=\"boot-timeout\"") && told.contains(&place), "{told}");
        let last = &log[log.find("error: ").unwrap()..];
        assert!(last.contains("--boot-timeout") && last.contains(&place), "{last}");
    }
}

#[test]
fn a_shutdown_that_fails_is_told_although_the_application_silenced_other_loggers() {
    let server = Server::app("blocking:app").option("workers", 1).env("FAIL", "shutdown").start();
    assert_eq!(server.connect().get("/quiet").text(), "configured");
    server.signal(Signal::SIGTERM);
    server.wait_for("the application raised in its lifespan", 1);
    server.wait_for("failed in shutdown", 1);
}

#[test]
fn a_shutdown_that_hangs_lasts_the_graceful_timeout() {
    for (env, question) in [("shutdown", "own_loop"), ("", "at_exit/600")] {
        let server = Server::app("blocking:app").option("workers", 1).option("graceful-timeout", 1);
        let mut server = server.env("HANG", env).start();
        assert_eq!(server.connect().get(&format!("/{question}")).status, 200);
        server.signal(Signal::SIGTERM);
        server.wait_for("worker killed", 1);
        assert!(server.wait_exit().success());
        server.wait_empty();
    }
}

#[test]
fn a_worker_that_quits_takes_nobody_along_who_comes_during_its_shutdown() {
    let server = Server::app("blocking:app").option("workers", 2).option("graceful-timeout", 2);
    let server = server.env("HANG", "shutdown").start();
    server.wait_for("worker ready", 2);
    let quits: i32 = server.connect().get("/pid").text().parse().unwrap();
    kill(Pid::from_raw(quits), Signal::SIGQUIT).unwrap();
    server.wait_for("worker draining", 1);
    for _ in 0..50 {
        assert_ne!(server.connect().get("/pid").text(), quits.to_string());
    }
    kill(Pid::from_raw(quits), Signal::SIGKILL).unwrap();
    server.wait_for("worker ended", 1);
    server.signal(Signal::SIGQUIT);
    server.wait_empty();
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
