//! What operators see of companions: status, metrics, `hostler ctl`, the log of observer and all.

use super::{Site, pid, wait_gone};
use crate::any_python::observer::{admin, get, observer, status};
use hostler_testkit::{Server, hostler, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{net::SocketAddr, process::Command};

/// What a command of `hostler ctl` prints, and whether it was done.
pub(super) fn ctl(site: &Site, line: &str) -> (bool, String) {
    let mut command = Command::new(hostler());
    let command = command.arg("ctl").args(line.split_ascii_whitespace());
    let output = command.arg("--socket").arg(site.path("control.sock")).output().unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Starts a server that is observed and controlled.
fn observed(site: &Site) -> (Server, SocketAddr) {
    let builder = site.builder().option("admin", "127.0.0.1:0");
    let server = builder.option("control-socket", site.path("control.sock").display()).start();
    let address = admin(&server);
    (server, address)
}

/// One companion of a status.
fn of<'a>(status: &'a Value, name: &str, replica: u64) -> &'a Value {
    let all = status["companions"].as_array().unwrap();
    all.iter().find(|it| it["name"] == name && it["replica"] == replica).unwrap()
}

fn metric(address: SocketAddr, name: &str) -> Option<f64> {
    let text = get(address, "/metrics").text();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

const TABLES: &str = r#"
    [[companion]]
    name = "steady"
    command = ["sh", "-c", "python3 -c 'import time; a = bytearray(60 << 20); time.sleep(1000)' & wait"]
    replicas = 2
    [[companion]]
    name = "fails"
    command = ["sh", "-c", "exit 3"]
    [[companion]]
    name = "once"
    command = "true"
    restart = "never"
    [[companion]]
    name = "late"
    command = "sleep 1000"
    ready = "unix:/nowhere"
    ready-timeout = 1000
    [[companion]]
    name = "waits"
    command = "sleep 1000"
    after = ["late"]
"#;

#[test]
fn status_and_metrics_say_how_each_companion_stands() {
    let site = Site::new(TABLES);
    let (server, address) = observed(&site);
    let first = pid(&server, "steady", 1);
    pid(&server, "steady", 2);
    server.wait_for("companion is in a crash loop", 1);
    let states = || {
        let now = status(address);
        ["steady", "fails", "once", "late", "waits"].map(|name| of(&now, name, 1)["state"].clone())
    };
    wait_until("all are as they stay", || {
        states() == ["ready", "backing-off", "finished", "starting", "waiting"].map(Value::from)
    });
    // Of the process that it has started; its own is a shell.
    let memory = "hostler_companion_memory_bytes{companion=\"steady\",replica=\"1\"}";
    wait_until("it has its memory", || metric(address, memory) > Some(60e6));
    wait_until("why it is not ready", || {
        let now = status(address);
        of(&now, "late", 1)["not_ready_because"].as_str().is_some_and(|it| it.contains("/nowhere"))
    });

    let now = status(address);
    let steady = of(&now, "steady", 1);
    let number =
        server.log().lines().filter(|line| line.contains("companion started companion=\"steady\"")).count();
    assert_eq!((number, &steady["restarts"], &steady["last_exit"]), (2, &0.into(), &Value::Null), "{now}");
    assert!(steady["memory_bytes"].as_u64() > Some(60 << 20) && steady["cpu_seconds"].is_number(), "{now}");
    assert!(steady["age_seconds"].as_f64() > Some(0.0), "{now}");
    let fails = of(&now, "fails", 1);
    assert_eq!(
        (&fails["pid"], &fails["last_exit"]["status"]),
        (&Value::Null, &"exited with code 3".into()),
        "{now}"
    );
    assert!(fails["failures"].as_u64() >= Some(5) && fails["next_attempt_seconds"].is_number(), "{now}");
    assert_eq!(
        (&of(&now, "once", 1)["crashes"], &of(&now, "once", 1)["restarts"]),
        (&0.into(), &0.into()),
        "{now}"
    );
    // Command lines have passwords in them.
    assert!(!get(address, "/status.json").text().contains("bytearray"));
    let (_, text) = ctl(&site, "status --json");
    let told: Value = serde_json::from_str(&text).unwrap();
    assert!(of(&told["result"], "steady", 1)["command"].as_str().unwrap().contains("bytearray"), "{text}");
    let (_, text) = ctl(&site, "status");
    for words in [
        "steady-2: ready, process ",
        "fails: backing off, ",
        "last exited with code 3 ",
        "once: finished, ",
        "waits: waiting\n",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }

    kill(first, Signal::SIGKILL).unwrap();
    pid(&server, "steady", 3);
    let restarted = || {
        (1..=2)
            .map(|replica| of(&status(address), "steady", replica)["restarts"].as_u64().unwrap())
            .sum::<u64>()
    };
    wait_until("it was restarted", || restarted() == 1);
    let now = status(address);
    let one = (1..=2).map(|replica| of(&now, "steady", replica)).find(|it| it["restarts"] == 1).unwrap();
    assert_eq!(
        (&one["last_exit"]["status"], &one["crashes"]),
        (&"killed by SIGKILL".into(), &1.into()),
        "{now}"
    );
    for (name, value) in [
        ("up{companion=\"steady\",replica=\"2\"}", 1.0),
        ("up{companion=\"fails\",replica=\"1\"}", 0.0),
        ("up{companion=\"once\",replica=\"1\"}", 1.0),
        ("up{companion=\"late\",replica=\"1\"}", 0.0),
        (&format!("restarts_total{{companion=\"steady\",replica=\"{}\"}}", one["replica"]), 1.0),
        (&format!("crashes_total{{companion=\"steady\",replica=\"{}\"}}", one["replica"]), 1.0),
    ] {
        assert_eq!(metric(address, &format!("hostler_companion_{name}")), Some(value), "{name}");
    }
    assert!(
        metric(address, "hostler_companion_crashes_total{companion=\"fails\",replica=\"1\"}") >= Some(5.0)
    );
    server.stop();
}

/// More than fit in one message to the observer.
#[test]
fn many_companions_are_all_shown() {
    let site = Site::new("[[companion]]\nname = \"a\"\ncommand = \"sleep 1000\"\nreplicas = 120\n");
    let (server, address) = observed(&site);
    wait_until("all are ready", || {
        let now = status(address);
        let all = now["companions"].as_array().unwrap();
        all.len() == 120 && all.iter().all(|it| it["state"] == "ready")
    });
    assert_eq!(of(&status(address), "a", 120)["replica"], 120);
    server.stop();
}

/// What an observer that stands still is told waits for it, and the next one is told anew.
#[test]
fn an_observer_that_was_stopped_or_killed_knows_of_companions_again() {
    let site = Site::new("companion = [\"a=sh -c 'while :; do sleep 0.1; done'\"]");
    let (server, address) = observed(&site);
    let stands = |companion: Pid, restarts: u64| {
        let now = status(address);
        now["companions"][0]["pid"] == companion.as_raw() && now["companions"][0]["restarts"] == restarts
    };
    let first = pid(&server, "a", 1);
    wait_until("it is shown", || stands(first, 0));
    let process = Pid::from_raw(observer(&server));
    kill(process, Signal::SIGSTOP).unwrap();
    kill(first, Signal::SIGKILL).unwrap();
    let second = pid(&server, "a", 2);
    kill(second, Signal::SIGKILL).unwrap();
    let third = pid(&server, "a", 3);
    kill(process, Signal::SIGCONT).unwrap();
    wait_until("the last one is shown", || stands(third, 2));
    kill(process, Signal::SIGKILL).unwrap();
    wait_gone(&server, process);
    wait_until("the next observer shows it", || {
        std::net::TcpStream::connect(address).is_ok() && stands(third, 2)
    });
    server.stop();
}

/// An upgrade leaves it as it runs: its age goes on, and what is counted begins anew with the server.
#[test]
fn the_next_server_shows_companions_that_it_has_taken_over() {
    let site = Site::new("companion = [\"a=sh -c 'while :; do sleep 0.1; done'\"]");
    let (server, address) = observed(&site);
    let companion = pid(&server, "a", 1);
    wait_until("it is shown", || status(address)["companions"][0]["pid"] == companion.as_raw());
    let began = status(address)["companions"][0]["age_seconds"].as_f64().unwrap();
    server.signal(Signal::SIGUSR2);
    server.wait_for("companion taken over as it runs", 1);
    wait_until("the new server shows it", || {
        let now = status(address);
        now["server"]["pid"] == server.successor() && now["companions"][0]["pid"] == companion.as_raw()
    });
    let now = status(address);
    let a = &now["companions"][0];
    assert_eq!((&a["state"], &a["restarts"]), (&"ready".into(), &0.into()), "{now}");
    assert!(a["age_seconds"].as_f64() > Some(began) && a["memory_bytes"].as_u64() > Some(100_000), "{now}");
    kill(Pid::from_raw(server.successor()), Signal::SIGTERM).unwrap();
    server.wait_empty();
}
