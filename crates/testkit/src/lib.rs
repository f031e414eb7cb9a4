//! Starts a real server, watches its log and its processes, and speaks HTTP to it byte by byte.
//!
//! Tests wait for events (a line of the log, a response, an exit) with generous limits, not for a time.
//! Dropping a [`Server`] kills every process that it started.

#![forbid(unsafe_code)]

mod builder;
mod conn;
mod load;
mod log;
pub mod proc;
mod server;
mod surroundings;
mod wait;

pub use builder::Builder;
pub use conn::{Conn, Reply, get_unix};
pub use load::{Load, Outcome};
pub use server::Server;
pub use surroundings::{
    AS_PID_1, IN_TERMINAL, READABLE_PYTHON, can_make_namespaces, directory, line_of, open_terminal, receive,
    received,
};
pub use wait::{LIMIT, wait_until};

use std::path::PathBuf;

/// The workspace's root.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace exists")
}

/// The program under test.
#[must_use]
pub fn hostler() -> PathBuf {
    std::env::var_os("HOSTLER_BIN").map_or_else(|| root().join("target/release/hostler"), PathBuf::from)
}

/// The Python of the virtual environment that has the frameworks.
#[must_use]
pub fn python() -> PathBuf {
    std::env::var_os("HOSTLER_TEST_PYTHON").map_or_else(
        || panic!("run the tests with `cargo xtask test`, which prepares a Python"),
        PathBuf::from,
    )
}
