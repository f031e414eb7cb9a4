//! Running commands.

use anyhow::{Context, Result, bail};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    here.canonicalize().unwrap_or(here)
}

/// Says what comes now.
pub(crate) fn section(title: &str) {
    println!("\n=== {title}");
}

/// What a tool made in a directory that was empty.
pub(crate) fn only_file(directory: &Path) -> Result<PathBuf> {
    let file = std::fs::read_dir(directory)?.next().context("nothing was made")??;
    Ok(file.path())
}

/// A command in the workspace's root.
pub(crate) struct Cmd(Command);

impl Cmd {
    pub(crate) fn new(program: &Path) -> Self {
        let mut command = Command::new(program);
        command.current_dir(root());
        Self(command)
    }

    pub(crate) fn cargo(args: &[&str]) -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Self::new(Path::new(&cargo));
        command.0.args(args);
        command
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.0.current_dir(dir);
        self
    }

    pub(crate) fn env(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Self {
        self.0.env(name, value);
        self
    }

    /// Runs it to a good end.
    pub(crate) fn run(&mut self) -> Result<()> {
        let status = self.0.status().with_context(|| format!("cannot run {:?}", self.0))?;
        if !status.success() {
            bail!("{:?} failed: {status}", self.0);
        }
        Ok(())
    }

    /// Runs it and returns what it printed.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self.0.output().with_context(|| format!("cannot run {:?}", self.0))?;
        if !output.status.success() {
            bail!("{:?} failed: {}", self.0, String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs it to a good end, and returns what it printed as errors.
    pub(crate) fn errors(mut self) -> Result<String> {
        let output = self.0.output().with_context(|| format!("cannot run {:?}", self.0))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            bail!("{:?} failed: {said}", self.0);
        }
        Ok(said)
    }

    pub(crate) fn into_inner(self) -> Command {
        self.0
    }
}
