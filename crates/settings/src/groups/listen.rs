//! Where connections come from.

use crate::{Accept, Bind, FileMode, OnReload, macros::settings};
use std::path::PathBuf;

settings! {
    #[heading("Listeners")]
    /// Where to listen.
    pub struct Listen {
        /// The address or host name to listen on.
        #[option("host", default = "127.0.0.1".into(), reload(OnReload::Kept), common)]
        pub host: String,
        /// The port to listen on; 0 lets the system choose.
        #[option("port", default = 8000, range(0, 65_535), reload(OnReload::Kept), common)]
        pub port: u16,
        /// HOST:PORT, unix:PATH, unix:@NAME (abstract) or fd://N to listen on, instead of host and port; repeatable. A name
        /// stands for all of its addresses; without a port it is that of --port.
        #[option("bind", default = Vec::new(), example("127.0.0.1:8000"), short('b'), reload(OnReload::Kept), common)]
        pub bind: Vec<Bind>,
        /// The path of a Unix socket to listen on, instead of host and port.
        #[option("uds", default = None, example("/run/shop/hostler.sock"), reload(OnReload::Kept), common)]
        pub uds: Option<PathBuf>,
        /// The mode of Unix sockets, in octal; by default what the umask leaves.
        #[option(
            "uds-permissions", default = None, example("0660"), range(0, 0o7777), reload(OnReload::Kept),
            aliases(&["uds-mode"])
        )]
        pub uds_permissions: Option<FileMode>,
        /// The owner of Unix sockets, by name or number; needs root.
        #[option("uds-owner", default = None, example("www-data"), reload(OnReload::Kept))]
        pub uds_owner: Option<String>,
        /// The group of Unix sockets, by name or number: one that the server is a member of, or as root any.
        #[option("uds-group", default = None, example("www-data"), reload(OnReload::Kept))]
        pub uds_group: Option<String>,
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
        all.extend(self.bind.iter().map(|bind| match bind {
            Bind::Tcp { host, port: None } => Bind::Tcp { host: host.clone(), port: Some(self.port) },
            bind => bind.clone(),
        }));
        if all.is_empty() {
            all.push(Bind::Tcp { host: self.host.clone(), port: Some(self.port) });
        }
        all
    }
}
