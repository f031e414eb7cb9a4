//! The JSON schema of the TOML file, for editors that check it while it is written.

use crate::layers::in_files;
use hostler_settings::{Declaration, Effect, Shape};
use serde_json::{Map, Value, json};

pub(crate) fn schema() -> String {
    let names = in_files().flat_map(|option| {
        let names = [option.name].into_iter().chain(option.aliases.iter().copied());
        names.map(move |name| (name.to_owned(), property(option)))
    });
    let properties: Map<String, Value> = names.collect();
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hostler",
        "description": "Printed by `hostler --print-schema`; do not edit.",
        "type": "object",
        "properties": properties,
        "patternProperties": underscored(&properties),
        "additionalProperties": false,
    });
    format!("{schema:#}\n")
}

/// `graceful_timeout` is `graceful-timeout`.
fn underscored(properties: &Map<String, Value>) -> Value {
    let names = properties.keys().filter(|name| name.contains('-'));
    let patterns = names.map(|name| {
        (format!("^{}$", name.replace('-', "[-_]")), json!({ "$ref": format!("#/properties/{name}") }))
    });
    Value::Object(patterns.collect())
}

fn property(option: &Declaration) -> Value {
    let mut schema = values(option);
    schema.insert("description".into(), description(option).into());
    let default = option.default();
    if let Some(value) = default.last()
        && !matches!(option.effect, Effect::Refused(_))
    {
        let value = if option.shape == Shape::List { json!(default) } else { default_value(option, value) };
        schema.insert("default".into(), value);
    }
    Value::Object(schema)
}

fn description(option: &Declaration) -> String {
    match option.effect {
        Effect::Now | Effect::None(_) => option.help(),
        Effect::Refused(instead) => format!("{} ({instead})", option.help()),
    }
}

/// What TOML has for the values of an option; its ranges hold for numbers, not for texts with units.
fn values(option: &Declaration) -> Map<String, Value> {
    let number =
        |kind: &str| json!({ "type": kind, "minimum": option.rules.min, "maximum": option.rules.max });
    let schema = match option.shape {
        Shape::Flag if matches!(option.effect, Effect::Refused(_)) => json!({ "const": false }),
        _ if matches!(option.effect, Effect::Refused(_)) => json!({ "not": {} }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Text => text(option, 0),
        Shape::Choice(names) => json!({ "enum": choices(names) }),
        Shape::OptionalChoice { names, .. } => {
            json!({ "anyOf": [{ "type": "boolean" }, { "enum": names }] })
        }
        Shape::Octal => json!({ "anyOf": [number("integer"), text(option, 0)] }),
        Shape::Number => number("integer"),
        Shape::NumberOrText => json!({ "anyOf": [number("integer"), text(option, 1)] }),
        Shape::Duration => json!({ "anyOf": [number("number"), text(option, 1)] }),
        Shape::List => {
            let mut item = text(option, 0);
            if let Some(Ok(table)) = option.table.map(serde_json::from_str::<Value>) {
                item = json!({ "anyOf": [item, table] });
            }
            json!({ "anyOf": [item, { "type": "array", "items": item }] })
        }
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

fn text(option: &Declaration, least: usize) -> Value {
    let mut schema = json!({ "type": "string" });
    if let Some(pattern) = option.pattern {
        schema["pattern"] = pattern.into();
    }
    if least > 0 {
        schema["minLength"] = least.into();
    }
    schema
}

/// The names; those that are numbers can be written as numbers, too.
fn choices(names: &[&str]) -> Vec<Value> {
    let numbers = names.iter().filter_map(|name| name.parse::<u64>().ok()).map(Value::from);
    names.iter().map(|name| Value::from(*name)).chain(numbers).collect()
}

fn default_value(option: &Declaration, text: &str) -> Value {
    match option.shape {
        Shape::Flag => (text == "true").into(),
        Shape::Number | Shape::NumberOrText | Shape::Duration => match text.parse::<u64>() {
            Ok(number) => number.into(),
            Err(_) => text.parse::<f64>().map_or_else(|_| text.into(), Value::from),
        },
        Shape::List => json!([text]),
        Shape::Text | Shape::Octal | Shape::Choice(_) | Shape::OptionalChoice { .. } => text.into(),
    }
}
