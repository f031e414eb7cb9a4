//! The observer: a process that shows operators what the server does, on addresses of its own (`--admin`).
//!
//! It is this program again, started by the master with the scoreboard for reading and the listening sockets, and with
//! nothing else: no Python, no application, no way to change anything. Of a native service it is a fork of the master. Whatever
//! becomes of it, the workers do not notice.
//!
//! ```text
//! GET /              a dashboard, which reads /status.json
//! GET /metrics       Prometheus' text format, or OpenMetrics
//! GET /status.json   docs/STATUS.md
//! GET /livez  /readyz  /startupz
//! ```
//!
//! Files: `start` what the process is given, `serve` and `connection` connections and their limits, `respond` what is asked for,
//! `hosts` by which names, `documents` responses and their memory, `probes` health, `measure` what processes use, `metrics`
//! numbers, `dashboard` the page, `export` metrics that are sent, `tasks` what the keeper of the task queue says.

#![deny(unsafe_code)]

mod connection;
mod dashboard;
mod documents;
mod export;
mod hosts;
mod measure;
mod metrics;
mod probes;
mod respond;
mod serve;
mod start;
mod tasks;

pub use start::{run, run_forked};
