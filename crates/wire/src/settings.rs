//! What a worker must know, resolved from the configuration by the master and handed down as data.

use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// Everything a worker is told. Below the command line nothing reads argv or the environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerSettings {
    /// The Python application; `None` for a native service.
    pub app: Option<AppSettings>,
    /// The listeners, in the order in which their descriptors are handed over.
    pub listeners: Vec<ListenerSettings>,
    /// Limits and timeouts of HTTP connections.
    pub http: HttpSettings,
    /// Where log lines go and how many there are.
    pub log: LogSettings,
    /// `--process-name`; `None` means titles of the form `hostler: worker 1 app:app`.
    pub process_name: Option<String>,
    /// How long requests in flight may take to finish once a drain began.
    pub graceful_timeout: Duration,
    /// How long the worker's loop may stand still; decides how often it gives a sign.
    pub stall_timeout: Option<Duration>,
    /// How long a request may take before it is answered with 504.
    pub request_timeout: Option<Duration>,
    /// How long the event loop may stand still before the worker says where.
    pub slow_callback: Option<Duration>,
    /// A path that is requested from the application before the worker counts as ready.
    pub warmup: Option<String>,
    /// Whom molds and workers run as; the master keeps what it needs to bind.
    pub identity: Identity,
}

/// Whom a process runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The user's id and primary group, and the name by which its other groups are found.
    pub user: Option<(u32, String)>,
    /// The user's home directory; `None` if it has none.
    #[serde(default)]
    pub home: Option<PathBuf>,
    /// The group's id.
    pub group: Option<u32>,
    /// The file mode creation mask.
    pub umask: Option<u32>,
}

/// The Python application and how to call it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppSettings {
    /// `module:attribute`, as the user wrote it.
    pub target: String,
    /// How to call it; `None` finds out from the callable.
    pub interface: Option<Interface>,
    /// The attribute is a function that returns the application.
    pub factory: bool,
    /// Put first on `sys.path`; the working directory of the process unless set.
    pub working_dir: Option<PathBuf>,
    /// Threads that call a WSGI application; 1 calls it in place, on the thread of the event loop.
    pub blocking_threads: usize,
    /// How much of requests and answers of a WSGI application is kept for it.
    pub wsgi: WsgiSettings,
    /// `root_path` (ASGI) and `SCRIPT_NAME` (WSGI).
    pub root_path: String,
    /// `--loop`, as the user wrote it.
    pub event_loop: String,
    /// Whether the user asked for the loop by name (then a replacement is reported).
    pub event_loop_chosen: bool,
    /// How WebSockets are spoken; `None` answers a handshake as the plain request that it also is.
    pub websocket: Option<WebSocketSettings>,
    /// Whether the application is imported before workers are forked.
    pub preload: Option<Preload>,
}

/// How much is kept so that no thread of a WSGI application waits for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WsgiSettings {
    /// Bytes of a request's body that are stored before the application is called.
    pub body_spool: u64,
    /// Bytes of an answer that are taken from the application ahead of the client.
    pub answer_buffer: usize,
}

/// Limits and timers of WebSockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebSocketSettings {
    /// The longest message, in bytes, checked while it is assembled; a longer one closes with 1009.
    pub max_size: usize,
    /// How often a client is pinged.
    pub ping_interval: Duration,
    /// How long it may take to answer, before the connection is closed.
    pub ping_timeout: Duration,
    /// How messages are compressed, if at all (permessage-deflate, RFC 7692).
    pub deflate: Option<DeflateSettings>,
}

/// How WebSocket messages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeflateSettings {
    /// The base-2 logarithm of the window's size, from 9 to 15.
    pub window_bits: u8,
    /// Whether a message may refer to those before it.
    pub context_takeover: bool,
}

/// What to do when something makes a fork unsafe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preload {
    /// Say so.
    Warn,
    /// Refuse to start.
    Strict,
}

/// How an application is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interface {
    /// ASGI 3 with lifespan.
    Asgi,
    /// ASGI 3 without lifespan.
    AsgiNoLifespan,
    /// WSGI (PEP 3333).
    Wsgi,
    /// RSGI 1.6.
    Rsgi,
}

/// A listener as workers get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerSettings {
    /// Where it listens.
    pub info: ListenerInfo,
    /// How many sockets it has: 1 is one queue for all workers, more (with SO_REUSEPORT) are one for each slot, in
    /// their order.
    pub sockets: usize,
}

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListenerInfo {
    /// A TCP socket and the address it is bound to.
    Tcp(std::net::SocketAddr),
    /// A Unix socket and its path.
    Unix(PathBuf),
}

/// Limits and timeouts of HTTP connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HttpSettings {
    /// Whether HTTP/1.1 connections are kept open between requests.
    pub keep_alive: bool,
    /// How long a client may take to send a request's head (RFC 9112 §2.1).
    pub header_read_timeout: Duration,
    /// How long a client may send nothing of a body that somebody waits for; `None` is for ever.
    pub body_read_timeout: Option<Duration>,
    /// How long a client may read nothing of what it is sent; `None` is for ever.
    pub write_timeout: Option<Duration>,
    /// The most bytes a connection buffers, and so the longest request head, in bytes.
    pub max_buffer: usize,
}

/// Where log lines go and how many there are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogSettings {
    /// Off: nothing is written but what stops the server.
    pub enabled: bool,
    /// The least important line that is written.
    pub level: LogLevel,
    /// What a line looks like.
    pub form: LogForm,
}

/// What a log line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogForm {
    /// Time, level, event, `name=value`.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// The importance of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LogLevel {
    /// Every step.
    Debug,
    /// What an operator wants to know.
    Info,
    /// What went wrong without harm.
    Warning,
    /// What failed.
    Error,
    /// What stops the server.
    Critical,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            keep_alive: true,
            header_read_timeout: Duration::from_secs(30),
            body_read_timeout: Some(Duration::from_secs(30)),
            write_timeout: Some(Duration::from_secs(30)),
            max_buffer: 417_792,
        }
    }
}
