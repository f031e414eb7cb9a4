//! Reloads when files change, for developers.

use crate::{Glob, NamePattern, OnReload, Unit, macros::settings};
use std::{path::PathBuf, time::Duration};

settings! {
    #[heading("Reload")]
    /// Reloads when files change.
    pub struct AutoReload {
        /// For developers: load the application anew when files change. If that fails, its traceback is served until they
        /// change again. With one worker breakpoint() has the terminal.
        #[option("reload", default = false, reload(OnReload::Kept), common)]
        pub enabled: bool,
        /// A directory that is watched with all that is in it, or a file; repeatable. Unset, it is the working directory. Files of
        /// --config and --env-files are watched in any case.
        #[option("reload-paths", default = Vec::new(), example("src"), reload(OnReload::Kept), aliases(&["reload-dir", "reload-dirs"]))]
        pub paths: Vec<PathBuf>,
        /// Files that count, besides *.py, as a glob: *.html, or templates/**; repeatable.
        #[option("reload-include", default = Vec::new(), example("*.html"), reload(OnReload::Kept), aliases(&["reload-includes"]))]
        pub include: Vec<Glob>,
        /// Files and directories that do not count, as a glob; repeatable.
        #[option("reload-exclude", default = Vec::new(), example("*_test.py"), reload(OnReload::Kept), aliases(&["reload-excludes"]))]
        pub exclude: Vec<Glob>,
        /// The name of directories that are not watched; repeatable. Hidden ones, __pycache__, node_modules and virtual environments
        /// never are.
        #[option("reload-ignore-dirs", default = Vec::new(), example("generated"), reload(OnReload::Kept))]
        pub ignore_dirs: Vec<String>,
        /// Names of files that do not count, as a regular expression; repeatable.
        #[option("reload-ignore-patterns", default = Vec::new(), example("^tmp"), reload(OnReload::Kept))]
        pub ignore_patterns: Vec<NamePattern>,
        /// A file or directory that does not count, with all that is in it; repeatable.
        #[option("reload-ignore-paths", default = Vec::new(), example("src/generated.py"), reload(OnReload::Kept))]
        pub ignore_paths: Vec<PathBuf>,
        /// How long files must be unchanged before the reload: an editor or a checkout writes several.
        #[option(
            "reload-tick", default = Duration::from_millis(50), unit(Unit::Milliseconds), range(1, 60_000),
            reload(OnReload::Kept)
        )]
        pub tick: Duration,
        /// Serve the traceback of an application that fails to load; without it, the code from before serves on, and a start fails.
        #[option("reload-ignore-worker-failure", default = true, reload(OnReload::Kept))]
        pub ignore_worker_failure: bool,
    }
}
