//! What companions print.

use super::{Site, pid};
use serde_json::Value;
use std::fs;

#[test]
fn lines_have_the_companions_name_however_long_they_are_and_however_they_end() {
    let site = Site::new(
        r#"
        [[companion]]
        name = "a"
        command = ["python3", "-c", "import sys; print('x'*40000, 'end'); print('error', file=sys.stderr); sys.stdout.buffer.write(b'\\xff\\x1b[31mred\\r\\n'); print('no line feed', end='')"]
        restart = "never"
        "#,
    );
    let server = site.builder().start();
    server.wait_for("a | no line feed", 1);
    server.wait_for("a | error", 1);
    let log = server.log();
    let xs = log
        .lines()
        .filter(|line| line.contains(" a | x"))
        .map(|line| line.matches('x').count() - usize::from(line.contains("exited")))
        .sum::<usize>();
    assert_eq!(xs, 40_000, "{log}");
    assert!(!log.contains('\x1b') && log.contains("red"), "{log}");
    server.stop();
}

#[test]
fn as_json_each_line_has_companion_and_stream() {
    let site = Site::new(
        "[[companion]]\nname = \"a\"\ncommand = \"sh -c 'echo one; echo two >&2; exec sleep 1000'\"\nreplicas = 2\n",
    );
    let server = site.builder().option("log-format", "json").option("log-level", "warning").launch();
    server.wait_for("\"one\"", 2);
    server.wait_for("\"two\"", 2);
    let log = server.log();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let line =
        |message: &str| lines.iter().find(|line| line["message"] == message && line["replica"] == 2).unwrap();
    assert_eq!(
        (line("one")["companion"].as_str(), line("one")["stream"].as_str()),
        (Some("a"), Some("stdout"))
    );
    assert_eq!(
        (line("two")["level"].as_str(), line("two")["stream"].as_str()),
        (Some("INFO"), Some("stderr"))
    );
    server.stop();
}

/// With a reader of the log that has died, or that reads nothing, the companion's own writes go on.
#[test]
fn a_companion_neither_waits_for_the_logs_reader_nor_ends_for_want_of_one() {
    let site = Site::new(
        r#"
        [[companion]]
        name = "a"
        command = ["python3", "-c", "import time\nfor turn in range(20000): print('y'*100, flush=True)\nopen('DIR/written','w').close()\ntime.sleep(1000)"]
        "#,
    );
    let pid_file = site.path("pid");
    for reader in ["exec sleep 1000", "exit 0"] {
        let _ = fs::remove_file(site.path("written"));
        // The server's standard error is a pipe to the shell's last process.
        let script = format!("\"$@\" 2>&1 | ({reader})");
        let server = site
            .builder()
            .option("graceful-timeout", 1)
            .option("pid-file", pid_file.display())
            .wrapped(&["sh", "-c", &script, "sh"])
            .launch();
        server.wait_for_file(&site.path("written"));
        let master = super::written_pid(&server, &pid_file);
        nix::sys::signal::kill(master, nix::sys::signal::Signal::SIGTERM).unwrap();
        super::wait_gone(&server, master);
    }
}

#[test]
fn output_goes_on_as_it_is_or_nowhere_if_that_is_wanted() {
    let site = Site::new(
        r#"
        [[companion]]
        name = "a"
        command = "sh -c 'echo as it is >&2; exec sleep 1000'"
        output = "inherit"
        [[companion]]
        name = "b"
        command = "sh -c 'echo to nobody; exec sleep 1000'"
        output = "null"
        "#,
    );
    let server = site.builder().start();
    server.wait_for("as it is", 1);
    pid(&server, "b", 1);
    let log = server.log();
    assert!(log.lines().any(|line| line == "as it is") && !log.contains("to nobody"), "{log}");
    server.stop();
}

#[test]
fn a_reopened_log_is_followed() {
    let site = Site::new("companion = [\"a=sh -c 'while :; do echo tick; sleep 0.05; done'\"]");
    let log = site.path("log");
    let server = site.builder().option("log-file", log.display()).launch();
    let has_ticks =
        |path: &std::path::Path| fs::read_to_string(path).is_ok_and(|text| text.contains("a | tick"));
    server.wait_until("ticks", || has_ticks(&log) && fs::read_to_string(&log).unwrap().contains("serving"));
    fs::rename(&log, site.path("old")).unwrap();
    server.signal(nix::sys::signal::Signal::SIGUSR1);
    server.wait_until("ticks in the new file", || has_ticks(&log));
    let size = || fs::metadata(site.path("old")).unwrap().len();
    let before = size();
    let lines = || fs::read_to_string(&log).unwrap().matches("tick").count();
    let seen = lines();
    server.wait_until("more ticks", || lines() > seen + 3);
    assert_eq!(size(), before);
}
