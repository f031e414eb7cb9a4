//! The options. An option is added here, in the struct of its subject, and used where that struct arrives.

mod app;
mod auto_reload;
mod companions;
mod compress;
mod http;
mod http2;
mod limits;
mod listen;
mod log;
mod observer;
mod process;
mod program;
mod proxy;
mod responses;
mod runtime;
mod static_files;
mod supervision;
mod tasks;
mod tls;
mod tracing;
mod websocket;

pub use app::{Application, Wsgi};
pub use auto_reload::AutoReload;
pub use companions::Companions;
pub use compress::Compress;
pub use http::Http;
pub use http2::Http2;
pub use limits::Limits;
pub use listen::Listen;
pub use log::Log;
pub use observer::Metrics;
pub use process::Process;
pub use program::Program;
pub use proxy::Proxy;
pub use responses::Responses;
pub use runtime::Runtime;
pub use static_files::StaticFiles;
pub use supervision::Supervision;
pub use tasks::{RAY_CLUSTER, Tasks};
pub use tls::Tls;
pub use tracing::Tracing;
pub use websocket::{Compression, WebSocket};

/// The longest time that an option takes, in seconds: a year.
const YEAR: u64 = 366 * 86_400;
