//! The command line and configuration: what is refused before anything starts, and what is printed.

use crate::support::refused;
use hostler_testkit::{Server, hostler, root};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, process::Command};

#[test]
fn wrong_options_and_values_are_usage_errors() {
    for (args, word) in [
        (&["--wrokers", "2"][..], "--workers"),
        (&["--workers", "0"][..], "from 1 to 1024"),
        (&["--workers-lifetime", "soon"][..], "a duration"),
        (&["--interface", "cgi"][..], "one of auto, asgi"),
        (&["--ws-ping-interval", "0"][..], "a duration"),
        (&["--ssl-protocol-min", "tls1.1"][..], "one of tls1.2, tls1.3"),
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
fn variables_that_are_no_options_are_logged_and_those_of_kubernetes_are_not() {
    let server = Server::app("asgi_app:app")
        .env("HOSTLER_WROKERS", "3")
        .env("HOSTLER_PORT", "tcp://10.0.0.1:80")
        .env("HOSTLER_SERVICE_HOST", "10.0.0.1")
        .start();
    server.wait_for("did you mean HOSTLER_WORKERS?", 1);
    assert_eq!(server.log().matches("unknown environment variable").count(), 1, "{}", server.log());
}

#[test]
fn a_variable_that_is_not_text_is_an_error() {
    let value = OsStr::from_bytes(b"3\xff");
    let output = Command::new(hostler()).arg("a:b").env("HOSTLER_WORKERS", value).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("the environment variable HOSTLER_WORKERS is not UTF-8"), "{text}");
}

#[test]
fn print_config_has_the_status_that_the_start_would_have() {
    for (args, code) in [(&["a:b"][..], 0), (&["a:b", "--runtime-threads", "2"], 2), (&[], 2)] {
        let output = Command::new(hostler()).args(args).arg("--print-config").output().unwrap();
        let listing = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(listing.contains("workers-lifetime "), "{listing}");
        assert_eq!((output.status.code(), output.stderr.is_empty()), (Some(code), code == 0), "{args:?}");
    }
}

#[test]
fn contradictory_limits_are_refused() {
    let app = || Server::app("supervised:app");
    let (two, alone) = ("contradict each other", "it varies --max-requests, which is not set");
    refused(app().option("max-requests", 10).option("max-requests-jitter", 10), 2, &[two]);
    refused(app().option("max-requests-jitter", 5), 2, &[alone]);
    refused(app().option("graceful-timeout", 5).option("workers-kill-timeout", 6), 2, &[two]);
}

#[test]
fn users_groups_and_masks_that_do_not_exist_are_refused() {
    for (option, value, text) in [
        ("user", "nobody-of-that-name", "there is no such user"),
        ("group", "nobody-of-that-name", "there is no such group"),
        ("user", "4294967295", "this number stands for no user"),
        ("group", "4294967295", "this number stands for no group"),
        ("umask", "999", "octal"),
    ] {
        let (code, log) = Server::app("supervised:app").option(option, value).fail();
        assert_eq!(code, Some(2), "{log}");
        assert!(log.contains(text) && log.contains(value), "{log}");
    }
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
    // Not by this process: a fork of another test that inherits the open copy would make it "text file busy".
    assert!(Command::new("cp").arg(hostler()).arg(&copy).status().unwrap().success());
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

/// What the program prints, and where it is kept.
const GENERATED: [(&str, &str); 5] = [
    ("--print-peers", "docs/COMING_FROM.md"),
    ("--print-reference", "docs/CONFIGURATION.md"),
    ("--print-sample", "config/hostler.toml"),
    ("--print-schema", "config/hostler.schema.json"),
    ("--print-man", "docs/hostler.1"),
];

#[test]
fn generated_files_are_what_the_program_prints() {
    for (flag, file) in GENERATED {
        let output = Command::new(hostler()).arg(flag).output().unwrap();
        let kept = std::fs::read_to_string(root().join(file)).unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), kept, "run `hostler {flag} > {file}`");
    }
}

#[test]
fn output_to_a_closed_pipe_is_no_error() {
    let output = Command::new("sh")
        .args([
            "-c",
            "\"$0\" --print-reference | true; exec 2>&1; \"$0\" --print-reference >/dev/null && echo whole",
        ])
        .arg(hostler_testkit::hostler())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "whole\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(hostler()).arg("--print-sample").stdout(full).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot write to standard output") && text.contains("No space left"), "{text}");
}
