//! Headless Chromium: a page over TLS and HTTP/2 with its assets, its fetches and a WebSocket, while everything beneath it
//! is replaced. `cargo xtask browser` runs it: it needs the package `chromium`, which takes longer to install than it runs.

use crate::tls_support::Authority;
use hostler_testkit::{Server, directory, root};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

/// Killed with its processes when it is dropped.
struct Browser(Child);

impl Browser {
    fn open(url: &str) -> Self {
        let dir = directory("browser-profile");
        let log = File::create(dir.join("log")).unwrap();
        let mut command = Command::new("chromium");
        command
            // Without the port it may leave once it has loaded the page.
            .args(["--headless=new", "--remote-debugging-port=0", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--ignore-certificate-errors", "--enable-logging=stderr"])
            .args([
                "--disable-background-networking",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ])
            .arg(format!("--user-data-dir={}", dir.display()))
            .arg(url)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Self(command.spawn().expect("chromium is installed: apt-get install chromium"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// Waits until the page has fetched and sent for a while, and has joined by HTTP/2 so often.
fn works_on(server: &Server, joined: usize) {
    server.wait_for("the page: joined by HTTP/2", joined);
    for step in ["the page: fetched 20", "the page: sent 20"] {
        server.wait_for(step, server.log().matches(step).count() + 3);
    }
}

/// Chromium fails a request that it is about to send when it is told to leave; one that has arrived must not fail.
fn nothing_lost(log: &str, seen: &str) {
    let lost: Vec<&str> = log.lines().filter(|line| line.contains("the page: lost")).collect();
    assert_eq!(lost, [""; 0]);
    let failed = log.lines().filter_map(|line| line.strip_prefix("the page: failed ")?.split(' ').next());
    for failed in failed {
        assert!(!seen.lines().any(|line| line == failed), "{failed} arrived, and its response did not");
    }
}

#[test]
#[ignore = "it needs Chromium: cargo xtask browser"]
fn a_page_in_a_browser_loses_nothing_while_all_beneath_it_is_replaced() {
    let authority = Authority::new("browser");
    let files = authority.server();
    let seen = authority.dir.join("seen");
    let app = Server::app("browser_app:app").option("workers", 2).option("graceful-timeout", "5s");
    let app = app.env("SEEN", seen.to_str().unwrap());
    let assets = root().join("tests/apps/browser/static");
    let mut server = files.serve(app).option("static-path-mount", assets.display()).start();
    let browser = Browser::open(&format!("https://{}/static/index.html", server.address.unwrap()));
    server.wait_for("the page: loaded rgb(1, 2, 3) 7 h2 h2 h2 h2", 1);
    works_on(&server, 1);
    server.signal(Signal::SIGHUP);
    server.wait_for("worker exited", 2);
    works_on(&server, 2);
    authority.make("server", &["127.0.0.1", "new.example"], |_| {});
    server.wait_for("certificates have changed: the new ones are served", 1);
    server.signal(Signal::SIGHUP);
    server.wait_for("worker exited", 4);
    works_on(&server, 3);
    server.signal(Signal::SIGUSR2);
    server.wait_for("upgraded: the new server serves", 1);
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    works_on(&server, 4);
    drop(browser);
    nothing_lost(&server.log(), &fs::read_to_string(&seen).unwrap());
    let successor = server.successor();
    kill(Pid::from_raw(successor), Signal::SIGTERM).unwrap();
    server.wait_empty();
}
