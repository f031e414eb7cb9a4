//! What a name that a peer does not have may have been meant to be.

use crate::{
    peer::Peer,
    row::{Becomes, Row},
};
use hostler_settings::Declaration;

/// How similar names must be (Jaro-Winkler, from 0 to 1).
const SIMILAR: f64 = 0.85;

/// The most similar name.
pub(crate) fn similar(name: &str, rows: &'static [Row]) -> Option<&'static str> {
    let names = rows.iter().flat_map(|row| row.names.iter().copied().chain(row.negation));
    let rated = names.map(|known| (strsim::jaro_winkler(known, name), known));
    let best = rated.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(similarity, _)| *similarity > SIMILAR).map(|(_, known)| known)
}

/// What an option of a peer is on hostler's own command line, which does not take it: `--timeout`, `-k`.
#[must_use]
pub fn foreign(name: &str) -> Option<String> {
    // Gunicorn's before others, because they have it from there.
    let peers = [Peer::Gunicorn, Peer::Uvicorn, Peer::Granian, Peer::Hypercorn];
    let (peer, row) = peers
        .into_iter()
        .find_map(|peer| Some((peer, peer.rows().iter().find(|row| row.is_called(name))?)))?;
    let title = peer.title();
    let options = |all: &[&Declaration]| {
        all.iter().map(|option| format!("--{}", option.name)).collect::<Vec<_>>().join(" and ")
    };
    let said = match row.becomes {
        Becomes::Same(option) => format!("{title}'s {name} is {} here", options(&[option])),
        Becomes::Converted { to: [], how, .. } => format!("{title}'s {name}: {how}"),
        Becomes::Converted { to, how, .. } => format!("{title}'s {name} is {} here: {how}", options(to)),
        Becomes::NoEffect(reason) => format!("{title}'s {name} is not needed: {reason}"),
        Becomes::Lost(reason) => format!("{title}'s {name} has no effect: {reason}"),
        Becomes::Refused { why, instead } => format!("{title}'s {name}: {why}; {instead}"),
        Becomes::Prints(_) => return None,
    };
    Some(format!("{said}. `hostler as {} …` takes all of its options", peer.name()))
}

/// Whether a variable is an option of a peer, and of which.
#[must_use]
pub fn peer_of_variable(variable: &str) -> Option<Peer> {
    if variable == "GUNICORN_CMD_ARGS" {
        return Some(Peer::Gunicorn);
    }
    let has = |peer: &Peer| {
        if !peer.prefix().is_some_and(|prefix| variable.starts_with(prefix)) {
            return false;
        }
        let rows = peer.rows().iter().filter(|row| !matches!(row.becomes, Becomes::Prints(_)));
        let mut names = rows.filter_map(|row| row.variable_name(peer.prefix()));
        peer.target_variable() == Some(variable) || names.any(|name| name == variable)
    };
    [Peer::Granian, Peer::Uvicorn].into_iter().find(has)
}
