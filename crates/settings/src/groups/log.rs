//! Log lines.

use crate::{
    Colour, LogFormat, LogLevel, LogTarget, OnReload, Percent, SyslogFacility, SyslogFormat, macros::settings,
};
use std::path::{Path, PathBuf};

settings! {
    #[heading("Log")]
    /// Where log lines go, and which are written.
    pub struct Log {
        /// Write log lines; without it nothing is written but what stops the server.
        #[option("log", default = true)]
        pub enabled: bool,
        /// The least important line that is logged.
        #[option("log-level", default = LogLevel::Info, common)]
        pub level: LogLevel,
        /// The format of a log line.
        #[option("log-format", default = LogFormat::Text, common)]
        pub format: LogFormat,
        /// Colours in log lines of the format text: auto has them on a terminal, unless NO_COLOR is set; FORCE_COLOR has them in any case.
        #[option("log-color", default = Colour::Auto)]
        pub colour: Colour,
        /// The file that log lines are appended to, instead of standard error; SIGUSR1 reopens it. - is standard error.
        #[option("log-file", default = None, example("/var/log/shop.log"), reload(OnReload::Kept))]
        pub file: Option<PathBuf>,
        /// Where log lines go: stderr, journald (with fields), syslog (/dev/log), unix:/PATH, udp://HOST:PORT or tcp://HOST:PORT. Unset, it is
        /// journald if standard error is the journal and lines are text, and otherwise stderr.
        #[option("log-target", default = None, example("journald"), aliases(&["log-syslog-to"]), reload(OnReload::Kept))]
        pub target: Option<LogTarget>,
        /// The facility of messages for syslog.
        #[option("log-syslog-facility", default = SyslogFacility::User, reload(OnReload::Kept))]
        pub syslog_facility: SyslogFacility,
        /// The format of messages for syslog: RFC 3164, or RFC 5424 with the fields as structured data. auto is the former on this
        /// machine, and the latter by UDP and TCP.
        #[option("log-syslog-format", default = SyslogFormat::Auto, reload(OnReload::Kept))]
        pub syslog_format: SyslogFormat,
        /// The name of the program in syslog and the journal. Unset, it is hostler.
        #[option("log-syslog-prefix", default = None, example("shop"), reload(OnReload::Kept))]
        pub syslog_prefix: Option<String>,
        /// A file that configures Python's logging before the application is imported: JSON, TOML or YAML as logging.config.dictConfig takes
        /// it, otherwise INI as fileConfig does (docs/LOGS.md).
        #[option("log-config", default = None, example("logging.json"), aliases(&["log-config-json"]))]
        pub config: Option<PathBuf>,
        /// Write a line for each request, when its response is complete; --access-logfile alone does that, too.
        #[option("access-log", default = false, reload(OnReload::Kept), common)]
        pub access: bool,
        /// The file that the access log is appended to, - for standard output; SIGUSR1 reopens it. Unset, it is -.
        #[option("access-logfile", default = None, example("/var/log/shop.access.log"), reload(OnReload::Kept))]
        pub access_file: Option<PathBuf>,
        /// The format of the access log: common, combined, granian, json, or a text with %(name)s of Gunicorn and Granian.
        /// Unset, it is combined, or with --log-format json it is json.
        #[option("access-log-fmt", default = None, example("combined"), aliases(&["access-logformat"]))]
        pub access_format: Option<String>,
        /// A path that is not in the access log, such as /health, or with * at its end, such as /static/*; repeatable.
        #[option("access-log-exclude", default = Vec::new(), example("/health"))]
        pub access_exclude: Vec<String>,
        /// Of how many requests in a hundred there is a line. Responses of class 5xx and those that were not complete have one
        /// in any case.
        #[option("access-log-sample", default = Percent(100), range(0, 100))]
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
