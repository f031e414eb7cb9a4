//! A log line before it is written: level, message, fields with their types.

use std::fmt;
use tracing::{
    Event, Level,
    field::{Field, Visit},
};

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A text, in quotes where lines are text.
    Text(String),
    /// A value that writes itself, such as an address.
    Shown(String),
    Integer(i64),
    Natural(u64),
    Float(f64),
    Truth(bool),
}

/// What a line says.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) level: Level,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, Value)>,
}

impl Record {
    pub(super) const fn new(level: Level, message: String) -> Self {
        Self { level, message, fields: Vec::new() }
    }

    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut record = Self::new(*event.metadata().level(), String::new());
        event.record(&mut record);
        record
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| *field == name)
    }

    /// Adds a text field, if there is one.
    pub(super) fn with(mut self, name: &'static str, text: Option<&str>) -> Self {
        self.fields.extend(text.map(|text| (name, Value::Text(text.to_owned()))));
        self
    }

    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text) | Value::Shown(text)) => self.message = text,
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Value::Text(without_number(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, Value::Shown(without_number(&format!("{value:?}"))));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::Integer(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::Natural(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Value::Float(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Truth(value));
    }
}

/// An error of the kernel in its own words: Rust adds ` (os error 2)` to them.
#[must_use]
pub fn without_number(text: &str) -> String {
    let Some((before, rest)) = text.split_once(" (os error ") else { return text.to_owned() };
    match rest.split_once(')') {
        Some((number, after)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{before}{}", without_number(after))
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_number;

    #[test]
    fn errors_of_the_kernel_lose_their_number() {
        assert_eq!(without_number("No such file (os error 2)"), "No such file");
        assert_eq!(without_number("a (os error 2): b (os error 13)!"), "a: b!");
        for text in ["plain", "(os error 2)", "a (os error two)", "a (os error 2"] {
            assert_eq!(without_number(text), text);
        }
    }
}
