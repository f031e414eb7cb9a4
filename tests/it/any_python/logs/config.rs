//! `--log-config`: Python's logging, configured before the application is imported.

use hostler_testkit::{Builder, Conn, Server, directory};
use nix::sys::signal::Signal;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A configuration that writes what these loggers get to a file, each line with level and logger.
fn json(loggers: &[&str], log: &Path, formatter: &str) -> String {
    let loggers: Vec<String> = loggers
        .iter()
        .map(|name| {
            format!("{name:?}: {{\"handlers\": [\"file\"], \"level\": \"INFO\", \"propagate\": false}}")
        })
        .collect();
    format!(
        "{{\"version\": 1, \"disable_existing_loggers\": true, \
         \"formatters\": {{\"f\": {formatter}}}, \
         \"handlers\": {{\"file\": {{\"class\": \"logging.FileHandler\", \"filename\": {:?}, \"formatter\": \"f\"}}}}, \
         \"loggers\": {{{}}}}}",
        log.display(),
        loggers.join(", ")
    )
}

const PLAIN: &str = "{\"format\": \"%(levelname)s|%(name)s|%(message)s\"}";

struct Place {
    config: PathBuf,
    log: PathBuf,
}

impl Place {
    fn new(name: &str, file: &str) -> Self {
        let dir = directory(name);
        Self { config: dir.join(file), log: dir.join("log") }
    }

    fn app(&self) -> Builder {
        Server::app("logging_app:app").option("workers", 1).option("log-config", self.config.display())
    }

    fn written(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn ask(server: &Server, path: &str) -> u16 {
    Conn::to(server.address.unwrap()).get(path).status
}

#[test]
fn errors_of_the_application_go_through_logging_with_fields_and_traceback() {
    for preload in [false, true] {
        let place = Place::new(&format!("log-config-{preload}"), "log.json");
        let format = "{\"format\": \"%(levelname)s|%(name)s|%(message)s|%(path)s|%(event)s\"}";
        fs::write(&place.config, json(&["hostler.error"], &place.log, format)).unwrap();
        let app = if preload { place.app().arg("--preload") } else { place.app() };
        let server = app.start();
        assert_eq!(ask(&server, "/raise"), 500);
        let written = place.written();
        let line = "ERROR|hostler.error|the ASGI application raised before it sent a response method=\"GET\" path=\"/raise\" ";
        assert!(written.starts_with(line), "{written}");
        assert!(
            written
                .contains("|/raise|the ASGI application raised before it sent a response\nTraceback (most"),
            "{written}"
        );
        assert!(written.ends_with("ZeroDivisionError: division by zero\n"), "{written}");
        assert!(!server.log().contains("ZeroDivisionError"), "{}", server.log());
        server.stop();
    }
}

#[test]
fn all_kinds_of_files_are_read_and_the_loggers_of_other_servers_are_used() {
    let toml = |log: &Path| {
        format!(
            "version = 1\n[formatters.f]\nformat = \"%(levelname)s|%(name)s|%(message)s\"\n\
             [handlers.file]\nclass = \"logging.FileHandler\"\nfilename = {:?}\nformatter = \"f\"\n\
             [loggers.\"gunicorn.error\"]\nhandlers = [\"file\"]\nlevel = \"INFO\"\n",
            log.display()
        )
    };
    let ini = |log: &Path| {
        format!(
            "[loggers]\nkeys=root,uvicorn\n[handlers]\nkeys=file\n[formatters]\nkeys=f\n\
             [logger_root]\nhandlers=\n[logger_uvicorn]\nqualname=uvicorn\nhandlers=file\nlevel=INFO\n\
             [handler_file]\nclass=FileHandler\nargs=('{}',)\nformatter=f\n\
             [formatter_f]\nformat=%(levelname)s|%(name)s|%(message)s\n",
            log.display()
        )
    };
    let granian = Place::new("log-config-granian", "log.json");
    // Granian and Gunicorn add what a file leaves out.
    let text = json(&["_granian"], &granian.log, PLAIN).replace("\"version\": 1, ", "");
    let (gunicorn, uvicorn) =
        (Place::new("log-config-toml", "log.toml"), Place::new("log-config-ini", "logging.ini"));
    let (toml, ini) = (toml(&gunicorn.log), ini(&uvicorn.log));
    for (place, text, logger) in
        [(&granian, text, "_granian"), (&gunicorn, toml, "gunicorn.error"), (&uvicorn, ini, "uvicorn")]
    {
        fs::write(&place.config, text).unwrap();
        let server = place.app().start();
        assert_eq!(ask(&server, "/raise"), 500);
        let expected = format!("ERROR|{logger}|the ASGI application raised before it sent a response ");
        assert!(place.written().contains(&expected), "{logger}: {}", place.written());
        assert_eq!(ask(&server, "/own"), 200);
        assert!(
            place.written().contains("|written by the server's logger\n"),
            "{logger}: {}",
            place.written()
        );
        server.stop();
    }
}

#[test]
fn the_access_log_goes_through_logging_where_a_handler_is_for_it() {
    let place = Place::new("log-config-access", "log.json");
    fs::write(&place.config, json(&["hostler.access", "hostler.error"], &place.log, PLAIN)).unwrap();
    let server = place.app().option("access-log-fmt", "%(m)s %(U)s %(s)s").arg("--access-log").start();
    ask(&server, "/");
    ask(&server, "/raise");
    server.stop();
    let written = place.written();
    assert!(written.contains("INFO|hostler.access|GET / 200\n"), "{written}");
    assert!(written.contains("INFO|hostler.access|GET /raise 500\n"), "{written}");
}

#[test]
fn an_access_log_of_uvicorn_has_its_arguments() {
    let place = Place::new("log-config-uvicorn", "log.json");
    // As uvicorn.logging.AccessFormatter does, which takes the arguments apart.
    let formatter = "{\"()\": \"logging_app.Formatter\"}";
    fs::write(&place.config, json(&["uvicorn.access"], &place.log, formatter)).unwrap();
    let server = place.app().arg("--access-log").start();
    ask(&server, "/there?a=1");
    server.stop();
    let written = place.written();
    assert!(written.contains("- \"GET /there?a=1 HTTP/1.1\" 200|5\n"), "{written}");
}

#[test]
fn a_reload_reads_the_file_again_and_a_broken_one_changes_nothing() {
    let place = Place::new("log-config-reload", "log.json");
    fs::write(&place.config, json(&["hostler.error"], &place.log, PLAIN)).unwrap();
    let server = place.app().start();
    fs::write(&place.config, "{\"handlers\": 1").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for("not reloaded", 1);
    let log = server.log();
    assert!(log.contains("cannot use the log configuration") && log.contains("JSONDecodeError"), "{log}");
    assert_eq!(ask(&server, "/raise"), 500);
    let changed = json(&["hostler.error"], &place.log, "{\"format\": \"changed %(message)s\"}");
    fs::write(&place.config, changed).unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for("reloaded generation=2", 1);
    server.wait_for("worker exited", 2);
    assert_eq!(ask(&server, "/raise"), 500);
    assert!(place.written().contains("changed the ASGI application raised"), "{}", place.written());
    server.stop();
}

fn has_yaml() -> bool {
    let command = std::process::Command::new(hostler_testkit::python()).args(["-c", "import yaml"]).output();
    command.unwrap().status.success()
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    for (file, text, status, cause) in [
        ("log.json", "{", 78, "JSONDecodeError"),
        ("log.json", "[]", 78, "it holds no table"),
        ("log.json", "{\"handlers\": {\"a\": {\"class\": \"no.such.Handler\"}}}", 78, "no.such.Handler"),
        ("log.yaml", "version: 1\n", 78, "PyYAML is not installed"),
        ("log.ini", "[loggers]\nkeys=root\n", 78, "log.ini"),
    ] {
        if file == "log.yaml" && has_yaml() {
            continue;
        }
        let place = Place::new("log-config-wrong", file);
        fs::write(&place.config, text).unwrap();
        let (code, log) = place.app().option("log-level", "info").fail();
        assert_eq!(code, Some(status), "{file}: {log}");
        assert!(log.contains("cannot use the log configuration") && log.contains(cause), "{file}: {log}");
        assert!(!log.contains("Traceback"), "{log}");
    }
    let place = Place::new("log-config-missing", "log.json");
    let (code, log) = place.app().fail();
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("No such file"), "{log}");
}

#[test]
fn a_handler_that_fails_fails_no_request() {
    let place = Place::new("log-config-full", "log.json");
    let full = json(&["hostler.error", "hostler.access"], Path::new("/dev/full"), PLAIN);
    fs::write(&place.config, full).unwrap();
    let server = place.app().arg("--access-log").start();
    for _ in 0..3 {
        assert_eq!(ask(&server, "/raise"), 500);
        assert_eq!(ask(&server, "/"), 200);
    }
    server.stop();
}
