//! From argv, environment and TOML to [`Config`]; help, reference, man page, completions and schema.
//!
//! Options are declared in `hostler_settings`. [`parse`] reads the sources (command line before environment before file
//! before default), remembers where each value came from, and checks it by its declaration, so that an error says what
//! is wrong, where it was set, and what is accepted.
//!
//! Files: `command` the command line, `layers` all sources, `config` what follows from values together and on this
//! system, `reference`, `schema` and `pages` what is printed from the declarations.
//!
//! Not here: reading argv or the environment (both are handed in), and acting on values.

#![forbid(unsafe_code)]

mod command;
mod config;
mod dotenv;
mod error;
mod layers;
mod reading;
mod reference;

pub use config::Config;
pub use dotenv::parse as parse_env_file;
pub use error::Error;
pub use reading::Reading;

use std::ffi::OsString;

/// What a command line asks for.
#[derive(Debug)]
pub enum Outcome {
    /// Serve.
    Run(Box<Config>),
    /// Print this and leave.
    Print(String),
}

/// Reads the command line (with the program's name first) and the environment.
///
/// # Errors
/// For what is wrong in either, or in the file that they name.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    env: &dyn Fn(&str) -> Option<String>,
    reading: Reading,
) -> Result<Outcome, Error> {
    let given = match command::parse(args)? {
        command::Parsed::Given(given) => given,
        command::Parsed::Print(text) => return Ok(Outcome::Print(text)),
    };
    let layers = layers::Layers::collect(given, env, reading)?;
    let program = &layers.settings.program;
    Ok(if program.print_reference {
        Outcome::Print(reference::markdown())
    } else if program.print_sample {
        Outcome::Print(reference::sample())
    } else if program.print_config {
        Outcome::Print(layers.listing())
    } else {
        Outcome::Run(Box::new(Config::from_layers(layers)?))
    })
}
