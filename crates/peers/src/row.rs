//! A row of a peer's table: an option, and what becomes of it.

use crate::{
    item::{Context, Item},
    translate::Outcome,
};
use hostler_settings::Declaration;

/// An option of a peer.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// As on its command line: `--workers`, `-w`. The first is its name.
    pub names: &'static [&'static str],
    /// What turns it off, as `--no-ws`.
    pub negation: Option<&'static str>,
    /// The environment variable that sets it, if it is not made of the peer's prefix and the name.
    pub variable: Option<&'static str>,
    /// What stands behind it.
    pub takes: Takes,
    /// Whether several values in a variable are separated by `:` instead of spaces.
    pub paths: bool,
    /// What becomes of it.
    pub becomes: Becomes,
}

/// What stands behind an option on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: it is a flag.
    Nothing,
    /// A value; of several the last counts.
    Value,
    /// A value each time.
    Values,
    /// A value or nothing, which means this.
    Optional(&'static str),
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug)]
pub enum Becomes {
    /// The same value of this option.
    Same(&'static Declaration),
    /// Values of these options.
    Converted {
        /// Which options, for documents.
        to: &'static [&'static Declaration],
        /// How, for documents.
        how: &'static str,
        /// The values.
        by: fn(&Item, &Context<'_>) -> Outcome,
    },
    /// Nothing, for a reason: hostler does not need it.
    NoEffect(&'static str),
    /// Nothing, for a reason: something does not happen that happened there.
    Lost(&'static str),
    /// The start is refused.
    Refused {
        /// Why.
        why: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// It prints something.
    Prints(Prints),
}

/// What an option prints instead of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prints {
    /// How to use the command.
    Help,
    /// hostler's version.
    Version,
    /// What becomes of each option.
    Explanation,
    /// Nothing: the configuration is checked.
    Nothing,
    /// hostler's configuration, as `--print-config` does.
    Configuration,
}

impl Row {
    const fn new(names: &'static [&'static str], takes: Takes, becomes: Becomes) -> Self {
        Self { names, negation: None, variable: None, takes, paths: false, becomes }
    }

    /// `--workers 4`.
    pub(crate) const fn value(names: &'static [&'static str], becomes: Becomes) -> Self {
        Self::new(names, Takes::Value, becomes)
    }

    /// `--bind a --bind b`.
    pub(crate) const fn values(names: &'static [&'static str], becomes: Becomes) -> Self {
        Self::new(names, Takes::Values, becomes)
    }

    /// `--reload`.
    pub(crate) const fn flag(names: &'static [&'static str], becomes: Becomes) -> Self {
        Self::new(names, Takes::Nothing, becomes)
    }

    /// `--ws`, `--no-ws`.
    pub(crate) const fn switch(
        names: &'static [&'static str],
        negation: &'static str,
        becomes: Becomes,
    ) -> Self {
        Self { negation: Some(negation), ..Self::flag(names, becomes) }
    }

    /// With a variable that is not called after it.
    pub(crate) const fn variable(self, name: &'static str) -> Self {
        Self { variable: Some(name), ..self }
    }

    /// Its values in a variable are separated by `:`.
    pub(crate) const fn paths(self) -> Self {
        Self { paths: true, ..self }
    }

    /// Its value may be left out, and is then this.
    pub(crate) const fn optional(self, alone: &'static str) -> Self {
        Self { takes: Takes::Optional(alone), ..self }
    }

    /// The name by which it is known.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.names[0]
    }

    /// Whether this is one of its spellings.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.names.contains(&name) || self.negation == Some(name)
    }

    /// The variable that sets it, for a peer with this prefix.
    #[must_use]
    pub fn variable_name(&self, prefix: Option<&str>) -> Option<String> {
        let made = || {
            let name = self.name().trim_start_matches('-');
            prefix.map(|prefix| format!("{prefix}{}", name.to_ascii_uppercase().replace('-', "_")))
        };
        self.variable.map(str::to_owned).or_else(made)
    }
}

/// Rows that every peer has.
pub(crate) const HELP: Row = Row::flag(&["--help"], Becomes::Prints(Prints::Help));
pub(crate) const VERSION: Row = Row::flag(&["--version"], Becomes::Prints(Prints::Version));
pub(crate) const EXPLAIN: Row = Row::flag(&["--explain"], Becomes::Prints(Prints::Explanation));
