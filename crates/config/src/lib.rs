//! The options: one table from which argv, environment, TOML, help and reference are made.
//!
//! [`table::OPTIONS`] declares each option once. [`parse`] reads the sources (command line before
//! environment before file before default), remembers where each value came from, and checks it by its
//! declaration, so that an error can say what is wrong and where it was set.
//!
//! Not here: reading argv or the environment (both are handed in), and acting on values.

#![forbid(unsafe_code)]

mod command;
mod config;
mod dotenv;
mod duration;
mod error;
mod reading;
mod reference;
mod resolve;
mod supervision;
mod table;

pub use config::{Bind, Config, Workers};
pub use dotenv::parse as parse_env_file;
pub use error::Error;
pub use reading::Reading;
pub use supervision::Supervision;

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
    let values = resolve::Values::collect(given, env, reading)?;
    if values.flag("print-reference") {
        return Ok(Outcome::Print(reference::markdown()));
    }
    if values.flag("print-sample") {
        return Ok(Outcome::Print(reference::sample()));
    }
    if values.flag("print-config") {
        return Ok(Outcome::Print(values.listing()));
    }
    Ok(Outcome::Run(Box::new(Config::from_values(&values)?)))
}
