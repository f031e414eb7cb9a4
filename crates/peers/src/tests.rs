//! What becomes of command lines and environments.

mod census;
mod commands;
mod files;
mod grammar;
mod storms;

use crate::{NoFiles, Outcome, Peer, Place, Translation, translate, words};
use std::{collections::BTreeMap, ffi::OsString};

type Variables<'a> = &'a [(&'a str, &'a str)];

/// `gunicorn -w 4 app:app`, as a shell would read it.
fn translation(line: &str, variables: Variables<'_>) -> Translation {
    try_translation(line, variables).unwrap_or_else(|failure| panic!("{line}: {failure:?}"))
}

fn try_translation(line: &str, variables: Variables<'_>) -> Result<Translation, hostler_wire::Failure> {
    let mut words = words::split(line).unwrap();
    let peer = Peer::from_name(&words.remove(0)).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value)));
    translate(peer, words, &variables.collect::<BTreeMap<_, _>>(), &NoFiles)
}

/// What the user's own words set, as hostler's command line.
fn own(line: &str, variables: Variables<'_>) -> String {
    let mut translation = translation(line, variables);
    translation.entries.retain(|entry| entry.origin.place != Place::Default);
    assert!(translation.refusal().is_none(), "{line}: {:?}", translation.refusal());
    translation.command_line().trim_start_matches("hostler").trim().to_owned()
}

/// All settings, with what the peer does by itself.
fn all(line: &str, variables: Variables<'_>) -> BTreeMap<&'static str, String> {
    let translation = translation(line, variables);
    let mut all = BTreeMap::new();
    let places: [fn(&Place) -> bool; 2] =
        [|place| *place != Place::Default, |place| *place == Place::Default];
    for place in places {
        for (_, setting) in translation.settings(place) {
            all.entry(setting.option.name).or_insert_with(|| setting.texts.join(","));
        }
    }
    all
}

/// Why a command line is refused, and what to do.
fn refusal(line: &str) -> String {
    let failure = match try_translation(line, &[]) {
        Ok(translation) => translation.refusal().unwrap_or_else(|| panic!("{line} is not refused")),
        Err(failure) => failure,
    };
    failure.text()
}

/// The reasons why something has no effect.
fn reasons(line: &str) -> Vec<String> {
    let entries = translation(line, &[]).entries;
    let reasons = entries.into_iter().filter_map(|entry| match entry.outcome {
        Outcome::NoEffect(reason) => Some(format!("{}: {reason}", entry.origin.written)),
        Outcome::Sets(..) | Outcome::Lost(_) | Outcome::Refused { .. } | Outcome::Replaced(_) => None,
    });
    reasons.collect()
}
