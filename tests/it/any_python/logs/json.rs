//! `--log-format json`: each line is one object.

use hostler_testkit::{Conn, Server, directory};
use nix::sys::signal::Signal;
use std::{fs, net::SocketAddr};

fn objects(log: &str) -> Vec<serde_json::Value> {
    let object = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    log.lines().map(object).collect()
}

#[test]
fn a_start_that_fails_is_told_as_json() {
    let json = |target| Server::app(target).option("log-format", "json").option("workers", 1);
    for (app, code) in [
        (json("nothing:app"), 4),
        (json("supervised:app").option("pid-file", "/nowhere/pid"), 78),
        (json("supervised:app").arg("--no-log").option("pid-file", "/nowhere/pid"), 78),
    ] {
        let (status, log) = app.fail();
        assert_eq!(status, Some(code), "{log}");
        let failures: Vec<_> = objects(&log).into_iter().filter(|line| line["level"] == "ERROR").collect();
        let [failure] = &failures[..] else { panic!("not one failure:\n{log}") };
        let has = |field: &str| failure[field].as_str().is_some_and(|text| !text.is_empty());
        assert!(has("timestamp") && has("message") && has("cause") && has("hint"), "{failure}");
    }
}

#[test]
fn mistakes_in_the_options_are_told_as_json_if_any_layer_asks_for_it() {
    let dir = directory("json-mistakes");
    let file = dir.join("hostler.toml");
    fs::write(&file, "log-format = \"json\"\nwrokers = 2\n").unwrap();
    let file = file.display().to_string();
    let app = || Server::app("supervised:app");
    for (name, app) in [
        ("command line", app().option("log-format", "json").arg("--no-such-option")),
        ("environment", app().env("HOSTLER_LOG_FORMAT", "json").option("port", "x")),
        ("file", app().option("config", &file)),
        ("variable for the file", app().env("HOSTLER_CONFIG", &file)),
        ("its own value", app().option("log-format", "json").option("log-level", "loud")),
    ] {
        let (status, log) = app.fail();
        assert!(matches!(status, Some(2 | 78)), "{name}: {status:?}\n{log}");
        let lines = objects(&log);
        assert_eq!(lines.len(), 1, "{name}: {log}");
        assert_eq!(lines[0]["level"], "ERROR", "{name}: {log}");
    }
    let (_, log) = app().option("log-format", "text").env("HOSTLER_CONFIG", &file).fail();
    assert!(log.starts_with("error: "), "{log}");
}

#[test]
fn a_traceback_is_a_field() {
    let json = |target| Server::app(target).option("log-format", "json").option("workers", 1);
    let (_, log) = json("raises:app").fail();
    let failure = objects(&log).into_iter().find(|line| line["level"] == "ERROR").unwrap();
    let traceback = failure["traceback"].as_str().unwrap();
    assert!(traceback.starts_with("Traceback (most recent call last):\n"), "{failure}");
    let cause = failure["cause"].as_str().unwrap();
    assert!(traceback.ends_with(cause) && !cause.contains('\n'), "{failure}");
}

#[test]
fn what_python_says_by_itself_is_json() {
    let mut server =
        Server::app("logging_app:app").option("log-format", "json").option("workers", 1).launch();
    server.wait_for("\"message\":\"serving\"", 1);
    let address =
        objects(&server.log()).iter().find_map(|line| line["address"].as_str()?.parse().ok()).unwrap();
    for path in ["/logged", "/warned", "/thread", "/unraisable", "/raise"] {
        Conn::to(address).get(path);
    }
    server.wait_for("division by zero", 3);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    let lines = objects(&server.log());
    let line = |text: &str| {
        let found = lines.iter().find(|line| line["message"].as_str().unwrap().contains(text));
        found.unwrap_or_else(|| panic!("no {text:?}:\n{}", server.log()))
    };
    let logged = line("stock is low: 3");
    assert_eq!((&logged["level"], &logged["logger"]), (&"WARN".into(), &"shop".into()));
    assert_eq!(line("said to uvicorn")["logger"], "uvicorn.error");
    assert_eq!(line("said to gunicorn")["level"], "INFO");
    assert!(line("this is old")["message"].as_str().unwrap().contains("UserWarning"));
    for text in ["exception in thread", "xception ignored", "the ASGI application raised before", "it failed"]
    {
        let line = line(text);
        assert_eq!(line["exception_type"], "ZeroDivisionError", "{line}");
        assert_eq!(line["exception_message"], "division by zero", "{line}");
        assert!(line["traceback"].as_str().unwrap().contains("logging_app.py"), "{line}");
    }
    let serving = line("serving");
    assert!(serving["workers"] == 1 && serving["seconds"].is_f64(), "{serving}");
}

/// Texts that are not Unicode, exceptions that cannot say what they are, and calls with the wrong arguments: in both forms of the log.
#[test]
fn no_line_is_lost_for_what_it_says() {
    for format in ["text", "json"] {
        let app = Server::app("logging_app:app").option("log-format", format).option("workers", 1);
        let server = app.launch();
        server.wait_for("worker ready", 1);
        let log = server.log();
        let address =
            log.split(['"', '=', ' ', '\n']).find_map(|word| word.parse::<SocketAddr>().ok()).unwrap();
        assert_eq!(Conn::to(address).get("/odd").status, 500);
        // JSON has the backslash twice.
        for text in [
            "no file \\\\udcff",
            "so many: %d",
            "logging_app.py:",
            "what it is cannot be said",
            "no name \\\\udcff",
        ] {
            let text = if format == "json" { text.to_owned() } else { text.replace("\\\\", "\\") };
            server.wait_for(&text, 1);
        }
        let log = server.log();
        assert!(log.contains("Unsayable: <exception str() failed>"), "{log}");
        // The traceback of the request's error is whole.
        assert!(log.split("no name").count() > 2 && log.contains("raise ValueError("), "{log}");
        server.stop();
    }
}

#[test]
fn what_an_application_logs_controls_no_terminal_but_its_colours() {
    for format in ["text", "json"] {
        let app = Server::app("logging_app:app").option("log-format", format).option("workers", 1);
        let server = app.launch();
        server.wait_for("worker ready", 1);
        let log = server.log();
        let address =
            log.split(['"', '=', ' ', '\n']).find_map(|word| word.parse::<SocketAddr>().ok()).unwrap();
        Conn::to(address).get("/coloured");
        server.wait_for("red", 1);
        let log = server.log();
        let line = log.lines().find(|line| line.contains("red")).unwrap();
        let plain = line.replace("\x1b[31m", "").replace("\x1b[0m", "");
        assert!(!plain.chars().any(char::is_control), "{line:?}");
        assert_eq!(plain != line, format == "text", "{line:?}");
        server.stop();
    }
}
