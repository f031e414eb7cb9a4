//! Limits: how long clients and applications may take, and how much a request may be.
//!
//! Each limit is a file: [`client`] for what clients owe the server (head, body, reading the response, the end of the
//! connection), [`deadline`] for the response of the application, [`request`] for the size of a request, [`connections`] for how many
//! are open, [`concurrency`] for how many requests run and wait. [`progress`] is
//! how a client's progress is measured. They are applied in `accept/`, `connection/service.rs` and
//! [`crate::h1`].

pub(crate) mod client;
pub(crate) mod concurrency;
pub(crate) mod connections;
pub(crate) mod deadline;
pub(crate) mod progress;
pub(crate) mod request;
