//! The access log in a pipe: lines of several workers stay whole, and what its reader does not take is counted.

use hostler_testkit::{Builder, Server, directory};
use nix::sys::{signal::Signal, stat::Mode};
use serde_json::Value;
use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    thread,
};

/// A named pipe that keeps what is in it while this end is open.
fn pipe(name: &str) -> (PathBuf, File) {
    let path = directory(name).join("pipe");
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    let end = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    (path, end)
}

fn app(path: &std::path::Path) -> Builder {
    Server::app("asgi_app:app").option("access-logfile", path.display())
}

/// The number behind a word of the log, of all its lines.
fn numbers(log: &str, word: &str) -> u64 {
    let behind = |line: &str| line.split_once(word)?.1.split(' ').next()?.parse::<u64>().ok();
    log.lines().filter_map(behind).sum()
}

#[test]
fn a_pipe_that_is_not_read_holds_up_nothing_and_lost_lines_are_counted() {
    let (path, mut end) = pipe("access-pipe");
    let mut server = app(&path).option("workers", 1).option("access-log-fmt", "%({user-agent}i)s").start();
    let mut conn = server.connect();
    let agent = format!("user-agent: {}\r\n", "x".repeat(4000));
    for _ in 0..400 {
        assert_eq!(conn.request("GET", "/pid", &agent, b"").status, 200);
    }
    server.wait_for("the access log cannot be written: lines are dropped", 1);
    drop(conn);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
    let mut taken = vec![0; 1 << 20];
    let count = end.read(&mut taken).unwrap();
    let written = taken[..count].iter().filter(|byte| **byte == b'\n').count() as u64;
    let lost = numbers(&server.log(), "could not be written lines=");
    assert_eq!(written + lost, 400, "{}", server.log());
}

#[test]
fn long_lines_of_several_workers_stay_whole() {
    const EACH: usize = 40;
    let (path, end) = pipe("access-long");
    let server = app(&path).option("workers", 2).option("access-log-fmt", "json").start();
    let lines: Vec<String> = thread::scope(|scope| {
        for letter in ["a", "b", "c", "d"] {
            let mut conn = server.connect();
            scope.spawn(move || {
                let agent = format!("user-agent: {}\r\n", letter.repeat(5000));
                for _ in 0..EACH {
                    let path = format!("/pid?{}", letter.repeat(7000));
                    assert_eq!(conn.request("GET", &path, &agent, b"").status, 200);
                }
            });
        }
        BufReader::new(end).lines().take(4 * EACH).map(Result::unwrap).collect()
    });
    for line in lines {
        let object: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line.len() < 4096, "{}", line.len());
        let (query, agent) = (object["query"].as_str().unwrap(), object["user_agent"].as_str().unwrap());
        let letter = query.as_bytes()[0];
        let is_of_one = |text: &str| text.bytes().take(200).all(|byte| byte == letter);
        assert!(is_of_one(query) && query.ends_with("...(7000 bytes)"), "{line}");
        assert!(is_of_one(agent) && agent.ends_with("...(5000 bytes)"), "{line}");
    }
    server.stop();
}
