//! `cargo xtask torture`: random clients and random faults against the built server.

use crate::{
    python::{self, Python},
    tools::root,
};
use anyhow::{Context, Result, bail};
use hostler_torture::{COMPANION_SEEDS, Environment, Interface, LEAK_SEEDS, Options, TASK_SEEDS};
use std::{
    env,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How often a plan that failed is tried in parts.
const SHRINKS: usize = 14;

/// Rounds begin within a time; the first one begins at once.
const ONE_ROUND: Duration = Duration::from_secs(1);

/// `--seed N --seconds S --interface NAME --python X --go-on --shrinks N`, all of which may be left out.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut options = Options {
        seed: random_seed(),
        time: Duration::from_secs(60),
        interfaces: Interface::ALL.to_vec(),
        goes_on: false,
        shrinks: SHRINKS,
    };
    let mut program = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--seed" => options.seed = value()?.parse()?,
            "--seconds" => options.time = Duration::from_secs(value()?.parse()?),
            "--interface" => options.interfaces = interfaces(value()?)?,
            "--shrinks" => options.shrinks = value()?.parse()?,
            "--python" => program = Some(PathBuf::from(value()?)),
            "--go-on" => options.goes_on = true,
            _ => bail!("unknown argument {arg}"),
        }
    }
    let python = program.map_or_else(python::newest, |program| Python::ask(&program))?;
    if env::var_os("HOSTLER_BIN").is_none() {
        python::build(&python)?;
    }
    hostler_torture::run(&environment(python), &options)
}

/// The server that `HOSTLER_BIN` names, or the one that was built here.
fn environment(python: Python) -> Environment {
    let release = root().join("target/release");
    Environment {
        hostler: env::var_os("HOSTLER_BIN").map_or_else(|| release.join("hostler"), PathBuf::from),
        native: release.join("torture_native"),
        python: python.program,
        apps: root().join("tests/apps"),
    }
}

fn interfaces(name: &str) -> Result<Vec<Interface>> {
    if name == "all" {
        return Ok(Interface::ALL.to_vec());
    }
    let found = Interface::ALL.into_iter().find(|interface| interface.name() == name);
    let names = Interface::ALL.map(Interface::name).join(", ");
    found.map(|interface| vec![interface]).with_context(|| format!("the interfaces are {names} and all"))
}

fn random_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs() * 1_000)
}

/// What `cargo xtask ci` runs on what is built: the same plans every time, so that what chance finds holds up no change that has nothing to do
/// with it; one round for leaks, one for tasks and one for companions.
pub(crate) fn check() -> Result<()> {
    let environment = environment(python::newest()?);
    let parts = [
        (1, Duration::from_secs(30)),
        (1_000, Duration::from_secs(30)),
        (LEAK_SEEDS, ONE_ROUND),
        (TASK_SEEDS, ONE_ROUND),
        (COMPANION_SEEDS, ONE_ROUND),
    ];
    for (seed, time) in parts {
        println!("from seed {seed}");
        let interfaces = Interface::ALL.to_vec();
        let options = Options { seed, time, interfaces, goes_on: false, shrinks: SHRINKS };
        hostler_torture::run(&environment, &options)?;
    }
    Ok(())
}
