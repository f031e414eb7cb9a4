//! TLS: what no interface and no version of Python changes.

mod endings;
mod files;
mod handshakes;
mod renewal;
mod resumption;
