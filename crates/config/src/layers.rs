//! Values from all sources, and where each was set: command line before environment before file before default.

use crate::{
    environment::{Environment, UnknownVariable},
    file,
    reading::Reading,
    source::Source,
};
use hostler_settings::{Declaration, Effect, Program, Settings, Shape};
use hostler_wire::Failure;
use std::{collections::BTreeMap, fmt::Write as _};

/// The options, and where each was set.
#[derive(Debug)]
pub(crate) struct Layers {
    pub(crate) settings: Settings,
    given: BTreeMap<&'static str, Given>,
}

/// The value that a source gives an option.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) option: &'static Declaration,
    pub(crate) texts: Vec<String>,
    pub(crate) source: Source,
}

impl Layers {
    /// Adds environment and file to what the command line gave.
    pub(crate) fn collect(
        argv: Vec<Given>,
        environment: &Environment,
        reading: Reading,
    ) -> Result<Self, Failure> {
        let mut layers = Self { settings: Settings::default(), given: BTreeMap::new() };
        layers.add(argv);
        layers.add(environment.layer()?);
        if let Some(file) = layers.given.get(Program::config().name).cloned() {
            layers.add(file::layer(&file, reading)?);
        }
        for given in layers.given.values() {
            given.apply(&mut layers.settings)?;
        }
        Ok(layers)
    }

    /// Adds a layer below those added before, which take precedence.
    fn add(&mut self, layer: Vec<Given>) {
        for given in layer {
            self.given.entry(given.option.name).or_insert(given);
        }
    }

    /// Where an option was set.
    pub(crate) fn source(&self, option: &Declaration) -> &Source {
        self.given.get(option.name).map_or(&Source::Default, |given| &given.source)
    }

    /// Whether any source set it.
    pub(crate) fn is_set(&self, option: &Declaration) -> bool {
        self.given.contains_key(option.name)
    }

    /// As it was written; empty if it was not.
    pub(crate) fn text(&self, option: &Declaration) -> &str {
        self.given.get(option.name).and_then(|given| given.texts.last()).map_or("", String::as_str)
    }

    /// An error for a value that is well-formed, but cannot be used beside other values or on this system.
    pub(crate) fn invalid(&self, option: &Declaration) -> Failure {
        self.source(option).invalid(option, self.text(option))
    }

    /// An error for a value that the option has, but which is not served.
    pub(crate) fn unusable(&self, option: &Declaration) -> Failure {
        let source = self.source(option);
        source.failure(format!("{} cannot be used ({source})", self.written(option)))
    }

    /// An error for values of which only one can be.
    pub(crate) fn contradiction(&self, a: &Declaration, b: &Declaration) -> Failure {
        let (source, a, b) = (self.source(a), self.written(a), self.written(b));
        source.failure(format!("{a} and {b} contradict each other ({source})"))
    }

    /// As it would be on the command line.
    fn written(&self, option: &Declaration) -> String {
        let texts = self.given.get(option.name).map(|given| given.texts.join(" ")).unwrap_or_default();
        match (option.shape, texts.as_str()) {
            (Shape::Flag, "true") => format!("--{}", option.name),
            (Shape::Flag, _) => format!("--no-{}", option.name),
            (_, text) => format!("--{} {text}", option.name),
        }
    }

    /// The options that were set and have no effect yet: name, value, source.
    pub(crate) fn not_in_effect(&self) -> Vec<String> {
        let set = Settings::options().filter(|option| option.effect == Effect::Later);
        set.filter_map(|option| {
            let source = &self.given.get(option.name)?.source;
            Some(format!("{} ({source})", self.written(option)))
        })
        .collect()
    }

    /// All options and the variables that are none, for `--print-config`.
    pub(crate) fn listing(&self, unknown: &[UnknownVariable]) -> String {
        let mut listing = String::new();
        for option in Settings::options().filter(|option| !option.argv_only) {
            let given = self.given.get(option.name).map(|given| given.texts.clone());
            let text = given.unwrap_or_else(|| option.default()).join(" ");
            let later = if option.effect == Effect::Later { ", not yet in effect" } else { "" };
            let _ = writeln!(listing, "{:38} {text:24} # {}{later}", option.name, self.source(option));
        }
        for UnknownVariable { name, hint } in unknown {
            let _ = writeln!(listing, "# environment variable {name} has no effect: {hint}");
        }
        listing
    }
}

impl Given {
    /// Sets the option to this value.
    pub(crate) fn apply(&self, settings: &mut Settings) -> Result<(), Failure> {
        let last = self.texts.last().map_or("", String::as_str);
        if let Effect::Refused(instead) = self.option.effect
            && (self.option.shape != Shape::Flag || last != "false")
        {
            let message = format!("--{} cannot be used ({})", self.option.name, self.source);
            return Err(self.source.failure(message).because(instead));
        }
        // Empty text means unset.
        if matches!(self.option.shape, Shape::Text | Shape::Octal) && last.is_empty() {
            return Ok(());
        }
        settings.set(self.option, &self.texts).map_err(|bad| {
            let expected = format!("it must be {}", self.option.expected());
            self.source.invalid(self.option, &bad.0).because(expected)
        })
    }
}

/// The options that a file may set.
pub(crate) fn in_files() -> impl Iterator<Item = &'static Declaration> {
    Settings::options().filter(|option| !option.argv_only && option.name != Program::config().name)
}
