//! Programs that run beside the workers.

use crate::{Companion, macros::settings};

settings! {
    #[heading("Companions")]
    /// Programs that run beside the workers.
    pub struct Companions {
        /// A program that the server keeps alive beside its workers, NAME=COMMAND (split into words as by a shell, which there is none of),
        /// repeatable; or in the configuration file companion tables with name, command, and any of replicas, restart, after,
        /// before-workers, ready, ready-timeout, stop-signal, stop-timeout, reload, user, group, directory, env, umask, nice,
        /// output, listen (docs/COMPANIONS.md).
        #[option("companion", default = Vec::new(), example("cache=redis-server --port 6379"))]
        pub companions: Vec<Companion>,
    }
}
