//! The TOML file: each value has the type of its option, so that a misplaced one is not read as something else.

use crate::{
    layers::{Given, in_files},
    names,
    reading::Reading,
    source::Source,
};
use hostler_settings::{Declaration, Shape};
use hostler_wire::Failure;
use std::{collections::BTreeMap, path::Path};
use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

/// What the file that `--config` names sets.
pub(crate) fn layer(file: &Given, reading: Reading) -> Result<Vec<Given>, Failure> {
    let path = file.texts.last().map_or("", String::as_str);
    let text = reading.text(Path::new(path)).map_err(|error| unusable(path, error.to_string()))?;
    from_text(path, &text)
}

fn unusable(path: &str, cause: String) -> Failure {
    let source = Source::File(path.to_owned());
    source.failure(format!("cannot use the configuration file `{path}`")).because(cause)
}

/// What the text of a file sets.
pub(crate) fn from_text(path: &str, text: &str) -> Result<Vec<Given>, Failure> {
    let source = Source::File(path.to_owned());
    let wrong = |cause: String| unusable(path, cause);
    let table = DeTable::parse(text).map_err(|error| wrong(error.to_string()))?.into_inner();
    let (mut layer, mut seen) = (Vec::new(), BTreeMap::new());
    for (key, value) in &table {
        let key = key.get_ref();
        let name = key.replace('_', "-");
        let Some(option) = in_files().find(|option| option.is_called(&name)) else {
            let hint = names::hint(&name, in_files());
            return Err(wrong(format!("there is no option `{key}`")).hint(hint));
        };
        if let Some(other) = seen.insert(option.name, key) {
            return Err(wrong(format!("`{other}` and `{key}` are two names of one option")));
        }
        let texts = texts(option, value.get_ref()).ok_or_else(|| wrong_type(&source, option, value, text))?;
        layer.push(Given { option, texts, source: source.clone() });
    }
    Ok(layer)
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
        (Shape::List, DeValue::Array(items)) => return items.iter().map(item).collect(),
        _ => return None,
    };
    Some(vec![text])
}

fn item(item: &Spanned<DeValue<'_>>) -> Option<String> {
    item.get_ref().as_str().map(str::to_owned)
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
