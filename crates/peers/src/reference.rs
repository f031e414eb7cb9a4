//! docs/COMING_FROM.md, from the tables.

use crate::{Becomes, Peer, Row};
use std::fmt::Write as _;

const HEAD: &str = include_str!("reference_head.md");

/// The page.
#[must_use]
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for peer in Peer::ALL.into_iter().chain([Peer::Uwsgi]) {
        let _ =
            write!(page, "\n## {}\n\n{}\n\n| option | becomes |\n|---|---|\n", peer.title(), peer.about());
        let rows = peer.rows().iter().filter(|row| !matches!(row.becomes, Becomes::Prints(_)));
        for row in rows {
            let _ = writeln!(page, "| {} | {} |", names(row), cell(&row.becomes.described()));
        }
    }
    page
}

fn names(row: &Row) -> String {
    let names = row.names.iter().copied().chain(row.negation);
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('*', "\\*").replace("__", "\\_\\_")
}
