//! `hostler check [OPTIONS]`: all that a start needs, tried one by one, without a server. It uses what the start uses.
//!
//! Files: `examine` what is tried, `addresses` the listening sockets, `application` its import in a process of its own, `report`
//! what is printed, `warnings` what a start would log.

mod addresses;
mod application;
mod examine;
mod report;
mod warnings;

use hostler_config::{Config, Outcome, Reading};
use hostler_wire::{ExitStatus, Failure};
use report::Report;
use std::ffi::OsString;

/// A command line to check.
pub(crate) struct Asked {
    /// As it would start a server.
    args: Vec<OsString>,
    /// Whether the report is JSON.
    json: bool,
    /// Whether the application's lifespan is run.
    run_lifespan: bool,
}

/// The command line, if it is to be checked. An application called `check` is `check:app`.
pub(crate) fn asked(args: &[OsString]) -> Option<Asked> {
    if !crate::is_command(args, "check") {
        return None;
    }
    let words = args.iter().enumerate().filter(|(index, _)| *index != 1).map(|(_, word)| word.clone());
    let (own, args): (Vec<_>, Vec<_>) = words.partition(|word| word == JSON || word == LIFESPAN);
    let has = |option: &str| own.iter().any(|word| word == option);
    Some(Asked { args, json: has(JSON), run_lifespan: has(LIFESPAN) })
}

const JSON: &str = "--json";
/// Not `--lifespan`, which is Uvicorn's.
const LIFESPAN: &str = "--run-lifespan";

const HELP: &str = "\
Tries all that a server needs to start, and starts none: configuration, log files, certificates, the Python, the application
(imported in a process of its own, as the user of the workers; with --preload, what makes forks unsafe), the functions that it has for
Gunicorn's hooks (they are not called), addresses and the control socket.

Usage: hostler check [OPTIONS] [TARGET]

Options:
      --json          Print the report as JSON
      --run-lifespan  Run the startup and the shutdown of an ASGI application's lifespan, with all that they do: connections to databases,
                      migrations, messages
  -h, --help          Print help

All others are those of the server: `hostler --help`.

Exit status: 0 the server would start; else as the start would exit.
";

/// Checks a command line, and prints the report.
pub(crate) fn run(asked: Asked) -> ExitStatus {
    if asked.args.iter().any(|word| word == "--help" || word == "-h") {
        return crate::print(HELP);
    }
    let (report, warnings) = warnings::collected(|| of_command_line(asked.args, asked.run_lifespan));
    let report = report.with_warnings(warnings);
    let text = if asked.json { report.json() } else { report.text() };
    match crate::print(&text) {
        ExitStatus::Clean => report.status(),
        unprinted => unprinted,
    }
}

/// Checks what `gunicorn --check-config` names: prints only what is wrong.
pub(crate) fn quietly(config: &Config) -> ExitStatus {
    let (report, warnings) = warnings::collected(|| examine::all(config, false));
    let report = report.with_warnings(warnings);
    match report.status() {
        ExitStatus::Clean => ExitStatus::Clean,
        status => {
            crate::print(&report.text());
            status
        }
    }
}

fn of_command_line(args: Vec<OsString>, run_lifespan: bool) -> Report {
    let outcome = hostler_config::parse(
        args,
        std::env::vars_os(),
        Reading::First,
        &crate::scripts::Scripts(Reading::First),
    );
    match outcome {
        Ok(Outcome::Run(config) | Outcome::Check(config)) => examine::all(&config, run_lifespan),
        Ok(Outcome::Print(_) | Outcome::Refused(..)) => {
            let failure =
                Failure::new(ExitStatus::Usage, "the command line says to print something, not to serve");
            Report::of_failure("configuration", failure.hint("leave that option out"))
        }
        Err(failure) => Report::of_failure("configuration", failure),
    }
}
