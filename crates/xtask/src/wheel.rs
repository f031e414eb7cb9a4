//! `cargo xtask wheel`: the wheel that users install.

use crate::{
    python::{self, Python},
    tools::{Cmd, only_file, root, section},
};
use anyhow::{Context, Result};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// What makes wheels. The versions are those with which they were made last.
const REQUIREMENTS: &str = "crates/xtask/wheel-requirements.txt";

/// `[--python X] [--manylinux 2_28]`: builds a wheel for X or each CPython found; with a version of glibc, one that runs
/// where that or a newer one is.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let (glibc, rest) = match args.iter().position(|arg| arg == "--manylinux") {
        Some(at) => {
            let version = args.get(at + 1).context("--manylinux needs a version of glibc, as 2_28")?;
            (Some(version.replace('_', ".")), [&args[..at], &args[at + 2..]].concat())
        }
        None => (None, args.to_vec()),
    };
    println!("{}", sdist(&python::newest()?)?.display());
    let pythons = crate::asked_python(&rest)?.map_or_else(python::all, |python| Ok(vec![python]))?;
    for python in &pythons {
        let built = match &glibc {
            Some(glibc) => build_for(python, glibc)?,
            None => {
                python::build(python)?;
                Built::here(python)
            }
        };
        println!("{}", make(python, &built)?.display());
    }
    Ok(())
}

/// What a wheel has beside Python's modules.
struct Built {
    program: PathBuf,
    extension: PathBuf,
}

impl Built {
    /// As it was built for this machine and kept.
    fn here(python: &Python) -> Self {
        Self { program: root().join("target/release/hostler"), extension: python::extension(python) }
    }
}

/// Builds for machines with this glibc: by a linker that knows the older symbols.
fn build_for(python: &Python, glibc: &str) -> Result<Built> {
    let machine = std::env::consts::ARCH;
    let target = format!("{machine}-unknown-linux-gnu");
    let (_, path) = tools(python)?;
    Cmd::cargo(&[
        "zigbuild",
        "--release",
        "--locked",
        "--package",
        "hostler-cli",
        "--package",
        "hostler-python",
    ])
    .args(["--target", &format!("{target}.{glibc}")])
    .env("PATH", path)
    .env("PYO3_PYTHON", &python.program)
    .run()?;
    let release = root().join("target").join(target).join("release");
    Ok(Built { program: release.join("hostler"), extension: release.join("libhostler_python.so") })
}

/// The interpreter of an environment that has what makes wheels, and a PATH with its programs.
fn tools(python: &Python) -> Result<(PathBuf, OsString)> {
    let tools = python.venv("wheel", &[REQUIREMENTS])?;
    let programs = tools.parent().context("an interpreter is in a directory")?.to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([programs].into_iter().chain(std::env::split_paths(&path)))?;
    Ok((tools, path))
}

/// Makes a wheel of what was built; its path. Its name says which glibc it needs.
fn make(python: &Python, built: &Built) -> Result<PathBuf> {
    let (tools, path) = tools(python)?;
    let work = root().join("target/wheel");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work)?;
    python::strip(&built.program, &work.join("hostler"))?;
    python::strip(&built.extension, &work.join("libhostler_python.so"))?;
    let raw = work.join("raw");
    Cmd::new(&tools)
        .args(["-m", "build", "--wheel", "--outdir"])
        .arg(&raw)
        .env("HOSTLER_PREBUILT", &work)
        .run()?;
    let repaired = work.join("repaired");
    Cmd::new(&tools)
        .args(["-m", "auditwheel", "repair", "--wheel-dir"])
        .arg(&repaired)
        .arg(only_file(&raw)?)
        .env("PATH", path)
        .run()?;
    keep(&only_file(&repaired)?)
}

/// Makes the source distribution; its path.
fn sdist(python: &Python) -> Result<PathBuf> {
    let work = root().join("target/wheel/sdist");
    let _ = fs::remove_dir_all(&work);
    Cmd::new(&tools(python)?.0).args(["-m", "build", "--sdist", "--outdir"]).arg(&work).run()?;
    keep(&only_file(&work)?)
}

/// Moves it to the others; its new path.
fn keep(made: &Path) -> Result<PathBuf> {
    let kept = root().join("target/wheels");
    fs::create_dir_all(&kept)?;
    let kept = kept.join(made.file_name().context("it is a file")?);
    fs::rename(made, &kept)?;
    Ok(kept)
}

/// Installs a wheel into an empty environment outside of the tree, and has it serve from there. What an sdist is built from
/// must be complete.
pub(crate) fn check(python: &Python) -> Result<()> {
    section("the wheel");
    let home = tempfile::tempdir()?;
    let sources = sdist(python)?;
    Cmd::new(Path::new("tar")).args(["--strip-components=1", "-xzf"]).arg(sources).dir(home.path()).run()?;
    Cmd::cargo(&["tree", "--locked", "--package", "hostler-cli", "--package", "hostler-python"])
        .dir(home.path())
        .output()?;
    let wheel = make(python, &Built::here(python))?;
    let home = tempfile::tempdir()?;
    let environment = home.path().join("venv");
    Cmd::new(&python.program).args(["-m", "venv"]).arg(&environment).run()?;
    let installed = environment.join("bin/python");
    Cmd::new(&installed).args(["-m", "pip", "install", "--quiet", "--no-index"]).arg(&wheel).run()?;
    Cmd::new(&installed).arg(root().join("tests/install/serves.py")).dir(home.path()).run()
}
