//! Outcomes for people.

use hostler_wire::control::{Command, ConfigEntry};
use serde_json::Value;
use std::fmt::Write as _;

/// What is printed of an outcome.
pub(crate) fn text(command: Command, message: &str, result: &Value) -> String {
    match command {
        Command::Config { changes: false } => options(result),
        Command::Config { changes: true } => changes(result),
        _ => format!("{message}\n"),
    }
}

fn entry(value: &Value) -> Option<ConfigEntry> {
    serde_json::from_value(value.clone()).ok()
}

fn options(result: &Value) -> String {
    let mut text = String::new();
    for ConfigEntry { option, value, source } in
        result["options"].as_array().into_iter().flatten().filter_map(entry)
    {
        let _ = writeln!(text, "{option:38} {value:24} # {source}");
    }
    text
}

fn changes(result: &Value) -> String {
    let mut text = String::new();
    for change in result["changes"].as_array().into_iter().flatten() {
        let (Some(old), Some(new)) = (entry(&change["running"]), entry(&change["found"])) else { continue };
        let _ = writeln!(text, "-{:38} {:24} # {}", old.option, old.value, old.source);
        let _ = writeln!(text, "+{:38} {:24} # {}", new.option, new.value, new.source);
    }
    if text.is_empty() { "a reload would find no option changed\n".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::text;
    use hostler_wire::control::Command;
    use serde_json::json;

    #[test]
    fn outcomes_are_lines() {
        assert_eq!(text(Command::Reload, "reloaded", &json!({})), "reloaded\n");
        let workers = |value: &str| json!({"option": "workers", "value": value, "source": "default"});
        let config = text(Command::Config { changes: false }, "", &json!({"options": [workers("2")]}));
        assert!(
            config.starts_with("workers  ") && config.ends_with(" 2                        # default\n"),
            "{config}"
        );
        let both = json!({"changes": [{"running": workers("2"), "found": workers("4")}]});
        let changed = text(Command::Config { changes: true }, "", &both);
        assert!(changed.starts_with("-workers") && changed.contains("\n+workers"), "{changed}");
        assert!(text(Command::Config { changes: true }, "", &json!({"changes": []})).contains("no option"));
    }
}
