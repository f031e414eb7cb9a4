//! uWSGI's INI files: the section `[uwsgi]`, with placeholders.

use serde_json::{Map, Value};

/// The options of a file, each with its values; `true` for those without one.
pub(crate) fn parse(text: &str) -> Map<String, Value> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut is_ours = true;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_ours = section == "uwsgi";
        } else if is_ours && !line.is_empty() && !line.starts_with(['#', ';']) {
            let (name, value) = line.split_once('=').unwrap_or((line, "true"));
            let value = expanded(value.trim(), &all);
            all.push((name.trim().replace('_', "-"), value));
        }
    }
    // Names that are there for other values alone.
    let is_placeholder = |name: &str| {
        let used =
            text.contains(&format!("%({name})")) || text.contains(&format!("%({})", name.replace('-', "_")));
        used && !super::ROWS.iter().any(|row| row.is_called(name))
    };
    let mut options = Map::new();
    for (name, value) in
        all.into_iter().filter(|(name, _)| !is_placeholder(name) && !name.starts_with("set-p"))
    {
        let values = options.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(values) = values {
            values.push(value.into());
        }
    }
    options
}

/// `%(name)`: the value of an option above.
fn expanded(value: &str, above: &[(String, String)]) -> String {
    let mut text = value.to_owned();
    for (name, value) in above {
        let placeholder = match (name.as_str(), value.split_once('=')) {
            ("set-placeholder" | "set-ph", Some((name, value))) => (name.to_owned(), value),
            _ => (name.clone(), value.as_str()),
        };
        text = text.replace(&format!("%({})", placeholder.0), placeholder.1);
        text = text.replace(&format!("%({})", placeholder.0.replace('-', "_")), placeholder.1);
    }
    text
}
