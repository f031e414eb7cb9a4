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
    let python = python::newest()?;
    python::build(&python)?;
    count(&python, flags.into_iter().chain(names))
}

/// Counts with what is built.
pub(crate) fn count<'a>(python: &Python, args: impl IntoIterator<Item = &'a String>) -> Result<()> {
    let release = root().join("target/release");
    let servers = [("--hostler", "hostler"), ("--native", "native_hello")];
    let mut script = Cmd::new(&python.program).arg(root().join("crates/bench/instructions.py"));
    for (option, name) in servers {
        script = script.arg(option).arg(release.join(name));
    }
    script.args(args).run()
}
