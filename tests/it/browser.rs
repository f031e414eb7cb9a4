//! Headless Chromium: a page over TLS and HTTP/2 with its assets, its fetches and a WebSocket, while everything beneath it
//! is replaced. `cargo xtask browser` runs it: it needs the package `chromium`.

use crate::tls_support::Authority;
use hostler_testkit::{Conn, Load, Server, directory, root, wait_until};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// Killed with its processes when it is dropped.
struct Browser(Child, PathBuf);

impl Browser {
    /// Opens a page; each browser has a profile of its own by this name.
    fn open(name: &str, url: &str) -> Self {
        let dir = directory(&format!("profile-{name}"));
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
        let child = command.spawn().expect("chromium is installed: apt-get install chromium");
        Self(child, dir)
    }

    /// What it has written.
    fn log(&self) -> String {
        fs::read_to_string(self.1.join("log")).unwrap_or_default()
    }

    /// The list of its pages, with their titles, as JSON; empty until it has one.
    fn pages(&self) -> String {
        let port = fs::read_to_string(self.1.join("DevToolsActivePort")).unwrap_or_default();
        let port = port.lines().next().and_then(|port| port.parse::<u16>().ok());
        let Some(mut conn) = port.and_then(|port| Conn::try_to(([127, 0, 0, 1], port).into()).ok()) else {
            return String::new();
        };
        // It responds to no other host.
        conn.send("GET /json/list HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        conn.reply().map(|reply| reply.text()).unwrap_or_default()
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
    let browser = Browser::open("page", &format!("https://{}/static/index.html", server.address.unwrap()));
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

/// Waits until the page says so, by its title in the list of Chromium's pages.
fn wait_for_title(browser: &Browser, title: &str) {
    wait_until(title, || browser.pages().contains(title));
}

#[test]
#[ignore = "it needs Chromium: cargo xtask browser"]
fn the_dashboard_shows_the_server_in_a_browser() {
    let app = Server::app("observed:app").option("admin", "127.0.0.1:0").option("drain-delay", 10);
    let server = app.start();
    server.wait_for("observer listening", 1);
    let log = server.log();
    let admin = log.split("admin=").nth(1).unwrap().split_ascii_whitespace().next().unwrap().to_owned();
    let browser = Browser::open("dashboard", &format!("http://{admin}/"));
    // The title is what the script has read of the server.
    wait_for_title(&browser, "\"title\": \"serving");
    let load = Load::start(server.address.unwrap(), "/", 2);
    load.wait_for(100);
    let outcome = load.end();
    assert_eq!(outcome.failures, Vec::<String>::new());
    server.signal(Signal::SIGTERM);
    wait_for_title(&browser, "\"title\": \"draining");
    assert!(!browser.log().contains("Uncaught"), "{}", browser.log());
    server.signal(Signal::SIGINT);
}

/// What the page has shown after some seconds of its own time.
fn document(name: &str, url: &str) -> String {
    let dir = directory(&format!("profile-{name}"));
    let output = Command::new("chromium")
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"])
        .args(["--disable-background-networking", "--virtual-time-budget=4000"])
        .arg(format!("--user-data-dir={}", dir.display()))
        .arg(url)
        .stderr(Stdio::null())
        .output()
        .expect("chromium is installed: apt-get install chromium");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "it needs Chromium: cargo xtask browser"]
fn the_dashboard_shows_companions_and_tasks_in_a_browser() {
    let dir = directory("browser-companions");
    let config = dir.join("hostler.toml");
    let tables = "[[companion]]\nname = \"crew\"\ncommand = \"sleep 1000\"\nreplicas = 2\n\
                  [[companion]]\nname = \"broken\"\ncommand = \"sh -c 'exit 3'\"\n";
    fs::write(&config, tables).unwrap();
    let app = Server::app("sight_app:app").option("config", config.display()).option("task-workers", 1);
    let app = app.option("task-queue", dir.join("queue.db").display()).option("admin", "127.0.0.1:0");
    let server = app.option("workers", 1).start();
    server.wait_for("companion is in a crash loop", 2);
    assert_eq!(server.connect().get("/later/double/1").status, 200);
    let log = server.log();
    let admin = log.split("admin=").nth(1).unwrap().split_ascii_whitespace().next().unwrap().to_owned();
    let page = document("companions", &format!("http://{admin}/"));
    for text in [
        "<td>crew-1</td>",
        "<td>crew-2</td>",
        "<td>broken</td>",
        ">ready</td>",
        ">backing off, next attempt in ",
    ] {
        assert!(page.contains(text), "{text} is missing: {page}");
    }
    for text in [">exited with code 3 ", "<td>default</td>", "<td>t1</td>"] {
        assert!(page.contains(text), "{text} is missing: {page}");
    }
    server.stop();
}
