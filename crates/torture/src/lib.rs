//! Torture: random clients and random faults against a real server, every byte checked.
//!
//! A round draws a plan from its seed (`plan`), starts a server with small timeouts (`server`), lets the clients
//! talk (`client`) while things happen to the server (`events`), and then judges: each response is whole and right,
//! or its connection ended for a cause that is on the list (`oracle`); nothing is left over (`audit`); the server
//! stops as it should. A plan that fails is shortened (`shrink`) and told (`report`).
//!
//! The applications are `tests/apps/torture_*.py` and `tests/torture_native.rs`. Bodies are functions of the
//! request's number, in both directions, so that each byte can be checked wherever it turns up.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a tool for people at a terminal")]

mod ask;
mod audit;
mod client;
mod clock;
mod companions;
mod dice;
mod edge;
mod events;
mod leak;
mod log;
mod oracle;
mod plan;
mod proc;
mod report;
mod round;
mod server;
mod shrink;
mod tasks;
mod world;

pub use plan::Interface;

use anyhow::{Result, bail};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// What a torture needs to know of its surroundings.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The server.
    pub hostler: PathBuf,
    /// The native service.
    pub native: PathBuf,
    /// The Python that it uses.
    pub python: PathBuf,
    /// Where the applications are.
    pub apps: PathBuf,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed of the first round; each round has the next.
    pub seed: u64,
    /// How long new rounds are begun.
    pub time: Duration,
    /// The interfaces, which take turns.
    pub interfaces: Vec<Interface>,
    /// Go on after failures.
    pub goes_on: bool,
    /// How often and how long a failed plan is shortened.
    pub shrinks: usize,
}

/// How long a failed plan is shortened at most.
const SHRINKS_FOR: Duration = Duration::from_secs(240);

/// Each seed that is a multiple of this is a round for leaks ([`leak`]) instead of a drawn plan.
pub const LEAK_SEEDS: u64 = 6;
/// Each other seed that is a multiple of this is a round for the task queue ([`tasks`]).
pub const TASK_SEEDS: u64 = 7;

/// Each other seed that is a multiple of this is a round for companions ([`companions`]).
pub const COMPANION_SEEDS: u64 = 11;

/// Tortures.
///
/// # Errors
/// When something failed, or the server could not be started.
pub fn run(environment: &Environment, options: &Options) -> Result<()> {
    // Upgraded servers are orphans, and their end is to be seen.
    nix::sys::prctl::set_child_subreaper(true)?;
    let (begin, mut failed) = (Instant::now(), 0);
    for (number, interface) in (0..).zip(options.interfaces.iter().cycle()) {
        if begin.elapsed() >= options.time || (failed > 0 && !options.goes_on) {
            break;
        }
        let seed = options.seed + number;
        let round = match seed {
            _ if seed.is_multiple_of(LEAK_SEEDS) => hunt_leaks,
            _ if seed.is_multiple_of(TASK_SEEDS) => run_tasks,
            _ if seed.is_multiple_of(COMPANION_SEEDS) => run_companions,
            _ => play,
        };
        if let Some(failure) = round(seed, *interface, environment) {
            failed += 1;
            let found = begin.elapsed().as_secs();
            println!("{}found after {found} s", failure.tell(environment, options.shrinks));
        }
    }
    if failed > 0 {
        bail!("{failed} rounds failed");
    }
    Ok(())
}

/// A round that failed.
struct Failed {
    outcome: round::Outcome,
    /// What can be shortened.
    plan: Option<plan::Plan>,
}

impl Failed {
    /// What failed, and the shortest plan that fails in the same way.
    fn tell(self, environment: &Environment, shrinks: usize) -> String {
        let Some(plan) = self.plan else { return report::failures(&self.outcome) };
        let first = round::Outcome { failures: self.outcome.failures.clone(), ..round::Outcome::default() };
        let shrunk = shrink::shrink(&plan, self.outcome, environment, shrinks, SHRINKS_FOR);
        report::failure(&first, &shrunk)
    }
}

/// Plays the plan of a seed.
fn play(seed: u64, interface: Interface, environment: &Environment) -> Option<Failed> {
    let plan = plan::draw(seed, interface);
    let outcome = round::play(&plan, environment).unwrap_or_else(|error| round::Outcome::failed(&error));
    println!("{}", report::line(&plan, &outcome));
    (!outcome.failures.is_empty()).then_some(Failed { outcome, plan: Some(plan) })
}

/// Plays a round for leaks.
fn hunt_leaks(seed: u64, interface: Interface, environment: &Environment) -> Option<Failed> {
    let name = format!("leaks, {}", interface.name());
    without_plan(seed, name, leak::play(interface, environment))
}

/// Plays a round for the task queue, which is the same for all interfaces.
fn run_tasks(seed: u64, _: Interface, environment: &Environment) -> Option<Failed> {
    without_plan(seed, "tasks".into(), tasks::play(seed, environment))
}

/// Plays a round for companions, which are the same for all interfaces.
fn run_companions(seed: u64, _: Interface, environment: &Environment) -> Option<Failed> {
    without_plan(seed, "companions".into(), companions::play(seed, environment))
}

fn without_plan(seed: u64, name: String, played: Result<(String, round::Outcome)>) -> Option<Failed> {
    let (line, outcome) = played.unwrap_or_else(|error| (name, round::Outcome::failed(&error)));
    println!("seed {seed} {line}, {:.1} s; {}", outcome.millis as f64 / 1000.0, report::verdict(&outcome));
    (!outcome.failures.is_empty()).then_some(Failed { outcome, plan: None })
}
