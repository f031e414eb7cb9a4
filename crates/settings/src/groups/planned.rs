//! Options of features that do not exist yet. They are checked; a group moves to its own file when it takes effect.

use crate::{Unit, macros::settings};
use std::{path::PathBuf, time::Duration};

settings! {
    #[heading("Reload")]
    /// Reloads when files change.
    pub struct AutoReload {
        /// Reload when files change.
        #[option("reload", default = false, later, common)]
        pub enabled: bool,
        /// Reload: where to look.
        #[option("reload-paths", default = Vec::new(), later)]
        pub paths: Vec<PathBuf>,
        /// Reload: directories to ignore.
        #[option("reload-ignore-dirs", default = Vec::new(), later)]
        pub ignore_dirs: Vec<String>,
        /// Reload: patterns to ignore.
        #[option("reload-ignore-patterns", default = Vec::new(), later)]
        pub ignore_patterns: Vec<String>,
        /// Reload: paths to ignore.
        #[option("reload-ignore-paths", default = Vec::new(), later)]
        pub ignore_paths: Vec<PathBuf>,
        /// Reload: how often to look.
        #[option("reload-tick", default = Duration::from_millis(50), unit(Unit::Milliseconds), range(50, 5_000), later)]
        pub tick: Duration,
        /// Reload: go on after a failure.
        #[option("reload-ignore-worker-failure", default = false, later)]
        pub ignore_worker_failure: bool,
    }
}
