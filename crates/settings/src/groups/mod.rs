//! The options. An option is added here, in the struct of its subject, and used where that struct arrives.

mod app;
mod http;
mod listen;
mod log;
mod planned;
mod process;
mod program;
mod runtime;
mod supervision;
mod websocket;

pub use app::{Application, Wsgi};
pub use http::Http;
pub use listen::Listen;
pub use log::Log;
pub use planned::{AutoReload, Http2, Metrics, StaticFiles, Tls};
pub use process::Process;
pub use program::Program;
pub use runtime::Runtime;
pub use supervision::Supervision;
pub use websocket::{Compression, WebSocket};

/// The longest time that an option takes, in seconds: a year.
const YEAR: u64 = 366 * 86_400;
