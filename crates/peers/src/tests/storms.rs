//! Any words at all: they are read or refused, and what is read can be explained.

use crate::{NoFiles, Peer, translate, words};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Options of any peer, beginnings of them, values that mean something somewhere, and anything.
fn word() -> impl Strategy<Value = String> {
    let names: Vec<String> = Peer::ALL
        .iter()
        .flat_map(|peer| peer.rows())
        .flat_map(|row| row.names.iter().copied().chain(row.negation))
        .map(str::to_owned)
        .collect();
    let values = [
        "0", "1", "4", "-", "--", "", "a:b", "unix:/a", ":80", "auto", "none", "wsgi", "off", "true",
        "h1,h2", "='",
    ];
    prop_oneof![
        3 => proptest::sample::select(names.clone()),
        1 => (proptest::sample::select(names.clone()), "\\PC{0,6}").prop_map(|(name, value)| format!("{name}={value}")),
        1 => (proptest::sample::select(names), 1usize..8)
            .prop_map(|(name, length)| name.chars().take(length).collect()),
        3 => proptest::sample::select(values.to_vec()).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ]
}

proptest! {
    #[test]
    fn any_words_are_read_or_refused(
        peer in proptest::sample::select(Peer::ALL.to_vec()),
        line in proptest::collection::vec(word(), 0..8),
        variable in "\\PC{0,20}",
    ) {
        let names = ["GUNICORN_CMD_ARGS", "UVICORN_WORKERS", "GRANIAN_WEBSOCKETS", "UVICORN_HEADER", "PORT", "LISTEN_FDS"];
        let variables: BTreeMap<_, _> =
            names.iter().map(|name| ((*name).to_owned(), variable.clone().into())).collect();
        if let Ok(translation) = translate(peer, line, &variables, &NoFiles) {
            let explained = translation.explanation();
            prop_assert!(explained.contains("hostler's own command line for it"));
            let words = words::split(&translation.command_line());
            prop_assert!(words.is_ok(), "{}", translation.command_line());
            let _ = translation.refusal();
        }
    }
}
