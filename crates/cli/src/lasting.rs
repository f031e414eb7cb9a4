//! What a configuration says of the server as a whole, which no reload changes.

use hostler_config::{Bind, Config};
use std::path::PathBuf;
use tracing::warn;

/// As it was at the start.
pub(crate) struct Lasting {
    binds: Vec<Bind>,
    backlog: i32,
    uds_mode: Option<u32>,
    accept_per_worker: bool,
    log_file: Option<PathBuf>,
    pid_file: Option<PathBuf>,
}

impl Lasting {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            binds: config.binds.clone(),
            backlog: config.backlog,
            uds_mode: config.uds_mode,
            accept_per_worker: config.accept_per_worker,
            log_file: config.log_file.clone(),
            pid_file: config.pid_file.clone(),
        }
    }

    /// Who changes one of these would wait for it in vain.
    pub(crate) fn tell_changes(&self, now: &Config) {
        let changed = [
            ("bind", self.binds != now.binds),
            ("backlog", self.backlog != now.backlog),
            ("uds-permissions", self.uds_mode != now.uds_mode),
            ("accept", self.accept_per_worker != now.accept_per_worker),
            ("log-file", self.log_file != now.log_file),
            ("pid-file", self.pid_file != now.pid_file),
        ];
        let options: Vec<_> = changed.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        if !options.is_empty() {
            let options = options.join(", ");
            warn!(options, "changed options take effect with an upgrade (SIGUSR2) or a start");
        }
    }
}
