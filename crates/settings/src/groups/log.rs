//! Log lines.

use crate::{LogFormat, LogLevel, OnReload, Percent, macros::settings};
use std::path::{Path, PathBuf};

settings! {
    #[heading("Log")]
    /// Where log lines go, and which are written.
    pub struct Log {
        /// Write log lines; without it nothing is written but what stops the server.
        #[option("log", default = true, reload(OnReload::Workers))]
        pub enabled: bool,
        /// The least important line that is logged.
        #[option("log-level", default = LogLevel::Info, reload(OnReload::Workers), common)]
        pub level: LogLevel,
        /// The format of a log line.
        #[option("log-format", default = LogFormat::Text, reload(OnReload::Workers), common)]
        pub format: LogFormat,
        /// The file that log lines are appended to, instead of standard error; SIGUSR1 reopens it.
        #[option("log-file", default = None, example("/var/log/shop.log"), reload(OnReload::Kept))]
        pub file: Option<PathBuf>,
        /// A file that configures Python's logging.
        #[option("log-config", default = None, later)]
        pub config: Option<PathBuf>,
        /// Write a line for each request, when its response is complete; --access-logfile alone does that, too.
        #[option("access-log", default = false, reload(OnReload::Kept), common)]
        pub access: bool,
        /// The file that the access log is appended to, - for standard output; SIGUSR1 reopens it. Unset, it is -.
        #[option("access-logfile", default = None, example("/var/log/shop.access.log"), reload(OnReload::Kept))]
        pub access_file: Option<PathBuf>,
        /// The format of the access log: common, combined, granian, json, or a text with %(name)s of Gunicorn and Granian.
        /// Unset, it is combined, or with --log-format json it is json.
        #[option("access-log-fmt", default = None, example("combined"), aliases(&["access-logformat"]), reload(OnReload::Workers))]
        pub access_format: Option<String>,
        /// A path that is not in the access log, such as /health, or with * at its end, such as /static/*; repeatable.
        #[option("access-log-exclude", default = Vec::new(), example("/health"), reload(OnReload::Workers))]
        pub access_exclude: Vec<String>,
        /// Of how many requests in a hundred there is a line. Responses of class 5xx and those that were not complete have one
        /// in any case.
        #[option("access-log-sample", default = Percent(100), range(0, 100), reload(OnReload::Workers))]
        pub access_sample: Percent,
    }
}

impl Log {
    /// The format of the access log, as the user wrote it.
    #[must_use]
    pub fn format_of_access(&self) -> &str {
        match (&self.access_format, self.format) {
            (Some(format), _) => format,
            (None, LogFormat::Json) => "json",
            (None, LogFormat::Text) => "combined",
        }
    }

    /// Where the access log goes, if there is one.
    #[must_use]
    pub fn access_destination(&self) -> Option<&Path> {
        self.access.then(|| self.access_file.as_deref().unwrap_or_else(|| Path::new("-")))
    }
}
