//! Files of settings: what has to be executed to be read.

use hostler_wire::{ExitStatus, Failure};
use serde_json::{Map, Value};

/// A file of Python, or `python:module`, whose variables are settings.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// Where it is.
    pub location: &'a str,
    /// The variables that are asked for; functions and classes are given as their names.
    pub names: &'a [String],
    /// The user that workers run as, if it is known by now: the one who executes it.
    pub user: Option<&'a str>,
}

/// Reads files of settings.
pub trait Files {
    /// Whether there is a file of this name in the working directory.
    fn exists(&self, path: &str) -> bool;

    /// Executes a file of Python.
    ///
    /// # Errors
    /// If that fails.
    fn settings(&self, script: &Script<'_>) -> Result<Map<String, Value>, Failure>;

    /// Reads a file of TOML.
    ///
    /// # Errors
    /// If that fails.
    fn toml(&self, path: &str) -> Result<Map<String, Value>, Failure>;

    /// Reads a file.
    ///
    /// # Errors
    /// If that fails.
    fn text(&self, path: &str) -> Result<String, Failure>;
}

/// None: for those who may not execute anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn exists(&self, _: &str) -> bool {
        false
    }

    fn settings(&self, script: &Script<'_>) -> Result<Map<String, Value>, Failure> {
        self.toml(script.location)
    }

    fn toml(&self, path: &str) -> Result<Map<String, Value>, Failure> {
        Err(Failure::new(ExitStatus::Config, format!("the file `{path}` cannot be read here")))
    }

    fn text(&self, path: &str) -> Result<String, Failure> {
        self.toml(path).map(|_| String::new())
    }
}
