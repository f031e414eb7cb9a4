//! From argv, environment and TOML to [`Config`]; help, reference, man page, completions and schema.
//!
//! Options are declared in `hostler_settings`. [`parse`] reads the sources (command line before environment before file
//! before default), remembers where each value came from, and checks it by its declaration, so that an error says what
//! is wrong, where it was set, and what is accepted.
//!
//! Files: `command` the command line, `environment` and `file` two of the sources, `layers` all of them, `form` whether mistakes are told as JSON, `names` what a
//! misspelt name may mean, `addresses` which layer says where to listen, `combinations` options that do nothing beside others, `config` what follows from values together and on this system, `reference`, `schema` and
//! `pages` what is printed from the declarations, `otlp` where metrics are exported to, `ctl` and `ctl_tasks` the command line of `hostler ctl`, `peers` the command lines of other servers.
//!
//! Not here: reading argv or the environment (both are handed in), and acting on values.

#![forbid(unsafe_code)]

mod addresses;
mod combinations;
mod command;
mod companions;
mod config;
mod ctl;
mod ctl_tasks;
mod dotenv;
mod environment;
mod file;
mod form;
mod layers;
mod names;
mod otlp;
mod pages;
mod peers;
mod reading;
mod reference;
mod request_id;
mod schema;
mod source;
mod static_files;
#[cfg(test)]
mod tests;

pub use combinations::Pointless;
pub use config::Config;
pub use ctl::{Ctl, CtlOutcome, ServerChoice, TopOutcome, parse as parse_ctl, parse_top};
pub use ctl_tasks::{TASK_STATES, TasksAsk, TasksCtl, TasksFilter};
pub use dotenv::parse as parse_env_file;
pub use environment::UnknownVariable;
pub use form::asks_for_json;
pub use otlp::parts as otlp_parts;
pub use reading::Reading;

use environment::Environment;
use hostler_wire::Failure;
use source::Source;
use std::{ffi::OsString, io};

/// What a command line asks for.
#[derive(Debug)]
pub enum Outcome {
    /// Serve.
    Run(Box<Config>),
    /// Print this and exit.
    Print(String),
    /// Try all that a start needs, and exit.
    Check(Box<Config>),
    /// Print this, and exit as the start would that this refuses.
    Refused(String, Failure),
}

/// Reads the command line (with the program's name first) and the environment; or those of a peer, after `as` or if the
/// program has its name; `files` reads files of settings that peers have.
///
/// # Errors
/// For an unknown option, a value that an option does not take, options that exclude each other, or a file that cannot be read.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    reading: Reading,
    files: &dyn hostler_peers::Files,
) -> Result<Outcome, Failure> {
    let args: Vec<OsString> = args.into_iter().collect();
    match hostler_peers::asked(&args) {
        Some(Ok(asked)) => peers::parse(asked, variables.into_iter().collect(), reading, files),
        Some(Err(name)) => Err(no_peer(&name)),
        None => own(args, variables, reading),
    }
}

/// hostler's own command line.
fn own(
    args: Vec<OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    reading: Reading,
) -> Result<Outcome, Failure> {
    let given = match command::parse(args)? {
        command::Parsed::Given(given) => given,
        command::Parsed::Print(text) => return Ok(Outcome::Print(text)),
    };
    let environment = Environment::new(variables);
    let layers = layers::Layers::collect(layers::Sources::own(given), &environment, reading)?;
    if let Some(text) = printed(&layers).map_err(|error| Source::Argv.failure(error.to_string()))? {
        return Ok(Outcome::Print(text));
    }
    let unknown = environment.unknown().into_iter().chain(environment.of_peers());
    outcome(layers, unknown.collect())
}

fn no_peer(name: &str) -> Failure {
    let names: Vec<_> = hostler_peers::Peer::ALL.into_iter().map(hostler_peers::Peer::name).collect();
    let message = match name {
        "" => "`hostler as` needs the name of a server".to_owned(),
        name => format!("`hostler as {name}`: there is no such server"),
    };
    Source::Argv.failure(message).hint(format!("it is one of {}", names.join(", ")))
}

/// What is done with the configuration.
fn outcome(layers: layers::Layers, unknown: Vec<UnknownVariable>) -> Result<Outcome, Failure> {
    let listing = layers.settings.program.print_config.then(|| layers.listing(&unknown));
    match (listing, Config::from_layers(layers, unknown)) {
        (Some(text), Ok(_)) => Ok(Outcome::Print(text)),
        (Some(text), Err(failure)) => Ok(Outcome::Refused(text, failure)),
        (None, config) => Ok(Outcome::Run(Box::new(config?))),
    }
}

/// A file of TOML as JSON.
///
/// # Errors
/// What is wrong with it.
pub fn parse_toml(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

/// The text that was asked for, if one was that does not depend on the configuration.
fn printed(layers: &layers::Layers) -> io::Result<Option<String>> {
    let program = &layers.settings.program;
    Ok(Some(if let Some(shell) = program.print_completions {
        pages::completions(shell)?
    } else if program.print_man {
        pages::manual()?
    } else if program.print_schema {
        schema::schema()
    } else if program.print_reference {
        reference::markdown()
    } else if program.print_peers {
        hostler_peers::markdown()
    } else if program.print_sample {
        reference::sample()
    } else {
        return Ok(None);
    }))
}
