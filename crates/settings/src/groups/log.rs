//! Log lines.

use crate::{LogFormat, LogLevel, OnReload, macros::settings};
use std::path::PathBuf;

settings! {
    #[heading("Log")]
    /// Where log lines go, and which are written.
    pub struct Log {
        /// Write log lines; without it nothing is written but what stops the server.
        #[option("log", default = true, reload(OnReload::Workers))]
        pub enabled: bool,
        /// The least important line that is logged.
        #[option("log-level", default = LogLevel::Info, reload(OnReload::Workers))]
        pub level: LogLevel,
        /// The format of a log line.
        #[option("log-format", default = LogFormat::Text, reload(OnReload::Workers))]
        pub format: LogFormat,
        /// The file that log lines are appended to, instead of standard error; SIGUSR1 reopens it.
        #[option("log-file", default = None, example("/var/log/shop.log"), reload(OnReload::Kept))]
        pub file: Option<PathBuf>,
        /// A file that configures Python's logging.
        #[option("log-config", default = None, later)]
        pub config: Option<PathBuf>,
        /// Log every request.
        #[option("access-log", default = false, later)]
        pub access: bool,
        /// The format of the access log.
        #[option("access-log-fmt", default = None, later)]
        pub access_format: Option<String>,
    }
}
