//! The schema accepts what the program accepts from a TOML file.

use super::printed;
use crate::file::{Contents, from_text};
use hostler_settings::Settings;
use regex_lite::Regex;
use serde_json::{Map, Value, json};

/// What is tried with each option, beside its limits, names and default.
fn values() -> Vec<Value> {
    let numbers =
        json!([0, 1, 7, 8, -1, 23, 2000, 1.5, 3.0, -1.5, 0.25, true, false, [], ["x"], ["x", "y"], [1]]);
    let texts = json!([
        "",
        "x",
        "true",
        "false",
        "5",
        "+5",
        "-5",
        "5.",
        "1.5",
        "30s",
        "1h30m",
        "30m1h",
        "500ms",
        "+5ms",
        "ms",
        "64KiB",
        "64kib",
        "KiB",
        "auto",
        "027",
        "0o27",
        "0o",
        "999",
        "/x",
        "a:1",
        ":1",
        "a:b",
        "fd://3",
        "fd://x",
        "unix:/x",
        "unix:",
        "é",
        "warn",
        "strict",
        ["a:1", "unix:/x"],
        ["a:1", ""]
    ]);
    [numbers, texts].into_iter().flat_map(|list| list.as_array().cloned().unwrap()).collect()
}

/// Those that the schema of an option names.
fn named(schema: &Value) -> Vec<Value> {
    let parts = schema["anyOf"].as_array().into_iter().flatten().chain([schema]);
    let mut named: Vec<Value> =
        parts.clone().filter_map(|part| part["enum"].as_array()).flatten().cloned().collect();
    named.extend(schema.get("default").cloned());
    for limit in parts.flat_map(|part| [&part["minimum"], &part["maximum"]]).filter_map(Value::as_u64) {
        let near = [limit.checked_sub(1), Some(limit), limit.checked_add(1)];
        named.extend(near.into_iter().flatten().map(Value::from));
    }
    named
}

fn takes(schema: &Value, value: &Value) -> bool {
    schema.as_object().unwrap().iter().all(|(keyword, rule)| match keyword.as_str() {
        "description" | "default" => true,
        "not" => !takes(rule, value),
        "const" => rule == value,
        "anyOf" => rule.as_array().unwrap().iter().any(|schema| takes(schema, value)),
        "enum" => rule.as_array().unwrap().contains(value),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| takes(rule, item))),
        "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
        "minLength" => {
            value.as_str().is_none_or(|text| text.chars().count() as u64 >= rule.as_u64().unwrap())
        }
        // No value here is a table.
        "required" | "properties" | "additionalProperties" => true,
        "pattern" => {
            value.as_str().is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text))
        }
        "type" => is_a(rule.as_str().unwrap(), value),
        other => panic!("this test does not know `{other}`"),
    })
}

fn is_a(kind: &str, value: &Value) -> bool {
    match kind {
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("this test does not know the type `{other}`"),
    }
}

/// As TOML; modes in octal, as the program asks for, which JSON does not have.
fn toml(name: &str, value: &Value) -> String {
    match value.as_f64() {
        Some(number)
            if ["umask", "uds-permissions", "uds-mode"].contains(&name)
                && number.fract() == 0.0
                && number >= 0.0 =>
        {
            format!("0o{:o}", number as u64)
        }
        _ => value.to_string(),
    }
}

fn program_takes(name: &str, value: &Value) -> bool {
    let layer = from_text("", &format!("{name} = {}\n", toml(name, value)));
    layer.is_ok_and(|Contents { given, mistakes }| {
        mistakes.is_empty() && given.iter().all(|given| given.apply(&mut Settings::default()).is_ok())
    })
}

fn properties() -> (Map<String, Value>, Map<String, Value>) {
    let schema: Value = serde_json::from_str(&printed(&["--print-schema"], &[])).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let part = |name: &str| schema[name].as_object().unwrap().clone();
    (part("properties"), part("patternProperties"))
}

#[test]
fn schema_and_program_take_the_same_values() {
    let mut disagreements = Vec::new();
    for (name, schema) in &properties().0 {
        for value in values().into_iter().chain(named(schema)) {
            let (by_schema, by_program) = (takes(schema, &value), program_takes(name, &value));
            // A pattern has no ranges.
            let in_text = value.as_str().is_some_and(|text| text.contains(|c: char| c.is_ascii_digit()));
            if by_program && !by_schema || by_schema && !by_program && !in_text {
                disagreements.push(format!("{name} = {value}: schema {by_schema}, program {by_program}"));
            }
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
}

#[test]
fn schema_and_program_take_the_same_names() {
    let (properties, patterns) = properties();
    let known = |name: &str| {
        properties.contains_key(name)
            || patterns.keys().any(|pattern| Regex::new(pattern).unwrap().is_match(name))
    };
    for (name, taken) in [
        ("graceful-timeout", true),
        ("graceful_timeout", true),
        ("http1-keep_alive", true),
        ("root_path", true),
        ("Graceful-timeout", false),
        ("no_such_option", false),
        ("print_config", false),
        ("config", false),
        ("x_graceful_timeout", false),
    ] {
        let value =
            properties.get(&name.replace('_', "-")).map_or(json!(1), |schema| schema["default"].clone());
        let value = if value.is_null() { json!("/x") } else { value };
        assert_eq!((known(name), program_takes(name, &value)), (taken, taken), "{name}");
    }
}
