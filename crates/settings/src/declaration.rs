//! What an option declares beside its type: name, help, default, range, effect.

use crate::OptionValue;
use std::fmt;

/// The declaration of an option. Command line, environment, TOML, help, reference and schema are generated from these.
#[derive(Clone, Copy)]
pub struct Declaration {
    /// As on the command line, without the dashes in front.
    pub name: &'static str,
    /// The heading of its group.
    pub heading: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// The letter of `-w`.
    pub short: Option<char>,
    /// An environment variable that sets it where nothing else does, beside `HOSTLER_…`.
    pub common_env: Option<&'static str>,
    /// Whether it does what it says.
    pub effect: Effect,
    /// Whether a reload (SIGHUP) applies a change of it.
    pub reload: OnReload,
    /// Whether it exists on the command line only, as `--print-config` does.
    pub argv_only: bool,
    /// Whether even `--help-all` leaves it out.
    pub hidden: bool,
    /// Whether `--help` has it, too, and not `--help-all` alone.
    pub common: bool,
    /// Whether its value is not printed.
    pub secret: bool,
    /// Which values it takes.
    pub rules: Rules,
    /// How it is spelled.
    pub shape: Shape,
    /// What a text of it looks like, as a regular expression; `None` for any.
    pub pattern: Option<&'static str>,
    /// The JSON schema of the table that may stand for a value in the configuration file.
    pub table: Option<&'static str>,
    /// A value as a user would write it, of one that is unset by default.
    pub example: Option<&'static str>,
    docs: &'static [&'static str],
    default: fn(&Rules) -> Vec<String>,
    value_name: fn(&Rules) -> String,
    expected: fn(&Rules) -> String,
}

/// Whether an option does what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does.
    Now,
    /// It is checked and reported, and has none; the text says why.
    None(&'static str),
    /// Using it stops the start; the text says what to do instead.
    Refused(&'static str),
}

/// What a reload (SIGHUP) does with a changed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReload {
    /// It applies when the next generation serves, in all processes.
    Applied,
    /// Nothing: it takes effect with an upgrade or a start.
    Kept,
    /// Nothing, and an upgrade does not apply it either.
    Start,
}

/// Which values an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The least number, in `unit`.
    pub min: u64,
    /// The greatest number, in `unit`.
    pub max: u64,
    /// What a number without a unit counts.
    pub unit: Unit,
}

/// What a number without a unit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds, bytes, or things: whatever the type counts.
    Base,
    /// Milliseconds, for a duration.
    Milliseconds,
    /// Mebibytes, for a size.
    Mebibytes,
}

/// How an option is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `--name` and `--no-name`.
    Flag,
    /// Any text.
    Text,
    /// One of these.
    Choice(&'static [&'static str]),
    /// One of these with `--name=value`, or `alone` with `--name`; `--no-name` unsets it.
    OptionalChoice {
        /// What can be chosen.
        names: &'static [&'static str],
        /// What `--name` without a value means.
        alone: &'static str,
    },
    /// A mode of files in octal, with or without `0o` or zeros in front.
    Octal,
    /// A whole number.
    Number,
    /// A whole number, or a word such as `auto` and `64KiB`.
    NumberOrText,
    /// A number, whole or not, or units such as `1h30m`.
    Duration,
    /// Texts: the option is repeatable.
    List,
}

impl Declaration {
    /// Declares an option of type `T`.
    #[must_use]
    pub const fn new<T: OptionValue>(
        name: &'static str,
        heading: &'static str,
        docs: &'static [&'static str],
        default: fn(&Rules) -> Vec<String>,
    ) -> Self {
        Self {
            name,
            heading,
            aliases: &[],
            short: None,
            common_env: None,
            effect: Effect::Now,
            reload: OnReload::Applied,
            argv_only: false,
            hidden: false,
            common: false,
            secret: false,
            rules: Rules { min: 0, max: u64::MAX, unit: Unit::Base },
            shape: T::SHAPE,
            pattern: T::PATTERN,
            table: T::TABLE,
            example: None,
            docs,
            default,
            value_name: T::value_name,
            expected: T::expected,
        }
    }

    /// Numbers from `min` to `max`, in the option's unit.
    #[must_use]
    pub const fn range(mut self, min: u64, max: u64) -> Self {
        self.rules.min = min;
        self.rules.max = max;
        self
    }

    /// What a number without a unit counts.
    #[must_use]
    pub const fn unit(mut self, unit: Unit) -> Self {
        self.rules.unit = unit;
        self
    }

    /// A value for the sample file; one that is unset by default has one.
    #[must_use]
    pub const fn example(mut self, example: &'static str) -> Self {
        self.example = Some(example);
        self
    }

    /// What is shown of a value as it was written.
    #[must_use]
    pub fn shown<'a>(&self, text: &'a str) -> &'a str {
        if self.secret && !text.is_empty() { "(not shown)" } else { text }
    }

    /// The letter of `-w`.
    #[must_use]
    pub const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    /// Other names.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// An environment variable that other programs use as well.
    #[must_use]
    pub const fn common_env(mut self, name: &'static str) -> Self {
        self.common_env = Some(name);
        self
    }

    /// Checked and reported, and nothing else; the text says why.
    #[must_use]
    pub const fn without_effect(mut self, reason: &'static str) -> Self {
        self.effect = Effect::None(reason);
        self
    }

    /// Stops the start; the text says what to do instead.
    #[must_use]
    pub const fn refused(mut self, instead: &'static str) -> Self {
        self.effect = Effect::Refused(instead);
        self
    }

    /// What a reload does with a change.
    #[must_use]
    pub const fn reload(mut self, reload: OnReload) -> Self {
        self.reload = reload;
        self
    }

    /// Only on the command line.
    #[must_use]
    pub const fn argv_only(mut self) -> Self {
        self.argv_only = true;
        self
    }

    /// In the short `--help`.
    #[must_use]
    pub const fn common(mut self) -> Self {
        self.common = true;
        self
    }

    /// Neither in `--help` nor in `--help-all`.
    #[must_use]
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Its value is not printed.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The doc comment of its field, without the full stop.
    #[must_use]
    pub fn help(&self) -> String {
        let text = self.docs.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        text.trim_end_matches('.').to_owned()
    }

    /// As a user would write it; empty for "not set".
    #[must_use]
    pub fn default(&self) -> Vec<String> {
        (self.default)(&self.rules)
    }

    /// The placeholder for a value in help texts.
    #[must_use]
    pub fn value_name(&self) -> String {
        (self.value_name)(&self.rules)
    }

    /// What a value must be: "a whole number from 1 to 1024".
    #[must_use]
    pub fn expected(&self) -> String {
        (self.expected)(&self.rules)
    }

    /// `HOSTLER_WORKERS_LIFETIME`, and those of its aliases.
    pub fn env_names(&self) -> impl Iterator<Item = String> {
        let names = [self.name].into_iter().chain(self.aliases.iter().copied());
        names.map(|name| format!("HOSTLER_{}", name.to_ascii_uppercase().replace('-', "_")))
    }

    /// Whether this is its name or an alias.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    /// Whether there is a `--no-name`.
    #[must_use]
    pub fn has_negation(&self) -> bool {
        !self.argv_only && matches!(self.shape, Shape::Flag | Shape::OptionalChoice { .. })
    }
}

impl fmt::Debug for Declaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Declaration").field(&self.name).finish()
    }
}
