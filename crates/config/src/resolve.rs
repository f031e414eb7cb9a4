//! Values from all sources, checked by their declarations.

use crate::{
    command::Given,
    duration,
    error::{Error, Source},
    reading::Reading,
    table::{Effect, Kind, OPTIONS, Spec, find},
};
use std::{collections::BTreeMap, fmt::Write as _, path::Path, time::Duration};

/// Every option's value, as text that has been checked, and where it was set.
#[derive(Debug)]
pub(crate) struct Values(BTreeMap<&'static str, Value>);

#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) texts: Vec<String>,
    pub(crate) source: Source,
}

impl Values {
    /// Command line before environment before file before default.
    pub(crate) fn collect(
        given: Given,
        env: &dyn Fn(&str) -> Option<String>,
        reading: Reading,
    ) -> Result<Self, Error> {
        let mut values = BTreeMap::new();
        for (name, texts) in given {
            values.insert(name, Value { texts, source: Source::Argv });
        }
        for spec in OPTIONS.iter().filter(|spec| !spec.is_printer()) {
            if let Some((name, text)) = from_env(spec, env) {
                let texts = split(spec, &text);
                values.entry(spec.name).or_insert(Value { texts, source: Source::Env(name) });
            }
        }
        if let Some(file) = values.get("config").cloned() {
            for (name, value) in read_file(&file, reading)? {
                values.entry(name).or_insert(value);
            }
        }
        for (name, value) in &values {
            if let Some(spec) = find(name) {
                check(spec, value)?;
            }
        }
        for spec in OPTIONS {
            let texts = if spec.default.is_empty() { Vec::new() } else { vec![spec.default.into()] };
            values.entry(spec.name).or_insert(Value { texts, source: Source::Default });
        }
        Ok(Self(values))
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.texts.last().map(String::as_str).filter(|text| !text.is_empty())
    }

    pub(crate) fn texts(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], |value| &value.texts)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    pub(crate) fn int(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    pub(crate) fn duration(&self, name: &str) -> Option<Duration> {
        duration::parse(self.text(name)?)
    }

    pub(crate) fn source(&self, name: &str) -> Source {
        self.0.get(name).map_or(Source::Default, |value| value.source.clone())
    }

    /// The options that were set and do nothing yet: name, value, source.
    pub(crate) fn not_in_effect(&self) -> Vec<String> {
        let set = OPTIONS.iter().filter(|spec| spec.effect == Effect::Later);
        set.filter_map(|spec| {
            let value = self.0.get(spec.name).filter(|value| value.source != Source::Default)?;
            let shown = match (spec.kind, value.texts.join(" ").as_str()) {
                (Kind::Flag, "true") => format!("--{}", spec.name),
                (Kind::Flag, _) => format!("--no-{}", spec.name),
                (_, text) => format!("--{} {text}", spec.name),
            };
            Some(format!("{shown} ({})", value.source))
        })
        .collect()
    }

    /// All options, for `--print-config`.
    pub(crate) fn listing(&self) -> String {
        let mut listing = String::new();
        for spec in OPTIONS.iter().filter(|spec| !spec.is_printer()) {
            if let Some(value) = self.0.get(spec.name) {
                let text = value.texts.join(" ");
                let later = if spec.effect == Effect::Later { ", not yet in effect" } else { "" };
                let _ = writeln!(listing, "{:38} {text:24} # {}{later}", spec.name, value.source);
            }
        }
        listing
    }
}

fn from_env(spec: &Spec, env: &dyn Fn(&str) -> Option<String>) -> Option<(String, String)> {
    let own = spec.env_name();
    let common = (spec.name == "workers").then(|| "WEB_CONCURRENCY".to_owned());
    [Some(own), common].into_iter().flatten().find_map(|name| {
        let text = env(&name).filter(|text| !text.is_empty())?;
        Some((name, text))
    })
}

/// Lists are separated by commas in the environment.
fn split(spec: &Spec, text: &str) -> Vec<String> {
    match spec.kind {
        Kind::List => text.split(',').map(|part| part.trim().to_owned()).collect(),
        _ => vec![text.to_owned()],
    }
}

fn read_file(file: &Value, reading: Reading) -> Result<Vec<(&'static str, Value)>, Error> {
    let path = file.texts.last().map_or("", String::as_str);
    let source = Source::File(path.to_owned());
    let wrong = |cause: String| {
        Error::at(&source, format!("cannot use the configuration file `{path}`")).because(cause)
    };
    let text = reading.text(Path::new(path)).map_err(|error| wrong(error.to_string()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    let mut values = Vec::new();
    for (key, value) in table {
        let name = key.replace('_', "-");
        let Some(spec) = find(&name).filter(|spec| !spec.is_printer() && spec.name != "config") else {
            return Err(wrong(format!("there is no option `{key}`")).hint(similar(&name)));
        };
        let texts = texts_of(&value)
            .ok_or_else(|| wrong(format!("`{key}` is neither text, number, flag nor a list")))?;
        values.push((spec.name, Value { texts, source: source.clone() }));
    }
    Ok(values)
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
    let close = OPTIONS.iter().map(|spec| spec.name).find(|known| {
        known.starts_with(name) || name.starts_with(known) || known.replace('-', "") == name.replace('-', "")
    });
    close.map_or_else(
        || "`hostler --help` lists all options".into(),
        |known| format!("did you mean `{known}`?"),
    )
}

fn check(spec: &Spec, value: &Value) -> Result<(), Error> {
    if let Effect::Refused(instead) = spec.effect
        && !(matches!(spec.kind, Kind::Flag) && value.texts.last().is_some_and(|text| text == "false"))
    {
        let message = format!("--{} cannot be used ({})", spec.name, value.source);
        return Err(Error::at(&value.source, message).because(instead));
    }
    for text in &value.texts {
        if let Some(expected) = expected(spec.kind, text) {
            let message = format!("invalid value '{text}' for --{} ({})", spec.name, value.source);
            return Err(Error::at(&value.source, message).because(format!("it must be {expected}")));
        }
    }
    Ok(())
}

/// What a value should have been, if it is not.
fn expected(kind: Kind, text: &str) -> Option<String> {
    let in_range = |min, max| text.parse::<u64>().is_ok_and(|number| (min..=max).contains(&number));
    match kind {
        Kind::Text | Kind::List => None,
        Kind::Flag => (!matches!(text, "true" | "false")).then(|| "true or false".into()),
        Kind::Choice(choices) => (!choices.contains(&text)).then(|| format!("one of {}", choices.join(", "))),
        Kind::OptionalChoice(choices, _) => (!choices.contains(&text) && !matches!(text, "true" | "false"))
            .then(|| format!("true, false or one of {}", choices.join(", "))),
        Kind::Int(min, max) => (!in_range(min, max)).then(|| format!("a whole number from {min} to {max}")),
        Kind::IntOrAuto(min, max) => (text != "auto" && !in_range(min, max))
            .then(|| format!("auto, or a whole number from {min} to {max}")),
        Kind::Duration(min, max) => {
            let range = Duration::from_secs(min)..=Duration::from_secs(max);
            let fits = duration::parse(text).is_some_and(|duration| range.contains(&duration));
            (!fits).then(|| format!("a duration from {min} s to {max} s, such as 90, 1.5, 500ms or 1d2h3m4s"))
        }
    }
}
