//! Limits: how long clients and applications may take.
//!
//! Each limit is a file: [`client`] for what clients owe the server (head, body, reading the response, the end of the
//! connection), [`deadline`] for the response of the application. [`progress`] is how a client's progress is measured.
//! Limits on connections belong to `accept/`, limits on requests to `connection/service.rs`.

pub(crate) mod client;
pub(crate) mod deadline;
pub(crate) mod progress;
