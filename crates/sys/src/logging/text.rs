//! A line as text: time, level, message, `name=value`; what has several lines, such as a traceback, follows it.

use super::record::{Record, Value};
use std::fmt::Write as _;
use tracing::Level;

/// Part of a traceback, which is shown whole.
const IN_TRACEBACK: [&str; 2] = ["exception_type", "exception_message"];
/// Fields of several lines. Any other is on the line, whatever clients and applications put into it.
const BLOCKS: [&str; 2] = ["traceback", "stacks"];
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// The whole line, with its line feed.
pub(super) fn line(record: &Record, stamp: &str, colours: bool) -> String {
    let level = level(record.level);
    let mut text = if colours {
        format!("{DIM}{stamp}{RESET} {}{level:>5}{RESET} ", colour(record.level))
    } else {
        format!("{stamp} {level:>5} ")
    };
    add_said(&mut text, record, colours);
    text.push('\n');
    text
}

/// What a line says, without time and level.
pub(super) fn said(record: &Record) -> String {
    let mut text = String::new();
    add_said(&mut text, record, false);
    text
}

fn add_said(text: &mut String, record: &Record, colours: bool) {
    let (first, rest) = match record.message.split_once('\n') {
        Some((first, rest)) => (first, Some(rest)),
        None => (record.message.as_str(), None),
    };
    add_safe(text, first);
    let is_traceback = record.has("traceback");
    let shown = record.fields.iter().filter(|(name, _)| !is_traceback || !IN_TRACEBACK.contains(name));
    let (blocks, values): (Vec<_>, Vec<_>) = shown.partition(|(name, value)| is_block(name, value));
    for (name, value) in values {
        let _ = if colours { write!(text, " {DIM}{name}={RESET}") } else { write!(text, " {name}=") };
        add_value(text, value);
    }
    if let Some(rest) = rest {
        text.push('\n');
        add_safe(text, rest.trim_end());
    }
    for (name, value) in blocks {
        text.push('\n');
        if *name != "traceback" {
            let _ = writeln!(text, "{name}:");
        }
        add_safe(text, shown_text(value).trim_end());
    }
}

fn shown_text(value: &Value) -> &str {
    match value {
        Value::Text(text) | Value::Shown(text) => text,
        _ => "",
    }
}

fn is_block(name: &str, value: &Value) -> bool {
    BLOCKS.contains(&name) && shown_text(value).contains('\n')
}

fn add_value(text: &mut String, value: &Value) {
    let _ = match value {
        Value::Text(value) => return add_quoted(text, value),
        Value::Shown(value) if value.is_empty() || value.contains([' ', '"', '=', '\n']) => {
            return add_quoted(text, value);
        }
        Value::Shown(value) => return add_safe(text, value),
        Value::Integer(value) => write!(text, "{value}"),
        Value::Natural(value) => write!(text, "{value}"),
        Value::Float(value) => write!(text, "{value}"),
        Value::Truth(value) => write!(text, "{value}"),
    };
}

fn add_quoted(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        add_char(text, c, false);
    }
    text.push('"');
}

/// Text that controls no terminal.
fn add_safe(text: &mut String, value: &str) {
    value.chars().for_each(|c| add_char(text, c, true));
}

/// A line that another program has made, which may have colours (SGR of ECMA-48) and controls no terminal otherwise.
pub(super) fn harmless(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        let length = colour_at(rest).unwrap_or_else(|| {
            add_char(&mut text, c, true);
            0
        });
        text.push_str(&rest[..length]);
        rest = &rest[length.max(c.len_utf8())..];
    }
    text
}

/// How long the change of colours is that begins here: `ESC [ 1;31 m`.
fn colour_at(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\x1b[")?;
    let end = numbers.find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))?;
    (numbers[end..].starts_with('m')).then_some(end + 3)
}

fn add_char(text: &mut String, c: char, lines: bool) {
    match c {
        '\n' | '\t' if lines => text.push(c),
        '\n' => text.push_str("\\n"),
        '\t' => text.push_str("\\t"),
        '\r' => text.push_str("\\r"),
        c if c.is_control() || is_invisible(c) => {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        }
        c => text.push(c),
    }
}

/// Separators of lines and marks of direction, which let a line show what it does not say.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The word for a level.
pub(super) fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[1;31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        _ => "\x1b[34m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let mut record =
            Record::new(Level::WARN, "it broke".into()).with("path", Some("/a \"b\"\u{1b}[31m\n"));
        record.fields.push(("pid", Value::Natural(7)));
        record.fields.push(("error", Value::Shown("no such file".into())));
        record
    }

    #[test]
    fn fields_are_in_the_line_and_control_no_terminal() {
        let expected = "T  WARN it broke path=\"/a \\\"b\\\"\\u001b[31m\\n\" pid=7 error=\"no such file\"\n";
        assert_eq!(line(&record(), "T", false), expected);
    }

    #[test]
    fn what_has_several_lines_follows_the_line() {
        let record = record()
            .with("exception_type", Some("KeyError"))
            .with("traceback", Some("Traceback:\n  File\nKeyError: 1\n"))
            .with("stacks", Some("a\nb"));
        let text = line(&record, "T", false);
        let (_, rest) = text.split_once('\n').unwrap();
        assert_eq!(rest, "Traceback:\n  File\nKeyError: 1\nstacks:\na\nb\n");
    }

    #[test]
    fn lines_of_others_keep_their_colours_and_nothing_else_that_controls_a_terminal() {
        let colours = "\x1b[1;31mred\x1b[0m \x1b[m\tä\nb";
        assert_eq!(harmless(colours), colours);
        let others = "\x1b]0;title\x07 \x1b[2J \x1b[31 \x1b \u{9b}31m \u{202e}\r";
        assert_eq!(
            harmless(others),
            "\\u001b]0;title\\u0007 \\u001b[2J \\u001b[31 \\u001b \\u009b31m \\u202e\\r"
        );
    }

    #[test]
    fn colours_are_put_around_the_same_text() {
        let (plain, mut coloured) = (line(&record(), "T", false), line(&record(), "T", true));
        assert!(coloured.contains("\x1b[33m WARN\x1b[0m"));
        for code in [DIM, RESET, "\x1b[33m"] {
            coloured = coloured.replace(code, "");
        }
        assert_eq!(coloured, plain);
    }
}
