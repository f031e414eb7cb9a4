//! `cargo xtask test`: the crates' own tests, then the whole server on each Python.

use crate::{
    python::{self, Python},
    tools::{Cmd, section},
};
use anyhow::{Context, Result};
use std::{
    path::{Path, PathBuf},
    thread,
};

/// Tests of the whole server mostly wait: for processes to start, timeouts and clients that are slow on purpose.
const TESTS_PER_PROCESSOR: usize = 4;

/// What does not depend on the version of Python (`tests/it/any_python/mod.rs`).
const ANY_PYTHON: &str = "any_python::";

/// Crates whose tests are `tests/it`, and the event loop, whose tests link with a Python and so are built apart.
const NOT_UNITS: [&str; 3] = ["hostler-python", "hostler-eventloop", "hostler-tests"];

/// `[NAME…] [--python X]`: with names, the tests of the whole server whose names contain one, on X or the newest Python.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let (mut names, mut asked) = (Vec::new(), None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--python" {
            let program = args.next().context("--python needs a path")?;
            asked = Some(Python::ask(&PathBuf::from(program))?);
        } else {
            names.push(arg.as_str());
        }
    }
    if names.is_empty() {
        return all(asked.map_or_else(python::all, |python| Ok(vec![python]))?);
    }
    whole_server(&asked.map_or_else(python::newest, Ok)?, &names)
}

/// Every test: the crates' own once, `tests/it` on the newest Python, and its `each_python` on the others.
pub(crate) fn all(pythons: Vec<Python>) -> Result<()> {
    section("unit tests");
    python::build(&pythons[0])?;
    let excluded = NOT_UNITS.iter().flat_map(|package| ["--exclude", package]);
    let mut units = Cmd::cargo(&["test", "--workspace"]).args(excluded);
    units.env("PYO3_PYTHON", &pythons[0].program).run()?;
    let mut event_loop = Cmd::cargo(&["test", "--package", "hostler-eventloop"]);
    event_loop.env("PYO3_PYTHON", &pythons[0].program).run()?;
    for (number, python) in pythons.iter().enumerate() {
        let filter: &[&str] = if number == 0 { &[] } else { &["--skip", ANY_PYTHON] };
        whole_server(python, filter)?;
    }
    Ok(())
}

/// The corpus of `tests/strictness` through proxies.
pub(crate) fn strictness(python: &Python) -> Result<()> {
    whole_server(python, &["--ignored", "strictness"])
}

/// Tasks with the brokers of others, and a companion in Node.
pub(crate) fn engines(python: &Python) -> Result<()> {
    whole_server(python, &["--ignored", "task_engines", "companions::node"])
}

/// A page in Chromium.
pub(crate) fn browser() -> Result<()> {
    whole_server(&python::newest()?, &["--ignored", "browser"])
}

/// Tasks with Ray, which is a large package, in an environment of its own. It has no wheel for the newest Python at once.
pub(crate) fn ray(python: &Python) -> Result<()> {
    match python
        .venv("ray", &["examples/requirements.txt", "tests/requirements.txt", "tests/ray-requirements.txt"])
    {
        // A cluster is a dozen processes: one at a time.
        Ok(venv) => in_environment(python, &venv, 1, &["--ignored", "task_ray"]),
        Err(error) => {
            section(&format!(
                "NOT RUN: tasks with Ray, which cannot be installed for Python {}: {error:#}",
                python.version
            ));
            Ok(())
        }
    }
}

fn whole_server(python: &Python, filter: &[&str]) -> Result<()> {
    let venv = python.venv("test", &["examples/requirements.txt", "tests/requirements.txt"])?;
    let processors = thread::available_parallelism().map_or(1, usize::from);
    in_environment(python, &venv, TESTS_PER_PROCESSOR * processors, filter)
}

fn in_environment(python: &Python, venv: &Path, threads: usize, filter: &[&str]) -> Result<()> {
    section(&format!("the whole server on Python {}", python.version));
    python::build(python)?;
    let threads = format!("--test-threads={threads}");
    let tests = ["test", "--package", "hostler-tests", "--", &threads];
    Cmd::cargo(&tests).args(filter).env("PYO3_PYTHON", &python.program).env("HOSTLER_TEST_PYTHON", venv).run()
}
