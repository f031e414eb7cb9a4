//! What a worker must know: the options, and what the master deduced from them.

use crate::Failure;
use hostler_settings::Settings;
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf};

/// All that a worker needs to know. Below the command line nothing reads argv or the environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerSettings {
    /// The options, as they were resolved. Without an application (`app.target`) the service is native.
    pub options: Settings,
    /// The listeners, in the order in which their descriptors are handed over.
    pub listeners: Vec<ListenerSettings>,
    /// The user that molds and workers run as; the master keeps what it needs to bind.
    pub identity: Identity,
    /// Why the application cannot be loaded: served in its place.
    #[serde(default)]
    pub failure: Option<Failure>,
}

impl WorkerSettings {
    /// Whether a developer is at work: an application that cannot be loaded is told to clients.
    #[must_use]
    pub fn is_development(&self) -> bool {
        self.options.auto_reload.enabled && self.options.auto_reload.ignore_worker_failure
    }

    /// The application as the user named it, `native` for a native service.
    #[must_use]
    pub fn title(&self) -> &str {
        self.options.app.target.as_deref().unwrap_or("native")
    }
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

/// A listener as workers get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerSettings {
    /// Where it listens.
    pub info: ListenerInfo,
    /// How many sockets it has: 1 is one queue for all workers, more (with SO_REUSEPORT) are one for each slot, in
    /// their order.
    pub sockets: usize,
    /// Whether its connections begin with a TLS handshake.
    #[serde(default)]
    pub tls: bool,
}

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListenerInfo {
    /// A TCP socket and the address it is bound to.
    Tcp(std::net::SocketAddr),
    /// A Unix socket and its path.
    Unix(PathBuf),
}

impl fmt::Display for ListenerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
