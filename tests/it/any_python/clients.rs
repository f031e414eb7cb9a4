//! Clients that people use, over TLS: while workers are reloaded, certificates change and the server is upgraded, nothing is
//! lost that they may not repeat.
//!
//! What they may repeat without being asked was not served: each request has a number, and the application notes those that
//! arrive.

use crate::tls_support::Authority;
use hostler_testkit::{Server, python, root};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// A server over TLS, whose application notes each query string that arrives.
struct Site {
    authority: Authority,
    server: Server,
    seen: PathBuf,
}

impl Site {
    fn start(name: &str) -> Self {
        let authority = Authority::new(name);
        let seen = authority.dir.join("seen");
        let app = Server::app("browser_app:app").option("workers", 2).env("SEEN", seen.to_str().unwrap());
        let server = authority.server().serve(app).start();
        Self { authority, server, seen }
    }

    fn url(&self, query: &str) -> String {
        format!("https://{}/echo?{query}", self.server.address.unwrap())
    }

    fn ca(&self) -> String {
        self.authority.certificate().display().to_string()
    }

    /// The query strings that have arrived.
    fn seen(&self) -> Vec<String> {
        fs::read_to_string(&self.seen).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Waits until so many more requests have arrived.
    fn wait_for(&self, more: usize) {
        let before = self.seen().len();
        self.server.wait_until("requests arrive", || self.seen().len() >= before + more);
    }

    /// Replaces workers, certificates and the server, with requests before, between and after.
    fn replace_all(&mut self) {
        self.wait_for(50);
        self.server.signal(Signal::SIGHUP);
        self.server.wait_for("worker exited", 2);
        self.wait_for(50);
        self.authority.make("server", &["127.0.0.1", "new.example"], |_| {});
        self.server.wait_for("certificates have changed: the new ones are served", 1);
        self.wait_for(50);
        self.server.signal(Signal::SIGUSR2);
        assert_eq!(self.server.wait_exit_of_master().code(), Some(0));
        self.wait_for(50);
    }

    fn stop(self) {
        let successor = self.server.successor();
        kill(Pid::from_raw(successor), Signal::SIGTERM).unwrap();
        self.server.wait_empty();
    }
}

/// What a program prints, which has to succeed.
fn output(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}, which .ci/run installs: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Runs a client again and again until everything was replaced; `run` is told how often it ran before, and has to check it.
fn while_replaced(site: &mut Site, run: impl Fn(usize) + Send + Sync) -> usize {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut runs = 0;
            while !is_done.load(Ordering::SeqCst) {
                run(runs);
                runs += 1;
            }
            runs
        });
        site.replace_all();
        is_done.store(true, Ordering::SeqCst);
        client.join().unwrap()
    })
}

#[test]
fn curl_loses_no_request_by_either_version_of_http() {
    for (http, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let mut site = Site::start("curl");
        let (url, ca) = (site.url(""), site.ca());
        let runs = while_replaced(&mut site, |run| {
            let mut curl = Command::new("curl");
            curl.args([
                "-s",
                http,
                "--parallel",
                "--parallel-max",
                "10",
                "--max-time",
                "60",
                "--cacert",
                &ca,
            ])
            .args(["-o", "/dev/null", "-w", "%{http_version} %{response_code}\\n"])
            .arg(format!("{url}{run}-[1-100]"));
            let answers = output(&mut curl);
            let expected = format!("{version} 200");
            let good = answers.lines().filter(|answer| *answer == expected).count();
            assert_eq!(good, 100, "{http}: {answers}");
        });
        assert_eq!(site.seen().len(), runs * 100, "{http}: nothing was sent twice");
        site.stop();
    }
}

#[test]
fn nghttp_loses_no_stream() {
    let mut site = Site::start("nghttp");
    let url = site.url("");
    while_replaced(&mut site, |run| {
        let urls = (0..20).map(|number| format!("{url}{run}-{number}"));
        let answers =
            output(Command::new("nghttp").args(["-s", "-n", "-t", "60", "--no-verify-peer"]).args(urls));
        let good = answers.lines().filter(|line| line.contains(" 200 ") && line.contains("/echo?")).count();
        assert_eq!(good, 20, "{answers}");
    });
    site.stop();
}

/// It opens no new connection when it is told to leave: what it has begun by then and not sent, it counts as failed.
#[test]
fn h2load_loses_no_stream_that_it_has_sent() {
    let mut site = Site::start("h2load");
    let url = site.url("x");
    let succeeded = std::sync::atomic::AtomicUsize::new(0);
    while_replaced(&mut site, |_| {
        let answers = output(Command::new("h2load").args(["-n", "300", "-c", "3", "-m", "10", &url]));
        let line = answers.lines().find(|line| line.starts_with("requests: ")).unwrap();
        let mut counts = line["requests: ".len()..].split(", ").filter_map(|count| count.split_once(' '));
        let count = counts.find(|(_, name)| *name == "succeeded").unwrap().0;
        succeeded.fetch_add(count.parse().unwrap(), Ordering::SeqCst);
    });
    assert_eq!(site.seen().len(), succeeded.into_inner());
    site.stop();
}

/// `tests/clients/httpx_client.py`, which prints a line when it has ended.
struct Httpx(Child);

impl Httpx {
    fn start(site: &Site, version: &str) -> Self {
        let mut client = Command::new(python());
        client.arg(root().join("tests/clients/httpx_client.py")).args([
            site.url(""),
            site.ca(),
            version.into(),
        ]);
        client.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(client.spawn().unwrap())
    }

    /// What it has to say of failures.
    fn end(mut self) -> String {
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn httpx_loses_no_request_over_http_1() {
    let mut site = Site::start("httpx-1");
    let client = Httpx::start(&site, "HTTP/1.1");
    site.replace_all();
    assert_eq!(client.end(), "");
    site.stop();
}

/// Python's package `h2`, on which httpx is built, gives up its streams at the first GOAWAY: there are none then.
#[test]
fn httpx_loses_no_request_over_http_2_that_it_sends_one_after_the_other() {
    let mut site = Site::start("httpx-2");
    let client = Httpx::start(&site, "HTTP/2");
    site.replace_all();
    assert_eq!(client.end(), "");
    site.stop();
}
