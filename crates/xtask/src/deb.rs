//! `cargo xtask deb`: the Debian package.

use crate::{
    python::{self, Python},
    tools::{Cmd, only_file, root, section},
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The version of cargo-deb with which the package was made last.
const CARGO_DEB: &str = "3.8.0";
/// Completions: what the program calls the shell, and the name that the shell expects.
const COMPLETIONS: [(&str, &str); 3] = [("bash", "hostler"), ("zsh", "_hostler"), ("fish", "hostler.fish")];
/// The services and sockets that people install.
const UNITS: [&str; 4] = ["hostler.service", "hostler.socket", "hostler@.service", "hostler@.socket"];
/// How exposed a service may be, by `systemd-analyze security`, in tenths.
const MOST_EXPOSURE: &str = "40";

/// `[--python X]`: builds the package with extensions for X, or for each CPython found.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let pythons = crate::asked_python(args)?.map_or_else(python::all, |python| Ok(vec![python]))?;
    for python in &pythons {
        python::build(python)?;
    }
    println!("{}", make(&pythons)?.display());
    Ok(())
}

/// Makes the package of what was built for these; its path.
fn make(pythons: &[Python]) -> Result<PathBuf> {
    let work = root().join("target/deb");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(work.join("lib"))?;
    fs::create_dir_all(work.join("completions"))?;
    python::strip(&root().join("target/release/hostler"), &work.join("hostler"))?;
    for python in pythons {
        let extension = python::extension(python);
        let name = extension.file_name().context("it is a file")?;
        python::strip(&extension, &work.join("lib").join(name))?;
    }
    for (shell, file) in COMPLETIONS {
        let script = Cmd::new(&work.join("hostler")).args(["--print-completions", shell]).output()?;
        fs::write(work.join("completions").join(file), script)?;
    }
    let made = work.join("made");
    Cmd::new(&cargo_deb()?)
        .args(["--quiet", "--package", "hostler-cli", "--no-build", "--no-strip", "--output"])
        .arg(&made)
        .run()?;
    only_file(&made)
}

/// cargo-deb, installed below target/.
fn cargo_deb() -> Result<PathBuf> {
    let tools = root().join("target/tools");
    Cmd::cargo(&["install", "--quiet", "--locked", "cargo-deb", "--version", CARGO_DEB, "--root"])
        .arg(&tools)
        .run()?;
    Ok(tools.join("bin/cargo-deb"))
}

/// Installs the package into an empty root, has its program serve, and has systemd read the units.
pub(crate) fn check(pythons: &[Python]) -> Result<()> {
    section("the Debian package");
    let package = make(pythons)?;
    let scratch = tempfile::tempdir()?;
    let system = scratch.path().join("root");
    for directory in ["var/lib/dpkg/updates", "var/lib/dpkg/info", "etc"] {
        fs::create_dir_all(system.join(directory))?;
    }
    fs::write(system.join("var/lib/dpkg/status"), "")?;
    Cmd::new(Path::new("dpkg"))
        .arg(format!("--root={}", system.display()))
        .args(["--force-depends", "--force-script-chrootless", "--install"])
        .arg(&package)
        .run()?;
    let accounts = fs::read_to_string(system.join("etc/passwd")).context("no service user was made")?;
    if !accounts.contains("hostler:") {
        bail!("the service user is not in {accounts}");
    }
    let program = system.join("usr/bin/hostler");
    let serves = root().join("tests/install/program.py");
    Cmd::new(&pythons[0].program).arg(serves).arg(program).dir(scratch.path()).run()?;
    units(scratch.path())
}

/// The units as systemd reads them, with programs that exist here.
fn units(scratch: &Path) -> Result<()> {
    for unit in UNITS {
        let text = fs::read_to_string(root().join("systemd").join(unit))?;
        let text =
            text.replace("/usr/local/bin/hostler", "/bin/true").replace("/usr/bin/hostler", "/bin/true");
        fs::write(scratch.join(unit.replace('@', "@shop")), text)?;
    }
    let files = UNITS.map(|unit| format!("./{}", unit.replace('@', "@shop")));
    let said = Cmd::new(Path::new("systemd-analyze"))
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(&files)
        .dir(scratch)
        .errors()?;
    if !said.is_empty() {
        bail!("systemd says of the units: {said}");
    }
    for service in files.iter().filter(|file| file.ends_with(".service")) {
        Cmd::new(Path::new("systemd-analyze"))
            .args(["security", "--offline=true", "--no-pager", "--threshold", MOST_EXPOSURE])
            .arg(service)
            .dir(scratch)
            .output()?;
    }
    Ok(())
}
