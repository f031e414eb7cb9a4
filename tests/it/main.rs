//! Tests of the whole server, through real processes and sockets. Run them with `cargo xtask test`.
//!
//! A file is a subject. `each_python` runs on every version of Python, `any_python` on one of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access_file;
mod any_python;
mod browser;
mod each_python;
mod front;
mod http2_client;
mod http2_frames;
mod support;
mod tls_support;
