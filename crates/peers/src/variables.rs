//! Options in the environment, as click has them: a variable for each, and nothing in one that is empty.

use crate::{
    item::{Place, Said},
    peer::Peer,
    row::{Becomes, Row, Takes},
};
use hostler_wire::{ExitStatus, Failure};
use std::{collections::BTreeMap, ffi::OsString};

/// What the environment says of a peer's options.
pub(crate) fn said(peer: Peer, variables: &BTreeMap<String, OsString>) -> Result<Vec<Said>, Failure> {
    let mut all = Vec::new();
    for row in peer.rows().iter().filter(|row| !matches!(row.becomes, Becomes::Prints(_))) {
        let Some(name) = row.variable_name(peer.prefix()) else { continue };
        let Some(text) = variables.get(&name).filter(|text| !text.is_empty()) else { continue };
        let text = text.to_str().ok_or_else(|| {
            Failure::new(ExitStatus::Config, format!("the environment variable {name} is not UTF-8"))
        })?;
        all.extend(of_variable(row, &name, text)?);
    }
    Ok(all)
}

fn of_variable(row: &'static Row, name: &str, text: &str) -> Result<Vec<Said>, Failure> {
    let place = Place::Variable(name.to_owned());
    let said = |value: Option<&str>, off| Said {
        row,
        name: row.name().to_owned(),
        value: value.map(str::to_owned),
        off,
        place: place.clone(),
    };
    Ok(match row.takes {
        Takes::Nothing => {
            let on = truth(text).ok_or_else(|| {
                Failure::new(
                    ExitStatus::Config,
                    format!("invalid value '{text}' for {name} (environment variable)"),
                )
                .because("it must be one of 1, true, t, yes, y, on, 0, false, f, no, n, off")
            })?;
            vec![said(None, !on)]
        }
        Takes::Values if row.paths => text.split(':').map(|part| said(Some(part), false)).collect(),
        Takes::Values => text.split_whitespace().map(|part| said(Some(part), false)).collect(),
        Takes::Value | Takes::Optional(_) => vec![said(Some(text), false)],
    })
}

/// What a word says of a flag.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
        "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}
