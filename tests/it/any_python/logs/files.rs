//! `--log-file`: reopened, on a full disk, in a removed directory, or a pipe.

use super::{app, everything_works, named_pipe, reader};
use hostler_testkit::{Server, directory, get_unix, wait_until};
use nix::sys::signal::Signal;
use std::{fs, io::Read, process::Command};

#[test]
fn the_log_file_is_reopened() {
    let dir = directory("log");
    let (file, moved) = (dir.join("log"), dir.join("log.1"));
    let mut server = Server::app("supervised:app")
        .option("workers", 1)
        .option("port", 0)
        .option("log-file", file.display())
        .option("log-format", "json")
        .launch();
    let has = |text: &str| fs::read_to_string(&file).unwrap_or_default().contains(text);
    wait_until("ready by the file", || has("worker ready"));
    for line in fs::read_to_string(&file).unwrap().lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["message"].is_string() && event["timestamp"].is_string(), "{line}");
    }
    fs::rename(&file, &moved).unwrap();
    server.signal(Signal::SIGUSR1);
    wait_until("reopened", || has("log file reopened"));
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    let log = fs::read_to_string(&file).unwrap();
    // The worker's and the master's last words both are in the new file.
    assert!(log.contains("draining") && log.contains("stopped"), "{log}");
    assert!(!fs::read_to_string(&moved).unwrap().contains("stopped"));
}

#[test]
fn a_dash_is_standard_error() {
    let dir = directory("log-dash");
    let file = dir.join("hostler.toml");
    fs::write(&file, format!("log-file = \"{}\"\n", dir.join("log").display())).unwrap();
    let server = Server::app("supervised:app").option("config", file.display()).option("port", 0);
    server.option("log-file", "-").start().stop();
    assert!(!dir.join("log").exists() && !hostler_testkit::root().join("tests/apps/-").exists());
}

#[test]
fn a_full_disk_does_no_harm() {
    let dir = directory("log-full");
    let (builder, socket) = app(&dir);
    everything_works(builder.option("log-file", "/dev/full").launch(), &socket);
}

#[test]
fn a_log_file_at_its_size_limit_does_no_harm() {
    let dir = directory("log-limit");
    let file = dir.join("log");
    let (builder, socket) = app(&dir);
    let server = builder.option("log-file", file.display()).launch();
    wait_until("serving", || get_unix(&socket, "/pid").is_ok());
    // A process that writes beyond it is ended by SIGXFSZ unless it asks otherwise.
    for pid in server.processes() {
        let limit = ["--pid", &pid.to_string(), "--fsize=8192"];
        let limited = Command::new("prlimit").args(limit).status().unwrap().success();
        // The process between two forks may have exited by then.
        assert!(limited || !fs::exists(format!("/proc/{pid}")).unwrap(), "{pid}");
    }
    everything_works(server, &socket);
    assert!(fs::metadata(&file).unwrap().len() <= 8192);
}

#[test]
fn a_log_file_whose_directory_is_gone_does_no_harm() {
    let dir = directory("log-directory");
    let logs = dir.join("logs");
    fs::create_dir(&logs).unwrap();
    let (builder, socket) = app(&dir);
    let server = builder.option("log-file", logs.join("log").display()).launch();
    wait_until("serving", || get_unix(&socket, "/pid").is_ok());
    fs::remove_dir_all(&logs).unwrap();
    everything_works(server, &socket);
}

#[test]
fn a_named_pipe_as_log_file_needs_no_reader() {
    let dir = directory("log-fifo");
    let pipe = named_pipe(&dir);
    let (builder, socket) = app(&dir);
    let server = builder.option("log-file", pipe.display()).launch();
    wait_until("serving", || get_unix(&socket, "/pid").is_ok());
    let mut reader = reader(&pipe);
    let (mut text, mut block) = (String::new(), vec![0; 1 << 16]);
    wait_until("told", || {
        let count = reader.read(&mut block).unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(&block[..count]));
        text.contains("worker ready")
    });
    everything_works(server, &socket);
}
