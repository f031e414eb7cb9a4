//! From argv, environment and TOML to [`Config`]; help, reference, man page, completions and schema.
//!
//! Options are declared in `hostler_settings`. [`parse`] reads the sources (command line before environment before file
//! before default), remembers where each value came from, and checks it by its declaration, so that an error says what
//! is wrong, where it was set, and what is accepted.
//!
//! Files: `command` the command line, `environment` and `file` two of the sources, `layers` all of them, `names` what a
//! misspelt name may mean, `config` what follows from values together and on this system, `reference`, `schema` and
//! `pages` what is printed from the declarations.
//!
//! Not here: reading argv or the environment (both are handed in), and acting on values.

#![forbid(unsafe_code)]

mod command;
mod config;
mod dotenv;
mod environment;
mod file;
mod layers;
mod names;
mod pages;
mod reading;
mod reference;
mod schema;
mod source;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use dotenv::parse as parse_env_file;
pub use environment::UnknownVariable;
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
    /// Print this, and exit as the start would that this refuses.
    Refused(String, Failure),
}

/// Reads the command line (with the program's name first) and the environment.
///
/// # Errors
/// For an unknown option, a value that an option does not take, options that exclude each other, or a file that cannot be read.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    reading: Reading,
) -> Result<Outcome, Failure> {
    let given = match command::parse(args)? {
        command::Parsed::Given(given) => given,
        command::Parsed::Print(text) => return Ok(Outcome::Print(text)),
    };
    let environment = Environment::new(variables);
    let layers = layers::Layers::collect(given, &environment, reading)?;
    if let Some(text) = printed(&layers).map_err(|error| Source::Argv.failure(error.to_string()))? {
        return Ok(Outcome::Print(text));
    }
    let unknown = environment.unknown();
    let listing = layers.settings.program.print_config.then(|| layers.listing(&unknown));
    match (listing, Config::from_layers(layers, unknown)) {
        (Some(text), Ok(_)) => Ok(Outcome::Print(text)),
        (Some(text), Err(failure)) => Ok(Outcome::Refused(text, failure)),
        (None, config) => Ok(Outcome::Run(Box::new(config?))),
    }
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
    } else if program.print_sample {
        reference::sample()
    } else {
        return Ok(None);
    }))
}
