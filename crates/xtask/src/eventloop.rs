//! `cargo xtask eventloop`: others' tests for asyncio, with our loop as the loop.

use crate::{
    python::{self, Python},
    tools::{Cmd, root, section},
};
use anyhow::Result;
use std::path::{Path, PathBuf};

const HERE: &str = "tests/eventloop";

/// CPython's own suite on each Python, and the suites of libraries on the newest of them.
pub(crate) fn run(asked: Option<Python>, suites: bool) -> Result<()> {
    let pythons = match asked {
        Some(python) => vec![python],
        None => python::all()?,
    };
    for python in &pythons {
        section(&format!("CPython's tests for asyncio on Python {}", python.version));
        let extension = extension_for(python)?;
        script("run_test_asyncio.py", &python.program, &extension).run()?;
    }
    if suites {
        let python = &pythons[0];
        section(&format!("libraries' tests on Python {}", python.version));
        let venv = python.venv("suites", &[&format!("{HERE}/requirements.txt")])?;
        script("run_suites.py", &venv, &extension_for(python)?).run()?;
    }
    Ok(())
}

fn extension_for(python: &Python) -> Result<PathBuf> {
    python::build(python)?;
    Ok(root().join("target/release/libhostler_python.so"))
}

fn script(name: &str, python: &Path, extension: &Path) -> Cmd {
    Cmd::new(python).arg(Path::new(HERE).join(name)).arg("--extension").arg(extension)
}
