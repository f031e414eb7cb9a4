//! `cargo xtask instructions`: what a request costs, counted.

use crate::{
    python::{self, Python},
    tools::{Cmd, root},
};
use anyhow::{Result, bail};

/// `--check` fails beyond the bounds, `--update` writes them.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let (flags, names): (Vec<&String>, Vec<&String>) = args.iter().partition(|arg| arg.starts_with("--"));
    if let Some(flag) = flags.iter().find(|flag| !matches!(flag.as_str(), "--check" | "--update")) {
        bail!("unknown argument {flag}; --check fails beyond the bounds, --update writes them");
    }
    let python = python()?;
    python::build(&python)?;
    count(&python, flags.into_iter().chain(names))
}

/// The newest Python that has bounds, or else the newest.
pub(crate) fn python() -> Result<Python> {
    let bounds = std::fs::read_to_string(root().join("crates/bench/instructions.toml"))?;
    let section = |python: &Python| {
        let mut parts = python.version.split('.');
        Some(format!("[python-{}-{}]", parts.next()?, parts.next()?))
    };
    let mut all = python::all()?;
    let bounded = all.iter().position(|python| section(python).is_some_and(|name| bounds.contains(&name)));
    Ok(all.swap_remove(bounded.unwrap_or(0)))
}

/// Counts with what is built for this Python.
pub(crate) fn count<'a>(python: &Python, args: impl IntoIterator<Item = &'a String>) -> Result<()> {
    let release = root().join("target/release");
    let servers = [("--hostler", "hostler"), ("--native", "native_hello")];
    let mut script = Cmd::new(&python.program).arg(root().join("crates/bench/instructions.py"));
    for (option, name) in servers {
        script = script.arg(option).arg(release.join(name));
    }
    script.args(args).run()
}
