//! The TOML file: each value has the type of its option, so that a misplaced one is not read as something else.

use crate::{
    layers::{Given, in_files},
    names,
    reading::Reading,
    source::Source,
};
use hostler_settings::{Declaration, Shape};
use hostler_wire::{ExitStatus, Failure};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};
use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

/// What a file sets, and what is wrong with the rest.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) given: Vec<Given>,
    pub(crate) mistakes: Vec<Failure>,
}

/// What the file that `--config` names sets.
pub(crate) fn layer(file: &Given, reading: Reading) -> Result<Contents, Failure> {
    let path = file.texts.last().map_or("", String::as_str);
    let text = reading.text(Path::new(path)).map_err(|error| unusable(path, error.to_string()))?;
    from_text(path, &text)
}

fn unusable(path: &str, cause: String) -> Failure {
    Failure::new(ExitStatus::Config, format!("cannot use the configuration file `{path}`")).because(cause)
}

/// What the text of a file sets; an error if it is no TOML.
pub(crate) fn from_text(path: &str, text: &str) -> Result<Contents, Failure> {
    let table = DeTable::parse(text).map_err(|error| unusable(path, error.to_string()))?.into_inner();
    let mut pairs: Vec<_> = table.iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    let (mut contents, mut seen) = (Contents::default(), BTreeMap::new());
    for (key, value) in pairs {
        let line = text.get(..key.span().start).unwrap_or_default().matches('\n').count() + 1;
        match pair((path, line), key.get_ref(), value, text, &mut seen) {
            Ok(given) => contents.given.push(given),
            Err(mistake) => contents.mistakes.push(mistake),
        }
    }
    Ok(contents)
}

/// What one line sets. `seen` are the options that lines before it set, with the names that they had there.
fn pair<'a>(
    (path, line): (&str, usize),
    key: &'a str,
    value: &Spanned<DeValue<'_>>,
    text: &str,
    seen: &mut BTreeMap<&'static str, &'a str>,
) -> Result<Given, Failure> {
    let wrong = |cause: String| unusable(path, format!("line {line}: {cause}"));
    let name = key.replace('_', "-");
    let option = in_files().find(|option| option.is_called(&name));
    if option.is_none_or(|option| option.table.is_none()) && is_section(value, text) {
        let wrong = wrong(format!("`{key}` is a section, and the file has none"));
        return Err(wrong.hint("write each option by itself, as `workers = 2`"));
    }
    let option = option.ok_or_else(|| wrong(format!("there is no option `{key}`")).hint(hint(&name)))?;
    if let Some(other) = seen.insert(option.name, key) {
        return Err(wrong(format!("`{other}` and `{key}` are two names of one option")));
    }
    let source = Source::File { path: path.to_owned(), line };
    let texts = texts(option, value.get_ref()).ok_or_else(|| wrong_type(&source, option, value, text))?;
    Ok(Given { option, texts, source })
}

/// Whether it is a table of `[name]` or `name.key = …`, and none in braces.
fn is_section(value: &Spanned<DeValue<'_>>, file: &str) -> bool {
    let in_braces = file.get(value.span()).is_some_and(|text| text.starts_with('{'));
    matches!(value.get_ref(), DeValue::Table(_)) && !in_braces
}

/// What may have been meant by a name.
fn hint(name: &str) -> String {
    let positive = name.strip_prefix("no-").and_then(|name| in_files().find(|option| option.is_called(name)));
    match positive.filter(|option| option.has_negation()) {
        Some(option) => format!("write `{} = false`", option.name),
        None => names::hint(name, in_files()),
    }
}

/// A value as text; `None` for one of a type that the option does not have.
fn texts(option: &Declaration, value: &DeValue<'_>) -> Option<Vec<String>> {
    let text = match (option.shape, value) {
        (Shape::Flag | Shape::OptionalChoice { .. }, DeValue::Boolean(flag)) => flag.to_string(),
        (Shape::OptionalChoice { names, .. }, DeValue::String(text)) if !names.contains(&text.as_ref()) => {
            return None;
        }
        (Shape::Flag | Shape::Number, DeValue::String(_)) => return None,
        (_, DeValue::String(text)) => text.to_string(),
        (Shape::Octal, DeValue::Integer(number)) => octal(number)?,
        (
            Shape::Number | Shape::NumberOrText | Shape::Duration | Shape::Choice(_),
            DeValue::Integer(number),
        ) => whole(number),
        // A whole one is written as that.
        (Shape::Number | Shape::NumberOrText | Shape::Duration, DeValue::Float(number)) => {
            number.as_str().parse::<f64>().ok()?.to_string()
        }
        (Shape::List, DeValue::Table(table)) if option.table.is_some() => json(table)?.to_string(),
        (Shape::List, DeValue::Array(items)) => {
            return items.iter().map(|value| item(option, value)).collect();
        }
        _ => return None,
    };
    Some(vec![text])
}

fn item(option: &Declaration, item: &Spanned<DeValue<'_>>) -> Option<String> {
    match item.get_ref() {
        DeValue::Table(table) if option.table.is_some() => Some(json(table)?.to_string()),
        value => value.as_str().map(str::to_owned),
    }
}

/// A table as JSON; its names with dashes.
fn json(table: &DeTable<'_>) -> Option<Value> {
    let pairs = table.iter().map(|(key, value)| {
        let value = match value.get_ref() {
            DeValue::Table(table) => headers(table)?,
            DeValue::String(text) => Value::from(text.to_string()),
            DeValue::Boolean(flag) => Value::from(*flag),
            DeValue::Integer(number) => Value::from(whole(number).parse::<i64>().ok()?),
            DeValue::Float(number) => Value::from(number.as_str().parse::<f64>().ok()?),
            DeValue::Array(items) => {
                let texts = items.iter().map(|item| item.get_ref().as_str().map(Value::from));
                Value::Array(texts.collect::<Option<_>>()?)
            }
            DeValue::Datetime(_) => return None,
        };
        Some((key.get_ref().replace('_', "-"), value))
    });
    Some(Value::Object(pairs.collect::<Option<_>>()?))
}

/// A table within a table: names as they are, and texts.
fn headers(table: &DeTable<'_>) -> Option<Value> {
    let pairs = table
        .iter()
        .map(|(key, value)| Some((key.get_ref().to_string(), Value::from(value.get_ref().as_str()?))));
    Some(Value::Object(pairs.collect::<Option<_>>()?))
}

fn whole(number: &DeInteger<'_>) -> String {
    let value = i64::from_str_radix(number.as_str(), number.radix());
    value.map_or_else(|_| number.to_string(), |value| value.to_string())
}

/// `0o27`. A decimal 27 may be meant as either, so that it is refused; one digit is the same in both.
fn octal(number: &DeInteger<'_>) -> Option<String> {
    let value = u32::from_str_radix(number.as_str(), number.radix()).ok()?;
    (number.radix() != 10 || value < 8).then(|| format!("0o{value:o}"))
}

fn wrong_type(source: &Source, option: &Declaration, value: &Spanned<DeValue<'_>>, file: &str) -> Failure {
    let spelled = file.get(value.span()).and_then(|text| text.lines().next()).unwrap_or_default();
    let expected = option.expected();
    let form = match option.shape {
        Shape::Flag | Shape::Number => format!("{expected}, without quotes"),
        Shape::Text | Shape::Choice(_) => format!("{expected}, in quotes"),
        Shape::List => format!("{expected}, in quotes, or a list of such"),
        Shape::Octal => {
            let digits = option.example.unwrap_or_default().trim_start_matches('0');
            format!("{expected}, as \"0{digits}\" or 0o{digits}: without quotes or 0o it would be decimal")
        }
        Shape::OptionalChoice { .. } | Shape::NumberOrText | Shape::Duration => expected,
    };
    source.invalid(option, spelled).because(format!("it must be {form}"))
}
