//! A line as a JSON object: numbers are numbers, booleans are booleans.

use super::{
    record::{Record, Value},
    text,
};
use std::fmt::Write as _;

/// The whole line, with its line feed.
pub(super) fn line(record: &Record, stamp: &str) -> String {
    let mut line = String::from("{");
    add(&mut line, "timestamp", stamp);
    add(&mut line, "level", text::level(record.level));
    add(&mut line, "message", record.message.as_str());
    for (name, value) in &record.fields {
        match value {
            Value::Text(value) | Value::Shown(value) => add(&mut line, name, value.as_str()),
            Value::Integer(value) => add(&mut line, name, *value),
            Value::Natural(value) => add(&mut line, name, *value),
            Value::Float(value) => add(&mut line, name, *value),
            Value::Truth(value) => add(&mut line, name, *value),
        }
    }
    line.push_str("}\n");
    line
}

fn add(line: &mut String, name: &str, value: impl Into<serde_json::Value>) {
    if line.len() > 1 {
        line.push(',');
    }
    // Names are identifiers.
    line.push('"');
    line.push_str(name);
    line.push_str("\":");
    for c in value.into().to_string().chars() {
        // ASCII's controls are escaped already; this is what remains that a terminal or a viewer may act on.
        if c.is_control() || text::is_invisible(c) {
            let _ = write!(line, "\\u{:04x}", u32::from(c));
        } else {
            line.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn values_keep_their_types() {
        let mut record = Record::new(Level::INFO, "said \"so\"\n".into())
            .with("path", Some("/ä\u{1}\u{7f}\u{9b}\u{2028}"));
        record.fields.extend([
            ("count", Value::Natural(u64::MAX)),
            ("change", Value::Integer(-1)),
            ("seconds", Value::Float(0.25)),
            ("unknown", Value::Float(f64::NAN)),
            ("tls", Value::Truth(true)),
        ]);
        let line = line(&record, "now");
        assert!(line.ends_with("}\n") && line.lines().count() == 1);
        assert!(!line.trim_end().contains(|c: char| c.is_control() || text::is_invisible(c)), "{line:?}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({
            "timestamp": "now", "level": "INFO", "message": "said \"so\"\n", "path": "/ä\u{1}\u{7f}\u{9b}\u{2028}",
            "count": u64::MAX, "change": -1, "seconds": 0.25, "unknown": null, "tls": true,
        });
        assert_eq!(read, expected);
    }
}
