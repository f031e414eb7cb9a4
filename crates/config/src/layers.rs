//! Values from all sources, and where each was set: command line before environment before file before the variables that
//! other programs use as well (`WEB_CONCURRENCY`) before default.

use crate::{
    addresses::Addresses,
    environment::{Environment, PORT, UnknownVariable},
    file,
    reading::Reading,
    source::Source,
};
use hostler_settings::{Declaration, Effect, Listen, Program, Settings, Shape};
use hostler_wire::{Failure, control::ConfigEntry};
use std::{collections::BTreeMap, fmt::Write as _};

/// The options, and where each was set.
#[derive(Debug)]
pub(crate) struct Layers {
    pub(crate) settings: Settings,
    given: BTreeMap<&'static str, Given>,
    addresses: Addresses,
    /// Addresses that a higher layer replaces, and where they were set.
    replaced: BTreeMap<&'static str, Source>,
}

/// The value that a source gives an option.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) option: &'static Declaration,
    pub(crate) texts: Vec<String>,
    pub(crate) source: Source,
}

/// What was given besides hostler's own environment and file, in the order of precedence.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The command line.
    pub(crate) argv: Vec<Given>,
    /// The environment and files of the peer whose command line it is.
    pub(crate) below_environment: Vec<Given>,
    /// What that peer does by itself.
    pub(crate) defaults: Vec<Given>,
    /// Whether `PORT` says where to listen if nothing else does.
    pub(crate) port: bool,
}

impl Sources {
    /// hostler's own command line.
    pub(crate) fn own(argv: Vec<Given>) -> Self {
        Self { argv, port: true, ..Self::default() }
    }
}

impl Layers {
    /// Adds environment and file to what the command line gave.
    pub(crate) fn collect(
        sources: Sources,
        environment: &Environment,
        reading: Reading,
    ) -> Result<Self, Failure> {
        let mut layers = Self {
            settings: Settings::default(),
            given: BTreeMap::new(),
            addresses: Addresses::default(),
            replaced: BTreeMap::new(),
        };
        layers.add(sources.argv);
        layers.add(environment.layer()?);
        layers.add(sources.below_environment);
        let mut mistakes = Vec::new();
        if let Some(file) = layers.given.get(Program::config().name).cloned() {
            let contents = file::layer(&file, reading)?;
            layers.add(contents.given);
            mistakes = contents.mistakes;
        }
        layers.add(sources.defaults);
        let unset: Vec<_> = Settings::options().filter(|option| !layers.is_set(option)).collect();
        layers.add(environment.common(unset.into_iter())?);
        layers.add(environment.colour().into_iter().collect());
        if sources.port {
            layers.add_port(environment)?;
        }
        let values = layers.given.values();
        mistakes.extend(values.filter_map(|given| given.apply(&mut layers.settings).err()));
        together(mistakes).map_or(Ok(layers), Err)
    }

    /// Adds `PORT`: the port, unless there is one, and with it all addresses of IPv4, unless there is a host.
    fn add_port(&mut self, environment: &Environment) -> Result<(), Failure> {
        let Some(port) = environment.port()? else { return Ok(()) };
        let source = Source::Env(PORT.into());
        let given = |option, text: &str| Given { option, texts: vec![text.into()], source: source.clone() };
        let mut layer = vec![given(Listen::port(), &port)];
        if !self.is_set(Listen::host()) && !self.is_set(Listen::port()) {
            layer.push(given(Listen::host(), "0.0.0.0"));
        }
        self.add(layer);
        Ok(())
    }

    /// Whether the user chose it for this server: `PORT` is there for any program.
    pub(crate) fn is_chosen(&self, option: &Declaration) -> bool {
        self.is_set(option) && *self.source(option) != Source::Env(PORT.into())
    }

    /// Adds a layer below those added before, which take precedence.
    fn add(&mut self, layer: Vec<Given>) {
        let above = self.addresses;
        for given in layer {
            let name = given.option.name;
            let is_replaced = above.replace(given.option);
            let in_effect = !is_replaced && !self.given.contains_key(name);
            self.addresses.add(&given, in_effect);
            if in_effect {
                self.given.insert(name, given);
            } else if is_replaced {
                self.replaced.entry(name).or_insert(given.source);
            }
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

    /// As it would be on the command line, and where it was set.
    pub(crate) fn origin(&self, option: &Declaration) -> String {
        format!("{} ({})", self.written(option), self.source(option))
    }

    /// Whether it was set to its default.
    pub(crate) fn has_default(&self, option: &Declaration) -> bool {
        self.given.get(option.name).is_some_and(|given| given.texts == option.default())
    }

    /// How many options were set.
    pub(crate) fn count_set(&self) -> usize {
        self.given.len()
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
        let (source, other) = (self.source(a), self.source(b));
        let (a, b) = (self.written(a), self.written(b));
        source.failure(if source == other {
            format!("{a} and {b} contradict each other ({source})")
        } else {
            format!("{a} ({source}) and {b} ({other}) contradict each other")
        })
    }

    /// As it would be on the command line.
    fn written(&self, option: &Declaration) -> String {
        if let Some(written) = self.source(option).written() {
            return written;
        }
        let texts = self.given.get(option.name).map(|given| given.texts.join(" ")).unwrap_or_default();
        match (option.shape, option.shown(&texts)) {
            (Shape::Flag, "true") => format!("--{}", option.name),
            (Shape::Flag, _) => format!("--no-{}", option.name),
            (_, text) => format!("--{} {text}", option.name),
        }
    }

    /// All options, for `hostler ctl config`.
    pub(crate) fn entries(&self) -> Vec<ConfigEntry> {
        let options = Settings::options().filter(|option| !option.argv_only);
        let entry = |option: &'static Declaration| {
            let given = self.given.get(option.name).map(|given| given.texts.clone());
            let value = given.unwrap_or_else(|| option.default()).join(" ");
            let source = self.source(option).to_string();
            ConfigEntry { option: option.name.into(), value: option.shown(&value).to_owned(), source }
        };
        options.map(entry).collect()
    }

    /// All options and the variables that are none, for `--print-config`.
    pub(crate) fn listing(&self, unknown: &[UnknownVariable]) -> String {
        let mut listing = String::new();
        for option in Settings::options().filter(|option| !option.argv_only) {
            let given = self.given.get(option.name).map(|given| given.texts.clone());
            let text = given.unwrap_or_else(|| option.default()).join(" ");
            let text = option.shown(&text);
            let nothing = if matches!(option.effect, Effect::None(_)) { ", without effect" } else { "" };
            let _ = write!(listing, "{:38} {text:24} # {}{nothing}", option.name, self.source(option));
            if let (Source::Default, Some(source)) = (self.source(option), self.replaced.get(option.name)) {
                let _ = write!(listing, ": other addresses replace that of {source}");
            }
            listing.push('\n');
        }
        for UnknownVariable { name, hint } in unknown {
            let _ = writeln!(listing, "# environment variable {name} has no effect: {hint}");
        }
        listing
    }
}

/// All mistakes as one failure, so that they can be mended at once.
pub(crate) fn together(mut mistakes: Vec<Failure>) -> Option<Failure> {
    if mistakes.len() < 2 {
        return mistakes.pop();
    }
    let mut message = format!("the configuration has {} mistakes", mistakes.len());
    for Failure { message: wrong, cause, hint, .. } in &mistakes {
        let parts = [Some(wrong), cause.as_ref(), hint.as_ref()];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        let _ = write!(message, "\n  {}", parts.join(": "));
    }
    Some(Failure::new(mistakes.first()?.status, message))
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
        if let Some(text) = self.texts.iter().find(|text| text.contains('\0')) {
            let wrong = self.source.invalid(self.option, &text.replace('\0', "\\0"));
            return Err(wrong.because("it contains a NUL"));
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
