//! Programs that run beside the workers (docs/COMPANIONS.md).

mod ends;
mod native;
mod node;
mod order;
mod output;
mod reload;
mod restart;
mod sight;
mod sockets;
mod upgrade;

use hostler_testkit::{Builder, Server};
use nix::unistd::Pid;
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// A server with companions of a configuration file.
struct Site {
    directory: TempDir,
}

impl Site {
    fn new(tables: &str) -> Self {
        let site = Self { directory: tempfile::tempdir().unwrap() };
        site.write(tables);
        site
    }

    /// Writes the configuration; `DIR` in it is the directory of this site.
    fn write(&self, tables: &str) {
        let text = tables.replace("DIR", &self.directory.path().display().to_string());
        fs::write(self.directory.path().join("hostler.toml"), text).unwrap();
    }

    fn builder(&self) -> Builder {
        let file = self.directory.path().join("hostler.toml");
        Server::app("asgi_app:app").option("workers", 1).option("port", 0).option("config", file.display())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// The process of a companion that was started as the `nth`.
fn pid(server: &Server, name: &str, nth: usize) -> Pid {
    started_pid(server, &format!("companion started companion=\"{name}\""), nth)
}

/// The process of this replica as it was started first. Which of them starts first is open.
fn replica(server: &Server, name: &str, number: u16) -> Pid {
    started_pid(server, &format!("companion started companion=\"{name}\" replica={number} "), 1)
}

fn started_pid(server: &Server, text: &str, nth: usize) -> Pid {
    server.wait_for(text, nth);
    let log = server.log();
    let line = log.lines().filter(|line| line.contains(text)).nth(nth - 1).unwrap();
    let pid = line.split("pid=").nth(1).unwrap().split_ascii_whitespace().next().unwrap();
    Pid::from_raw(pid.parse().unwrap())
}

/// The process that watches a companion: its parent.
fn watcher(pid: Pid) -> Pid {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let parent = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(1).unwrap();
    Pid::from_raw(parent.parse().unwrap())
}

fn is_gone(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| {
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
    })
}

fn wait_gone(server: &Server, pid: Pid) {
    server.wait_until(&format!("process {pid} gone"), || is_gone(pid));
}

/// The pid that a process has written to a file.
fn written_pid(server: &Server, path: &std::path::Path) -> Pid {
    let mut found = None;
    server.wait_until("a process id is written", || {
        found = fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
        found.is_some()
    });
    Pid::from_raw(found.unwrap())
}
