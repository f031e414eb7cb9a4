//! Measuring against other servers, side by side on one core each.

mod edge;

use crate::{
    python::{self, Python},
    tools::{Cmd, root, section},
};
use anyhow::{Context, Result};
use std::{
    fs,
    path::Path,
    process::{Child, Command},
};

/// How the application is served, which selects the servers.
enum Kind {
    Asgi,
    Wsgi,
    Rsgi,
    /// ASGI over WebSocket, with a load generator of our own.
    WebSocket,
    /// ASGI over TLS.
    Tls,
    /// ASGI over HTTP/2 with prior knowledge.
    Http2,
    /// Static files: nginx, too.
    Static,
    /// No Python.
    Native,
}

/// What is measured: name, kind, application in crates/bench/apps, further arguments of compare.py.
struct Comparison(&'static str, Kind, &'static str, &'static [&'static str]);

const COMPARISONS: [Comparison; 22] = [
    Comparison("asgi-hello", Kind::Asgi, "hello:asgi", &[]),
    Comparison("asgi-body", Kind::Asgi, "body:asgi", &["--script", "post.lua"]),
    Comparison("echo-10k", Kind::Asgi, "asgi_paths:echo", &["--script", "post_10kb.lua"]),
    Comparison(
        "echo-1m",
        Kind::Asgi,
        "asgi_paths:echo",
        &["--script", "post_1mb.lua", "--connections", "16"],
    ),
    Comparison("stream-1m", Kind::Asgi, "asgi_paths:stream", &["--connections", "16"]),
    Comparison("sleep-0", Kind::Asgi, "asgi_paths:sleep_0", &[]),
    Comparison("sleep-1ms", Kind::Asgi, "asgi_paths:sleep_1ms", &[]),
    Comparison("future", Kind::Asgi, "asgi_paths:future", &[]),
    Comparison("executor", Kind::Asgi, "asgi_paths:executor", &[]),
    Comparison("upstream", Kind::Asgi, "asgi_paths:upstream", &[]),
    Comparison("starlette", Kind::Asgi, "frameworks:starlette", &[]),
    Comparison("fastapi", Kind::Asgi, "frameworks:fastapi", &[]),
    Comparison("wsgi-hello", Kind::Wsgi, "hello:wsgi", &[]),
    Comparison("flask", Kind::Wsgi, "frameworks:flask", &[]),
    Comparison("rsgi-hello", Kind::Rsgi, "hello:rsgi", &[]),
    Comparison("websocket", Kind::WebSocket, "asgi_paths:websocket", &[]),
    Comparison("native-hello", Kind::Native, "", &[]),
    Comparison("tls-handshakes", Kind::Tls, "hello:asgi", &["--tls", "--close", "--connections", "16"]),
    Comparison("tls-1m", Kind::Tls, "asgi_paths:whole_1m", &["--tls", "--connections", "16"]),
    Comparison("http2-hello", Kind::Http2, "hello:asgi", &["--http2", "--connections", "16"]),
    Comparison("static-10k", Kind::Static, "hello:asgi", &["--path", "/files/10k.txt"]),
    Comparison(
        "static-10m",
        Kind::Static,
        "hello:asgi",
        &["--path", "/files/10m.txt", "--connections", "16"],
    ),
];

/// Where the application `upstream` finds an echo server.
const ECHO_PORT: &str = "19777";

impl Kind {
    /// Names and commands; ours is the first.
    fn servers(&self) -> &'static [(&'static str, &'static str)] {
        const HOSTLER: &str = "{hostler} {app} --no-log --port {port} --python {bin}/python";
        match self {
            Self::Asgi | Self::WebSocket => &[
                ("hostler", HOSTLER),
                ("granian", "{bin}/granian --interface asgi --no-log --loop uvloop --port {port} {app}"),
                ("uvicorn", "{bin}/uvicorn --log-level warning --no-access-log --port {port} {app}"),
            ],
            Self::Wsgi => &[
                ("hostler", HOSTLER),
                (
                    "granian",
                    "{bin}/granian --interface wsgi --no-log --blocking-threads 1 --port {port} {app}",
                ),
                ("gunicorn", "{bin}/gunicorn -k gthread --log-level warning -b 127.0.0.1:{port} {app}"),
            ],
            Self::Rsgi => &[
                ("hostler", "{hostler} {app} --interface rsgi --no-log --port {port} --python {bin}/python"),
                ("granian", "{bin}/granian --interface rsgi --no-log --loop uvloop --port {port} {app}"),
                (
                    "granian-rust",
                    "{bin}/granian --interface rsgi --no-log --loop uvloop --task-impl rust --port {port} {app}",
                ),
            ],
            Self::Tls => &[
                (
                    "hostler",
                    "{hostler} {app} --no-log --port {port} --python {bin}/python --ssl-certificate {edge}/cert.pem \
                     --ssl-keyfile {edge}/key.pem",
                ),
                (
                    "granian",
                    "{bin}/granian --interface asgi --no-log --loop uvloop --port {port} --ssl-certificate {edge}/cert.pem \
                     --ssl-keyfile {edge}/key.pem {app}",
                ),
                (
                    "uvicorn",
                    "{bin}/uvicorn --log-level warning --no-access-log --port {port} --ssl-certfile {edge}/cert.pem \
                     --ssl-keyfile {edge}/key.pem {app}",
                ),
            ],
            Self::Http2 => &[
                ("hostler", HOSTLER),
                ("granian", "{bin}/granian --interface asgi --no-log --loop uvloop --port {port} {app}"),
            ],
            Self::Static => &[
                (
                    "hostler",
                    "{hostler} {app} --no-log --port {port} --python {bin}/python --static-path-mount {edge}/files \
                     --static-path-route /files",
                ),
                (
                    "granian",
                    "{bin}/granian --interface asgi --no-log --loop uvloop --port {port} \
                     --static-path-mount {edge}/files --static-path-route /files {app}",
                ),
                ("nginx", "sh {edge}/nginx.sh {port}"),
            ],
            Self::Native => {
                &[("hostler", "{release}/native_hello {port}"), ("hyper", "{release}/bare_hyper {port}")]
            }
        }
    }
}

pub(crate) fn run(only: Option<&str>, python: Option<Python>) -> Result<()> {
    let python = python.map_or_else(python::newest, Ok)?;
    python::build_with(&python, &["bare_hyper", "echo_server", "websocket_load"])?;
    install("wrk", "wrk")?;
    let venv = python.venv("bench", &["crates/bench/requirements.txt", "examples/requirements.txt"])?;
    let _echo = EchoServer::start()?;
    for comparison in COMPARISONS.iter().filter(|comparison| only.is_none_or(|name| name == comparison.0)) {
        section(&format!("{} (Python {})", comparison.0, python.version));
        compare(comparison, &venv)?;
    }
    Ok(())
}

/// The chart of the README, of the figures that are in the document.
pub(crate) fn chart() -> Result<()> {
    Cmd::new(Path::new("python3")).arg(root().join("crates/bench/chart.py")).run()
}

fn compare(Comparison(_, kind, app, args): &Comparison, venv: &Path) -> Result<()> {
    let bin = venv.parent().context("an interpreter lies in a directory")?.display().to_string();
    let release = root().join("target/release").display().to_string();
    let edge = match kind {
        Kind::Tls | Kind::Http2 | Kind::Static => edge::prepare()?.display().to_string(),
        _ => String::new(),
    };
    let fill = |command: &str| {
        command
            .replace("{hostler}", &format!("{release}/hostler"))
            .replace("{release}", &release)
            .replace("{app}", app)
            .replace("{edge}", &edge)
            .replace("{bin}", &bin)
    };
    let servers = kind.servers().iter().map(|(name, command)| format!("{name}={}", fill(command)));
    let mut compare = Cmd::new(venv)
        .arg(root().join("crates/bench/compare.py"))
        .args(*args)
        .args(servers)
        .dir(&root().join("crates/bench/apps"));
    compare.env("ECHO_PORT", ECHO_PORT);
    if matches!(kind, Kind::WebSocket) {
        let path = std::env::var("PATH").unwrap_or_default();
        compare.env("PATH", format!("{}:{path}", websocket_tools()?));
    }
    compare.run()
}

/// A directory in which `wrk` is our load generator for WebSockets, which takes its arguments.
fn websocket_tools() -> Result<String> {
    let tools = root().join("target/bench-tools");
    fs::create_dir_all(&tools)?;
    let _ = fs::remove_file(tools.join("wrk"));
    std::os::unix::fs::symlink(root().join("target/release/websocket_load"), tools.join("wrk"))?;
    Ok(tools.display().to_string())
}

/// Runs as long as this lives.
struct EchoServer(Child);

impl EchoServer {
    fn start() -> Result<Self> {
        let program = root().join("target/release/echo_server");
        Ok(Self(Command::new("taskset").args(["-c", "1"]).arg(program).arg(ECHO_PORT).spawn()?))
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Installs a program, unless it is there; `package` is Debian's.
fn install(program: &str, package: &str) -> Result<()> {
    let shell = |script: String| Cmd::new(Path::new("sh")).args(["-c".to_owned(), script]);
    if shell(format!("command -v {program}")).output().is_ok() {
        return Ok(());
    }
    let mut install = shell(format!("apt-get update -qq && apt-get install -y -qq {package}"));
    install.run().with_context(|| format!("{program} is needed: install it"))
}
