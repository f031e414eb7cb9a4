//! Measuring against other servers, side by side on one core each.

use crate::{
    python::{self, Python},
    tools::{Cmd, root, section},
};
use anyhow::{Context, Result};
use std::path::Path;

/// A comparison: name, servers (the first is ours), further arguments of compare.py.
struct Comparison {
    name: &'static str,
    servers: &'static [(&'static str, &'static str)],
    args: &'static [&'static str],
}

const COMPARISONS: [Comparison; 5] = [
    Comparison {
        name: "asgi-hello",
        servers: &[
            ("hostler", "{hostler} hello:asgi --no-log --port {port} --python {bin}/python"),
            ("granian", "{bin}/granian --interface asgi --no-log --loop uvloop --port {port} hello:asgi"),
            ("uvicorn", "{bin}/uvicorn --log-level warning --no-access-log --port {port} hello:asgi"),
        ],
        args: &[],
    },
    Comparison {
        name: "asgi-body",
        servers: &[
            ("hostler", "{hostler} body:asgi --no-log --port {port} --python {bin}/python"),
            ("granian", "{bin}/granian --interface asgi --no-log --loop uvloop --port {port} body:asgi"),
            ("uvicorn", "{bin}/uvicorn --log-level warning --no-access-log --port {port} body:asgi"),
        ],
        args: &["--script", "post.lua"],
    },
    Comparison {
        name: "starlette",
        servers: &[
            (
                "hostler",
                "{hostler} starlette_app:app --no-log --port {port} --python {bin}/python --working-dir {examples}",
            ),
            (
                "granian",
                "{bin}/granian --interface asgi --no-log --loop uvloop --port {port} --working-dir {examples} starlette_app:app",
            ),
            (
                "uvicorn",
                "{bin}/uvicorn --log-level warning --no-access-log --port {port} --app-dir {examples} starlette_app:app",
            ),
        ],
        args: &[],
    },
    Comparison {
        name: "wsgi-hello",
        servers: &[
            ("hostler", "{hostler} hello:wsgi --no-log --port {port} --python {bin}/python"),
            (
                "granian",
                "{bin}/granian --interface wsgi --no-log --blocking-threads 1 --port {port} hello:wsgi",
            ),
            ("gunicorn", "{bin}/gunicorn -k gthread --log-level warning -b 127.0.0.1:{port} hello:wsgi"),
        ],
        args: &[],
    },
    Comparison {
        name: "native-hello",
        servers: &[("hostler", "{release}/native_hello {port}"), ("hyper", "{release}/bare_hyper {port}")],
        args: &[],
    },
];

pub(crate) fn run(only: Option<&str>, python: Option<Python>) -> Result<()> {
    let python = python.map_or_else(python::newest, Ok)?;
    python::build(&python)?;
    install_wrk()?;
    let venv = python.venv("bench", &["crates/bench/requirements.txt", "examples/requirements.txt"])?;
    for comparison in COMPARISONS.iter().filter(|comparison| only.is_none_or(|name| name == comparison.name))
    {
        section(&format!("{} (Python {})", comparison.name, python.version));
        compare(comparison, &venv)?;
    }
    Ok(())
}

fn compare(comparison: &Comparison, venv: &Path) -> Result<()> {
    let bin = venv.parent().context("an interpreter lies in a directory")?.display().to_string();
    let release = root().join("target/release").display().to_string();
    let fill = |command: &str| {
        command
            .replace("{hostler}", &format!("{release}/hostler"))
            .replace("{release}", &release)
            .replace("{examples}", &root().join("examples").display().to_string())
            .replace("{bin}", &bin)
    };
    let servers = comparison.servers.iter().map(|(name, command)| format!("{name}={}", fill(command)));
    let script = root().join("crates/bench/compare.py");
    Cmd::new(venv)
        .arg(script)
        .args(comparison.args)
        .args(servers)
        .dir(&root().join("crates/bench/apps"))
        .run()
}

fn install_wrk() -> Result<()> {
    if Cmd::new(Path::new("sh")).args(["-c", "command -v wrk"]).output().is_ok() {
        return Ok(());
    }
    let install = "apt-get update -qq && apt-get install -y -qq wrk";
    Cmd::new(Path::new("sh")).args(["-c", install]).run().context("wrk is needed: install it")
}
