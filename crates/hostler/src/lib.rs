//! hostler for native services: a tower service in supervised worker processes.
//!
//! ```no_run
//! # use std::{convert::Infallible, process::ExitCode};
//! # use hostler::{Request, Response};
//! fn main() -> Result<ExitCode, hostler::Error> {
//!     hostler::Server::new().bind("127.0.0.1:8000").workers(2).serve(|| {
//!         tower::service_fn(|_: Request| async { Ok::<_, Infallible>(Response::new("hello".to_owned())) })
//!     })
//! }
//! ```
//! The master binds, forks the workers and keeps them alive; each worker runs the closure and serves what
//! it returns on one thread. `main` must not have started threads or a runtime before: it is forked.

#![forbid(unsafe_code)]

mod server;

pub use hostler_http::RequestBody;
pub use hostler_settings::LogLevel;
pub use server::{Error, Server};

/// A request as a service gets it; its extensions hold a `ConnectionInfo`.
pub type Request = http::Request<RequestBody>;
/// A response as a service gives it.
pub type Response<B> = http::Response<B>;
