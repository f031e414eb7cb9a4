//! The command line, and everything that can be wrong before a server serves.

use hostler_testkit::{Builder, Server, hostler, root};
use std::{net::TcpListener, process::Command};

/// Expects a failure with this code and these words, and nothing left behind.
fn refused(server: Builder, code: i32, words: &[&str]) -> String {
    let (status, log) = server.option("port", 0).fail();
    assert_eq!(status, Some(code), "{log}");
    for word in words {
        assert!(log.contains(word), "{word:?} is missing in:\n{log}");
    }
    assert_eq!(log.matches("error: ").count(), 1, "more than one message:\n{log}");
    log
}

#[test]
fn the_production_command_serves() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::app("talkpython.quart_app:app")
        .example()
        .option("host", "0.0.0.0")
        .option("port", port)
        .option("interface", "asgi")
        .arg("--no-ws")
        .option("workers", 3)
        .option("threading-mode", "workers")
        .option("loop", "uvloop")
        .option("workers-lifetime", 43_200)
        .option("respawn-interval", 30)
        .option("process-name", "granian-talkpython")
        .arg("--log")
        .option("log-level", "info")
        .start();
    let mut conn = hostler_testkit::Conn::to(([127, 0, 0, 1], port).into());
    assert!(conn.get("/").text().contains("Quart on hostler"));
    let log = server.log();
    assert!(!log.contains("not yet in effect"), "{log}");
    server.stop();
}

#[test]
fn a_missing_module_or_attribute_is_named() {
    refused(
        Server::app("nowhere:app"),
        4,
        &["could not load `nowhere:app`", "no module `nowhere`", "hint: "],
    );
    refused(Server::app("odd:nothing"), 4, &["`odd` has no attribute `nothing`", "`create_app`"]);
    refused(Server::app("odd/x.py"), 4, &["does not name an application"]);
}

#[test]
fn an_application_that_raises_at_import_shows_its_traceback() {
    let log = refused(
        Server::app("raises:app"),
        4,
        &["could not load `raises:app`", "ValueError: the settings are missing"],
    );
    assert!(log.contains("raises.py\", line 3"), "{log}");
}

#[test]
fn what_is_no_application_is_refused() {
    refused(Server::app("odd:number"), 4, &["`odd:number` is not an application", "a value of type int"]);
    refused(Server::app("odd:create_app"), 4, &["cannot tell what kind", "--factory"]);
}

#[test]
fn a_factory_is_called() {
    let server = Server::app("odd:create_app").arg("--factory").start();
    assert_eq!(server.connect().get("/").text(), "from a factory");
}

#[test]
fn a_failed_lifespan_stops_the_start() {
    refused(
        Server::app("odd:failing"),
        3,
        &["lifespan startup failed", "RuntimeError: the database is away"],
    );
    refused(Server::app("odd:refusing"), 3, &["lifespan startup failed", "no database"]);
}

#[test]
fn a_port_in_use_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (status, log) = Server::app("asgi_app:app").option("port", port).fail();
    assert_eq!(status, Some(1), "{log}");
    assert!(
        log.contains(&format!("cannot listen on 127.0.0.1:{port}")) && log.contains("another program"),
        "{log}"
    );
    let server = Server::app("asgi_app:app").start();
    let (status, log) = Server::app("asgi_app:app").option("port", server.address.unwrap().port()).fail();
    assert_eq!(status, Some(1), "two servers share a port in silence:\n{log}");
}

#[test]
fn a_privileged_port_is_explained() {
    // As nobody, without the capability; a container may allow low ports to everybody.
    let start = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if start.trim() == "0" || !nix::unistd::geteuid().is_root() {
        println!("skipped: this machine lets us bind low ports, or does not let us become nobody");
        return;
    }
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"])
        .arg(root().join("target/release/axum-hello"))
        .arg("127.0.0.1:81")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if text.contains("setpriv:") || text.contains("execve") {
        println!("skipped: nobody may not run programs here: {text}");
        return;
    }
    assert_ne!(output.status.code(), Some(0), "{text}");
}

#[test]
fn wrong_options_and_values_are_usage_errors() {
    for (args, word) in [
        (&["--wrokers", "2"][..], "--workers"),
        (&["--workers", "0"][..], "from 1 to 1024"),
        (&["--workers-lifetime", "soon"][..], "a duration"),
        (&["--interface", "cgi"][..], "one of auto, asgi"),
        (&["--http", "2"][..], "HTTP/2 is not served yet"),
        (&["--ws-ping-interval", "0"][..], "a duration"),
        (&["--ssl-certificate", "x"][..], "TLS is not served yet"),
        (&["--threading-mode", "runtime"][..], "one thread"),
    ] {
        let builder = args.iter().fold(Server::app("asgi_app:app"), |server, arg| server.arg(arg));
        refused(builder, 2, &[word]);
    }
}

#[test]
fn wrong_values_elsewhere_are_configuration_errors() {
    let server = Server::app("asgi_app:app").env("HOSTLER_WORKERS", "many");
    refused(server, 78, &["environment variable HOSTLER_WORKERS"]);
    let file = std::env::temp_dir().join(format!("hostler-it-{}.toml", std::process::id()));
    std::fs::write(&file, "worker = 2\n").unwrap();
    let server = Server::app("asgi_app:app").option("config", file.display());
    refused(server, 78, &["there is no option `worker`", "did you mean `workers`?"]);
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_python_that_cannot_be_used_is_explained() {
    let with = |python: &str| Server::app("asgi_app:app").option("python", python);
    refused(
        with("/nowhere/python"),
        78,
        &["the Python interpreter `/nowhere/python` cannot be used", "hint: "],
    );
    refused(with("/bin/true"), 78, &["it is not a Python interpreter"]);
    match old_python() {
        Some(old) => drop(refused(with(&old), 78, &["3.10 is the oldest"])),
        None => println!("no Python older than 3.10 here"),
    }
}

fn old_python() -> Option<String> {
    let all =
        std::fs::read_dir(std::path::Path::new(&std::env::var("PYENV_ROOT").ok()?).join("versions")).ok()?;
    let mut names = all.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("3.9."));
    names.next().map(|entry| entry.path().join("bin/python").to_string_lossy().into_owned())
}

#[test]
fn a_missing_extension_is_explained() {
    let dir = std::env::temp_dir().join(format!("hostler-bare-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let copy = dir.join("hostler");
    std::fs::copy(hostler(), &copy).unwrap();
    let python = hostler_testkit::python();
    let output = Command::new(&copy).args(["a:b", "--python"]).arg(python).output().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(
        text.contains("no hostler extension for Python") && text.contains("cargo build --release"),
        "{text}"
    );
}

#[test]
fn generated_files_are_what_the_program_prints() {
    for (flag, file) in
        [("--print-reference", "docs/CONFIGURATION.md"), ("--print-sample", "config/hostler.toml")]
    {
        let output = Command::new(hostler()).arg(flag).output().unwrap();
        let kept = std::fs::read_to_string(root().join(file)).unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), kept, "run `hostler {flag} > {file}`");
    }
}
