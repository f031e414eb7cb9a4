//! Pythons of this machine, extensions for them, and virtual environments.

use crate::tools::{Cmd, root};
use anyhow::{Context, Result, bail};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const PROBE: &str = "import sys, sysconfig; print(sys.implementation.name, sys.version_info[0], \
    sys.version_info[1], sys.version.split()[0], sysconfig.get_config_var('Py_GIL_DISABLED') or 0, sys.executable)";

/// A CPython from 3.10 on, with its GIL.
pub(crate) struct Python {
    pub(crate) program: PathBuf,
    pub(crate) version: String,
    minor: u32,
}

impl Python {
    /// What an interpreter says of itself; an error if it cannot be used.
    pub(crate) fn ask(program: &Path) -> Result<Self> {
        let answer = Cmd::new(program).args(["-I", "-c", PROBE]).output()?;
        let fields: Vec<&str> = answer.trim().splitn(6, ' ').collect();
        let [name, major, minor, version, free, executable] = fields[..] else {
            bail!("{} is no Python", program.display())
        };
        let (major, minor): (u32, u32) = (major.parse()?, minor.parse()?);
        if name != "cpython" || (major, minor) < (3, 10) || free != "0" {
            bail!("{} is {name} {version}; a CPython from 3.10 on with its GIL is needed", program.display());
        }
        Ok(Self { program: executable.into(), version: version.into(), minor })
    }

    fn tag(&self) -> String {
        format!("cpython-3{}", self.minor)
    }

    /// A virtual environment with these requirements; its interpreter.
    pub(crate) fn venv(&self, name: &str, requirements: &[&str]) -> Result<PathBuf> {
        let dir = root().join(format!("target/venv-{name}-{}", self.tag()));
        let python = dir.join("bin/python");
        let wanted: String = requirements
            .iter()
            .map(|file| fs::read_to_string(root().join(file)))
            .collect::<Result<_, _>>()?;
        let stamp = dir.join("installed.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) && python.exists() {
            return Ok(python);
        }
        println!("preparing {}", dir.display());
        let made = Cmd::new(&self.program).args(["-m", "venv", "--clear"]).arg(&dir).run();
        made.context("on Debian, the package python3-venv is needed for virtual environments")?;
        let files = requirements.iter().flat_map(|file| ["-r", file]);
        Cmd::new(&python).args(["-m", "pip", "install", "--quiet"]).args(files).run()?;
        fs::write(stamp, wanted)?;
        Ok(python)
    }
}

/// What tests, torture and the count of instructions start. Each is linked with the whole of what it uses, which takes
/// longer than to compile it, so that other programs are built where they are needed.
const PROGRAMS: [&str; 5] = ["hostler", "axum-hello", "axum-websocket", "torture_native", "native_hello"];

/// Builds the server and the extension for this Python, and keeps the extension beside those for others.
pub(crate) fn build(python: &Python) -> Result<PathBuf> {
    build_with(python, &[])
}

/// Builds these programs, too. Everything is built by one command, so that dependencies have the same features each time.
pub(crate) fn build_with(python: &Python, programs: &[&str]) -> Result<PathBuf> {
    let programs = PROGRAMS.iter().chain(programs).flat_map(|program| ["--bin", program]);
    let mut build = Cmd::cargo(&["build", "--release", "--workspace", "--lib"]).args(programs);
    build.env("PYO3_PYTHON", &python.program).run()?;
    let release = root().join("target/release");
    let kept = extension(python);
    fs::create_dir_all(release.join("extensions"))?;
    // Replaced, not overwritten: a running server may have it mapped.
    let _ = fs::remove_file(&kept);
    fs::copy(release.join("libhostler_python.so"), &kept)?;
    Ok(release.join("hostler"))
}

/// Where the extension for this Python is kept.
pub(crate) fn extension(python: &Python) -> PathBuf {
    root().join("target/release/extensions").join(format!("hostler.{}.so", python.tag()))
}

/// A copy for users. Names of functions stay, for the backtraces of panics; lines would be four fifths of the file.
pub(crate) fn strip(built: &Path, copy: &Path) -> Result<()> {
    Cmd::new(Path::new("strip")).args(["--strip-debug", "-o"]).arg(copy).arg(built).run()
}

/// The newest Python that can be used.
pub(crate) fn newest() -> Result<Python> {
    Ok(all()?.remove(0))
}

/// One Python of each minor version, newest first.
pub(crate) fn all() -> Result<Vec<Python>> {
    let mut found: BTreeMap<u32, Python> = BTreeMap::new();
    for program in candidates() {
        if let Ok(python) = Python::ask(&program) {
            found.entry(python.minor).or_insert(python);
        }
    }
    if found.is_empty() {
        bail!("no CPython from 3.10 on was found: install python3 and python3-venv");
    }
    Ok(found.into_values().rev().collect())
}

fn candidates() -> Vec<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::env::var_os("PYENV_ROOT").map(|dir| Path::new(&dir).join("versions"));
    let managed = versions.and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = managed.map(|entry| entry.path().join("bin/python3")).collect();
    for dir in std::env::split_paths(&on_path) {
        let names = (10..30).map(|minor| format!("python3.{minor}")).chain(["python3".into()]);
        all.extend(names.map(|name| dir.join(name)).filter(|path| path.exists()));
    }
    all
}
