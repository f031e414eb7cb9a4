//! Values from all sources, and where each was set: command line before environment before file before default.

use crate::{reading::Reading, source::Source};
use hostler_settings::{Declaration, Effect, Program, Settings, Shape};
use hostler_wire::Failure;
use std::{collections::BTreeMap, fmt::Write as _, path::Path};

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
        env: &dyn Fn(&str) -> Option<String>,
        reading: Reading,
    ) -> Result<Self, Failure> {
        let mut layers = Self { settings: Settings::default(), given: BTreeMap::new() };
        layers.add(argv);
        layers.add(from_env(env));
        if let Some(file) = layers.given.get(Program::config().name).cloned() {
            layers.add(from_file(&file, reading)?);
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
        let (source, text) = (self.source(option), self.text(option));
        source.failure(format!("--{} {text} cannot be used ({source})", option.name))
    }

    /// An error for values of which only one can be.
    pub(crate) fn contradiction(&self, a: &Declaration, b: &Declaration) -> Failure {
        let (source, text, other) = (self.source(a), self.text(a), self.text(b));
        source
            .failure(format!("--{} {text} and --{} {other} contradict each other ({source})", a.name, b.name))
    }

    /// The options that were set and have no effect yet: name, value, source.
    pub(crate) fn not_in_effect(&self) -> Vec<String> {
        let set = Settings::options().filter(|option| option.effect == Effect::Later);
        set.filter_map(|option| {
            let Given { texts, source, .. } = self.given.get(option.name)?;
            let shown = match (option.shape, texts.join(" ").as_str()) {
                (Shape::Flag, "true") => format!("--{}", option.name),
                (Shape::Flag, _) => format!("--no-{}", option.name),
                (_, text) => format!("--{} {text}", option.name),
            };
            Some(format!("{shown} ({source})"))
        })
        .collect()
    }

    /// All options, for `--print-config`.
    pub(crate) fn listing(&self) -> String {
        let mut listing = String::new();
        for option in Settings::options().filter(|option| !option.argv_only) {
            let given = self.given.get(option.name).map(|given| given.texts.clone());
            let text = given.unwrap_or_else(|| option.default()).join(" ");
            let later = if option.effect == Effect::Later { ", not yet in effect" } else { "" };
            let _ = writeln!(listing, "{:38} {text:24} # {}{later}", option.name, self.source(option));
        }
        listing
    }
}

impl Given {
    /// Sets the option to this value.
    fn apply(&self, settings: &mut Settings) -> Result<(), Failure> {
        let last = self.texts.last().map_or("", String::as_str);
        if let Effect::Refused(instead) = self.option.effect
            && (self.option.shape != Shape::Flag || last != "false")
        {
            let message = format!("--{} cannot be used ({})", self.option.name, self.source);
            return Err(self.source.failure(message).because(instead));
        }
        // Empty text means unset.
        if self.option.shape == Shape::Text && last.is_empty() {
            return Ok(());
        }
        settings.set(self.option, &self.texts).map_err(|bad| {
            let expected = format!("it must be {}", self.option.expected());
            self.source.invalid(self.option, &bad.0).because(expected)
        })
    }
}

fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Vec<Given> {
    let options = Settings::options().filter(|option| !option.argv_only);
    let set = options.filter_map(|option| {
        let names = [Some(option.env_name()), option.common_env.map(str::to_owned)];
        let found = names.into_iter().flatten().find_map(|name| {
            let text = env(&name).filter(|text| !text.is_empty())?;
            Some((name, text))
        });
        let (name, text) = found?;
        Some(Given { option, texts: split(option, &text), source: Source::Env(name) })
    });
    set.collect()
}

/// Lists are separated by commas in the environment.
fn split(option: &Declaration, text: &str) -> Vec<String> {
    if option.shape == Shape::List {
        text.split(',').map(|part| part.trim().to_owned()).collect()
    } else {
        vec![text.to_owned()]
    }
}

fn from_file(file: &Given, reading: Reading) -> Result<Vec<Given>, Failure> {
    let path = file.texts.last().map_or("", String::as_str);
    let source = Source::File(path.to_owned());
    let wrong =
        |cause: String| source.failure(format!("cannot use the configuration file `{path}`")).because(cause);
    let text = reading.text(Path::new(path)).map_err(|error| wrong(error.to_string()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    let mut layer = Vec::new();
    for (key, value) in table {
        let name = key.replace('_', "-");
        let Some(option) = in_files().find(|option| option.is_called(&name)) else {
            return Err(wrong(format!("there is no option `{key}`")).hint(similar(&name)));
        };
        let texts = texts_of(&value)
            .ok_or_else(|| wrong(format!("`{key}` is neither text, number, flag nor a list")))?;
        layer.push(Given { option, texts, source: source.clone() });
    }
    Ok(layer)
}

/// The options that a file may set.
pub(crate) fn in_files() -> impl Iterator<Item = &'static Declaration> {
    Settings::options().filter(|option| !option.argv_only && option.name != Program::config().name)
}

fn texts_of(value: &toml::Value) -> Option<Vec<String>> {
    Some(match value {
        toml::Value::String(text) => vec![text.clone()],
        toml::Value::Integer(number) => vec![number.to_string()],
        toml::Value::Float(number) => vec![number.to_string()],
        toml::Value::Boolean(flag) => vec![flag.to_string()],
        toml::Value::Array(items) => {
            items.iter().map(texts_of).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect()
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => return None,
    })
}

fn similar(name: &str) -> String {
    let close = in_files().map(|option| option.name).find(|known| {
        known.starts_with(name) || name.starts_with(known) || known.replace('-', "") == name.replace('-', "")
    });
    close.map_or_else(
        || "`hostler --help` lists all options".into(),
        |known| format!("did you mean `{known}`?"),
    )
}
