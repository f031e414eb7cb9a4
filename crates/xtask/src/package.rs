//! The library as it would be published, and the least Rust that the workspace says it builds with.

use crate::tools::{Cmd, section};
use anyhow::Result;
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// `rust-version` of the workspace.
const LEAST_RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Where the packages are built, and removed again: nothing else uses these builds, and disks fill.
const PACKAGES_DIR: &str = "target/packages";
/// The same for the least Rust: both toolchains' builds in one place would replace each other's.
const LEAST_RUST_DIR: &str = "target/least-rust";

/// Builds `hostler` and what it depends on from their packages, and the workspace with the least Rust.
pub(crate) fn check() -> Result<()> {
    section("the library's packages");
    let packages = packages()?;
    forget_last_build(&packages)?;
    let mut publish =
        Cmd::cargo(&["publish", "--dry-run", "--quiet", "--allow-dirty", "--target-dir", PACKAGES_DIR]);
    for package in packages {
        publish = publish.args(["--package", &package]);
    }
    publish.run()?;
    fs::remove_dir_all(PACKAGES_DIR)?;
    section(&format!("Rust {LEAST_RUST}"));
    least_rust()?;
    fs::remove_dir_all(LEAST_RUST_DIR)?;
    Ok(())
}

/// Cargo takes a package of the same version for the same package: what it has unpacked and built of ours is removed,
/// also what a run that failed has left.
fn forget_last_build(packages: &[String]) -> Result<()> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    // The registry of packages that are not published yet has no host name in front of its hash.
    let unpacked =
        home.map(|home| home.join("registry/src")).into_iter().flat_map(|sources| entries(&sources));
    let unpacked = unpacked.filter(|registry| name(registry).starts_with('-'));
    let built = ["deps", ".fingerprint"].map(|kind| Path::new(PACKAGES_DIR).join("debug").join(kind));
    for found in unpacked.chain(built).flat_map(|dir| entries(&dir)) {
        let name = name(&found).trim_start_matches("lib").replace('_', "-");
        if packages.iter().any(|package| name.starts_with(package)) {
            if found.is_dir() { fs::remove_dir_all(&found)? } else { fs::remove_file(&found)? }
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// `hostler` and the crates of the workspace that it depends on.
fn packages() -> Result<Vec<String>> {
    let tree = ["tree", "--package", "hostler", "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    let tree = Cmd::cargo(&tree).output()?;
    // Crates of the workspace are followed by their paths: `hostler-sys v0.1.0 (/…/crates/sys)`.
    let own = tree.lines().filter(|line| line.contains("(/"));
    let mut names: Vec<String> =
        own.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn least_rust() -> Result<()> {
    let rustup = Path::new("rustup");
    let is_installed = Cmd::new(rustup).args(["run", LEAST_RUST, "rustc", "--version"]).output().is_ok();
    if !is_installed {
        Cmd::new(rustup).args(["toolchain", "install", LEAST_RUST, "--profile", "minimal"]).run()?;
    }
    let check = ["cargo", "check", "--quiet", "--workspace", "--target-dir", LEAST_RUST_DIR];
    Cmd::new(rustup).args(["run", LEAST_RUST]).args(check).run()
}
