//! The library as it would be published, and the least Rust that the workspace says it builds with.

use crate::tools::{Cmd, section};
use anyhow::Result;
use std::path::Path;

/// `rust-version` of the workspace.
const LEAST_RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Builds `hostler` and what it depends on from their packages, and the workspace with the least Rust.
pub(crate) fn check() -> Result<()> {
    section("the library's packages");
    let mut publish = Cmd::cargo(&["publish", "--dry-run", "--quiet", "--allow-dirty"]);
    for package in packages()? {
        publish = publish.args(["--package", &package]);
    }
    publish.run()?;
    section(&format!("Rust {LEAST_RUST}"));
    least_rust()
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
    // A directory of its own: both toolchains' builds would replace each other's.
    let check = ["cargo", "check", "--quiet", "--workspace", "--target-dir", "target/least-rust"];
    Cmd::new(rustup).args(["run", LEAST_RUST]).args(check).run()
}
