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
        // `graceful_timeout` is `graceful-timeout`.
        "patternProperties": { "_": {} },
        "additionalProperties": false,
    });
    format!("{schema:#}\n")
}

fn property(option: &Declaration) -> Value {
    let mut schema = values(option);
    schema.insert("description".into(), description(option).into());
    let default = option.default();
    if let Some(value) = default.last() {
        schema.insert("default".into(), default_value(option, value));
    }
    Value::Object(schema)
}

fn description(option: &Declaration) -> String {
    match option.effect {
        Effect::Now => option.help(),
        Effect::Later => format!("{} (not yet in effect)", option.help()),
        Effect::Refused(instead) => format!("{} ({instead})", option.help()),
    }
}

/// What TOML has for the values of an option.
fn values(option: &Declaration) -> Map<String, Value> {
    let number = json!({ "type": "number", "minimum": option.rules.min, "maximum": option.rules.max });
    let schema = match option.shape {
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Text => json!({ "type": "string" }),
        Shape::Choice(names) => json!({ "enum": names }),
        Shape::OptionalChoice { names, .. } => {
            json!({ "anyOf": [{ "type": "boolean" }, { "enum": names }] })
        }
        Shape::Number => {
            json!({ "type": "integer", "minimum": option.rules.min, "maximum": option.rules.max })
        }
        Shape::NumberOrText => json!({ "anyOf": [number, { "type": "string" }] }),
        Shape::List => {
            json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
        }
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

fn default_value(option: &Declaration, text: &str) -> Value {
    match option.shape {
        Shape::Flag => (text == "true").into(),
        Shape::Number | Shape::NumberOrText => match text.parse::<u64>() {
            Ok(number) => number.into(),
            Err(_) => text.parse::<f64>().map_or_else(|_| text.into(), Value::from),
        },
        Shape::List => json!([text]),
        Shape::Text | Shape::Choice(_) | Shape::OptionalChoice { .. } => text.into(),
    }
}
