//! `hostler migrate`: a peer's file of settings as a file of hostler's.

use crate::{
    files::{Files, Script},
    item::Place,
    peer::Peer,
    settings_file, translate,
    translate::{Outcome, Setting, Translation},
    uwsgi,
};
use hostler_settings::Shape;
use hostler_wire::Failure;
use std::{collections::BTreeSet, fmt::Write as _};

/// A file of hostler's that means what a file of Gunicorn, Hypercorn or uWSGI does.
///
/// # Errors
/// If it cannot be read.
pub fn migrate(path: &str, files: &dyn Files) -> Result<String, Failure> {
    let (peer, settings) = if path.ends_with(".ini") {
        (Peer::Uwsgi, uwsgi::parse(&files.text(path)?))
    } else if path.ends_with(".toml") {
        (Peer::Hypercorn, files.toml(path)?)
    } else {
        let names = settings_file::names(Peer::Gunicorn);
        (Peer::Gunicorn, files.settings(&Script { location: path, names: &names, user: None })?)
    };
    let unknown: Vec<_> = match peer {
        Peer::Uwsgi => settings.keys().filter(|name| !settings_file::knows(peer, name)).cloned().collect(),
        // Other names are the file's own.
        _ => Vec::new(),
    };
    let translation = translate::of_said(peer, settings_file::said(peer, path, &settings));
    Ok(file(path, &translation, &unknown))
}

fn file(path: &str, translation: &Translation, unknown: &[String]) -> String {
    let mut text = format!("# From {path}, by `hostler migrate`. Serve with: hostler --config FILE\n\n");
    let mut seen = BTreeSet::new();
    let (own, by_itself): (Vec<_>, Vec<_>) =
        translation.entries.iter().partition(|entry| entry.origin.place != Place::Default);
    for entry in own.iter().chain(&by_itself) {
        match &entry.outcome {
            Outcome::Sets(settings, note) => {
                for setting in settings.iter().filter(|setting| seen.insert(setting.option.name)) {
                    write_setting(&mut text, setting, note.as_deref());
                }
            }
            Outcome::NoEffect(_) | Outcome::Lost(_) | Outcome::Refused { .. } | Outcome::Replaced(_) => {}
        }
    }
    write_rest(&mut text, translation, unknown);
    text
}

fn write_setting(text: &mut String, setting: &Setting, note: Option<&str>) {
    let value = value(setting);
    let _ = match note {
        Some(note) => writeln!(text, "{} = {value}  # {note}", setting.option.name),
        None => writeln!(text, "{} = {value}", setting.option.name),
    };
}

/// What became nothing, as comments.
fn write_rest(text: &mut String, translation: &Translation, unknown: &[String]) {
    for (origin, reason) in translation.without_effect() {
        let _ = writeln!(text, "# not needed: {}: {reason}", origin.written.replace('\n', " "));
    }
    for entry in &translation.entries {
        let written = entry.origin.written.replace('\n', " ");
        let _ = match &entry.outcome {
            Outcome::Refused { why, instead } => writeln!(text, "# TO DO: {written}: {why}; {instead}"),
            Outcome::Lost(reason) => writeln!(text, "# TO DO: {written}: {reason}"),
            Outcome::Sets(..) | Outcome::NoEffect(_) | Outcome::Replaced(_) => Ok(()),
        };
    }
    for name in unknown {
        let _ = writeln!(
            text,
            "# TO DO: {name}: hostler does not know this option of {}",
            translation.peer.title()
        );
    }
}

/// A value with the type that it has in a file of hostler's.
fn value(setting: &Setting) -> String {
    let text = setting.texts.last().map_or("", String::as_str);
    let is_number = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    match setting.option.shape {
        Shape::Flag => text.to_owned(),
        Shape::Number | Shape::NumberOrText | Shape::Duration if is_number => text.to_owned(),
        Shape::List => {
            format!("[{}]", setting.texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
        }
        _ => quoted(text),
    }
}

/// A basic string of TOML, which has JSON's escapes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
