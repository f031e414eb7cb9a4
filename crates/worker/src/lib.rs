//! A worker after the fork: what it is given, how it starts to serve, heeds orders, drains and exits.
//!
//! [`run_worker()`] is that for any [`Service`]; [`HttpService`] is the one that serves HTTP. [`native::run`] wraps it in a
//! runtime for native services, and the Python host runs it inside its asyncio loop. A worker drains when the master says
//! so, when it gets SIGTERM itself, and when the channel to the master reads end-of-file because the master died.
//!
//! Files: `context` what a worker is given, `run` from the start to the end, `control` orders, `heartbeat`, `service` what
//! can be served, `http` HTTP, `native` tower services.
//!
//! Not here: forking, and what happens to the worker if it hangs. Both are the master's.

#![forbid(unsafe_code)]

mod context;
mod control;
mod heartbeat;
mod http;
pub mod native;
mod run;
mod service;

pub use context::{Shared, WorkerContext};
pub use control::Order;
pub use http::HttpService;
pub use run::{Ending, announce, run_worker};
pub use service::{Cut, Others, Resources, Running, Service};
