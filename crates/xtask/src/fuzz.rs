//! `cargo xtask fuzz`: the tests whose names begin with `fuzz_`, for longer than `cargo test` runs them.

use crate::tools::{Cmd, section};
use anyhow::{Result, bail};
use std::process::{Command, Stdio};

/// The crates that have such tests: what parses bytes of the network.
const PACKAGES: [&str; 2] = ["hostler-http", "hostler-websocket"];

/// For each target, in seconds.
const SECONDS: u64 = 30;
/// The same for all targets of a crate at once, before a change lands: at most.
const SECONDS_IN_CI: u64 = 60;
/// Inputs for each target before a change lands. They are the same each time: what chance finds does not hold up a change
/// that has nothing to do with it.
const INPUTS_IN_CI: &str = "2000000";

/// `[--seconds N] [NAME]`: all targets, or those whose names contain one.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let (seconds, name) = match args {
        [] => (SECONDS, ""),
        [name] if !name.starts_with('-') => (SECONDS, name.as_str()),
        [flag, seconds] if flag == "--seconds" => (seconds.parse()?, ""),
        [flag, seconds, name] if flag == "--seconds" => (seconds.parse()?, name.as_str()),
        _ => bail!("unknown arguments {args:?}; `cargo xtask` lists the commands"),
    };
    for package in PACKAGES {
        let targets: Vec<String> = targets(package)?.into_iter().filter(|test| test.contains(name)).collect();
        if targets.is_empty() {
            continue;
        }
        if is_guided() {
            guided(package, &targets, seconds)?
        } else {
            random(package, &targets, seconds).run()?
        }
    }
    Ok(())
}

/// All targets at once, with the same inputs each time.
pub(crate) fn check() -> Result<()> {
    PACKAGES.into_iter().try_for_each(|package| {
        random(package, &targets(package)?, SECONDS_IN_CI)
            .env("BOLERO_RANDOM_SEED", "1")
            .env("BOLERO_RANDOM_ITERATIONS", INPUTS_IN_CI)
            .run()
    })
}

/// Paths of a crate's tests.
fn targets(package: &str) -> Result<Vec<String>> {
    let list = Cmd::cargo(&["test", "--release", "--quiet", "--package", package, "--lib", "--", "--list"]);
    let list = list.output()?;
    let tests = list.lines().filter_map(|line| line.strip_suffix(": test"));
    let found: Vec<String> = tests.filter(|test| test.contains("::fuzz_")).map(str::to_owned).collect();
    if found.is_empty() { bail!("{package} has no fuzz target: see PACKAGES in fuzz.rs") } else { Ok(found) }
}

/// Whether `cargo install cargo-bolero` was run: inputs are then derived from what they reach in the code.
fn is_guided() -> bool {
    let mut asked = Command::new("cargo");
    asked.args(["bolero", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

fn guided(package: &str, targets: &[String], seconds: u64) -> Result<()> {
    let time = format!("{seconds}s");
    let common = ["bolero", "test", "--package", package, "--sanitizer", "NONE", "-T", &time];
    for test in targets {
        section(&format!("fuzz {test}"));
        Cmd::cargo(&common).arg(test).run()?;
    }
    Ok(())
}

/// All targets beside one another.
fn random(package: &str, targets: &[String], seconds: u64) -> Cmd {
    section(&format!("fuzz {}", targets.join(", ")));
    let threads = format!("--test-threads={}", targets.len());
    let mut tests =
        Cmd::cargo(&["test", "--release", "--package", package, "--lib", "--", "--exact", &threads])
            .args(targets);
    tests.env("BOLERO_RANDOM_TEST_TIME_MS", (seconds * 1000).to_string());
    tests.env("BOLERO_RANDOM_ITERATIONS", "1000000000");
    tests
}
