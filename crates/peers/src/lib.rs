//! Command lines and environments of Granian, Gunicorn, Uvicorn and Hypercorn as hostler's options.
//!
//! Each peer has a table with a row for each of its options: how it is spelled, and what becomes of it. [`translate()`] reads a
//! command line and an environment as that peer reads them, and gives settings that remember what the user wrote, so that
//! errors and `--explain` speak of that. Nothing is dropped in silence: what has no effect has a reason, and what hostler
//! cannot do is refused with what to do instead.
//!
//! Files: `row` what a row says, `grammar` command lines, `variables` environments, `files` who reads files, `settings_file` what stands in them, `item` what counts of what was written,
//! `translate` from there to settings, `convert` rules that several peers share, `explain` what `--explain` prints, `migrate` files of hostler's made of theirs, `reference` the page of the documents, `words`
//! the quoting of shells, `names` what a misspelt name may mean; the tables are in the file of each peer.
//!
//! Not here: reading argv, the environment or files (all are handed in), precedence over hostler's own sources and checks
//! of values (`hostler_config`).

#![forbid(unsafe_code)]

mod convert;
mod explain;
mod files;
mod grammar;
mod granian;
mod gunicorn;
mod hypercorn;
mod item;
mod migrate;
mod names;
mod peer;
mod reference;
mod row;
mod settings_file;
#[cfg(test)]
mod tests;
mod translate;
mod uvicorn;
mod uwsgi;
mod variables;
pub use hostler_settings::words;

pub use files::{Files, NoFiles, Script};
pub use item::Place;
pub use migrate::migrate;
pub use names::{foreign, peer_of_variable};
pub use peer::{Asked, Peer, asked};
pub use reference::markdown;
pub use row::{Becomes, Prints, Row, Takes};
pub use translate::{Entry, Origin, Outcome, Setting, Translation, translate};
