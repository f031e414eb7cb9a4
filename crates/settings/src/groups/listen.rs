//! Where connections come from.

use crate::{Accept, Bind, FileMode, OnReload, macros::settings};
use std::path::PathBuf;

settings! {
    #[heading("Listeners")]
    /// Where to listen.
    pub struct Listen {
        /// The address or host name to listen on.
        #[option("host", default = "127.0.0.1".into(), reload(OnReload::Kept))]
        pub host: String,
        /// The port to listen on; 0 lets the system choose.
        #[option("port", default = 8000, range(0, 65_535), reload(OnReload::Kept))]
        pub port: u16,
        /// HOST:PORT, unix:PATH or fd://N to listen on, instead of host and port; repeatable.
        #[option("bind", default = Vec::new(), example("127.0.0.1:8000"), short('b'), reload(OnReload::Kept))]
        pub bind: Vec<Bind>,
        /// The path of a Unix socket to listen on, instead of host and port.
        #[option("uds", default = None, example("/run/shop/hostler.sock"), reload(OnReload::Kept))]
        pub uds: Option<PathBuf>,
        /// The mode of the Unix socket, in octal.
        #[option("uds-permissions", default = None, example("0660"), range(0, 0o7777), reload(OnReload::Kept))]
        pub uds_permissions: Option<FileMode>,
        /// Connections that may wait to be accepted, per listener.
        #[option("backlog", default = 1024, range(128, 65_535), reload(OnReload::Kept))]
        pub backlog: u16,
        /// shared: one queue of connections for all workers, from which the least busy takes; per-worker: one queue for
        /// each worker (SO_REUSEPORT), filled by the kernel without regard to load, from which siblings help out.
        #[option("accept", default = Accept::Shared, reload(OnReload::Start))]
        pub accept: Accept,
    }
}

impl Listen {
    /// What is listened on: `--uds` and `--bind`, else `--host` and `--port`.
    #[must_use]
    pub fn addresses(&self) -> Vec<Bind> {
        let mut all: Vec<Bind> = self.uds.iter().cloned().map(Bind::Unix).collect();
        all.extend_from_slice(&self.bind);
        if all.is_empty() {
            all.push(Bind::Tcp { host: self.host.clone(), port: self.port });
        }
        all
    }
}
