//! Files of settings that peers have: `gunicorn.conf.py`, and Hypercorn's TOML and Python.

use crate::{
    item::{Place, Said},
    peer::Peer,
    row::{Row, Takes},
};
use serde_json::Value;

/// Which file there is to read: the option's, else the default one if it is there.
pub(crate) fn location(peer: Peer, said: &[Said], exists: impl Fn(&str) -> bool) -> Option<&str> {
    let mut named = said.iter().filter(|said| said.row.name() == "--config");
    let chosen = named.clone().next().map(|first| first.place.clone());
    let last =
        named.rfind(|said| Some(&said.place) == chosen.as_ref()).and_then(|said| said.value.as_deref());
    last.or_else(|| peer.default_file().filter(|name| exists(name)))
}

/// What a file sets. Names that are no settings are the file's own, as in Gunicorn.
pub(crate) fn said(peer: Peer, location: &str, settings: &serde_json::Map<String, Value>) -> Vec<Said> {
    settings.iter().flat_map(|(name, value)| of_setting(peer, location, name, value)).collect()
}

fn of_setting(peer: Peer, location: &str, setting: &str, value: &Value) -> Vec<Said> {
    let Some(row) = row(peer, setting) else { return Vec::new() };
    let said = |value: Option<String>, off| Said {
        row,
        name: setting.to_owned(),
        value,
        off,
        place: Place::File(location.to_owned()),
    };
    match (row.takes, value) {
        (_, Value::Null) => Vec::new(),
        // `sendfile = False` is `--no-sendfile`.
        (Takes::Nothing, Value::Bool(on)) => vec![said(None, *on == (setting == "sendfile"))],
        (Takes::Nothing, Value::String(text)) => vec![said(None, !text.trim().eq_ignore_ascii_case("true"))],
        (Takes::Nothing, value) => vec![said(None, value.as_f64() == Some(0.0))],
        (Takes::Values, Value::Array(items)) => {
            items.iter().map(|item| said(Some(text(item)), false)).collect()
        }
        (_, Value::Array(items)) if items.is_empty() => Vec::new(),
        (_, Value::Array(items)) => {
            let texts: Vec<_> = items.iter().map(text).collect();
            vec![said(Some(texts.join(",")), false)]
        }
        (_, value) => vec![said(Some(text(value)), false)],
    }
}

/// The names of all settings that a file of the peer's may have.
pub(crate) fn names(peer: Peer) -> Vec<String> {
    let of_options = peer.rows().iter().map(|row| row.name().trim_start_matches('-').replace('-', "_"));
    of_options.chain(peer.setting_names().iter().map(|(name, _)| (*name).to_owned())).collect()
}

/// Whether it is a setting of the peer's.
pub(crate) fn knows(peer: Peer, setting: &str) -> bool {
    row(peer, setting).is_some()
}

fn row(peer: Peer, setting: &str) -> Option<&'static Row> {
    let other = peer
        .setting_names()
        .iter()
        .find(|(name, _)| *name == setting)
        .map(|(_, option)| (*option).to_owned());
    let option = other.unwrap_or_else(|| format!("--{}", setting.replace('_', "-")));
    let rows = peer.rows();
    rows.iter().find(|row| row.is_called(setting)).or_else(|| rows.iter().find(|row| row.is_called(&option)))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
