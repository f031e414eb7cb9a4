//! Values that are one of some words.

use crate::{
    OptionValue, Rules, Shape,
    macros::{choice, choices},
};

choices! {
    /// Which static files never change.
    pub enum Immutable {
        /// Those whose names contain a hash of their content.
        Auto = "auto",
        /// All.
        Always = "always",
        /// None.
        Never = "never",
    }

    /// How an application is called.
    pub enum Interface {
        /// Detected from the callable.
        Auto = "auto",
        /// ASGI 3 with lifespan.
        Asgi = "asgi",
        /// ASGI 3 without lifespan.
        AsgiNoLifespan = "asginl",
        /// WSGI (PEP 3333).
        Wsgi = "wsgi",
        /// RSGI 1.6.
        Rsgi = "rsgi",
    }

    /// The version of HTTP.
    pub enum HttpVersion {
        /// Both, by what the client begins with.
        Auto = "auto",
        /// HTTP/1.0 and HTTP/1.1.
        One = "1",
        /// HTTP/2.
        Two = "2",
    }

    /// Who takes a new connection.
    pub enum Accept {
        /// One queue for each address, from which the least busy worker takes.
        Shared = "shared",
        /// A queue for each worker and TCP address (`SO_REUSEPORT`), filled by the kernel.
        PerWorker = "per-worker",
    }

    /// How a worker uses threads.
    pub enum RuntimeMode {
        /// One thread.
        Auto = "auto",
        /// One thread.
        SingleThread = "st",
        /// Several threads.
        MultiThread = "mt",
        /// One thread; Granian's older name.
        Workers = "workers",
        /// Several threads; Granian's older name.
        Runtime = "runtime",
    }

    /// What keeps tasks and hands them to workers.
    pub enum TaskEngine {
        /// A file, which a process of the server keeps.
        Embedded = "embedded",
        /// Celery's broker.
        Celery = "celery",
        /// A Ray cluster.
        Ray = "ray",
    }

    /// The event loop of ASGI and RSGI workers.
    pub enum EventLoop {
        /// Hostler's own.
        Auto = "auto",
        /// Hostler's own.
        Hostler = "hostler",
        /// The standard library's.
        Asyncio = "asyncio",
        /// uvloop.
        Uvloop = "uvloop",
        /// Hostler's own instead of rloop.
        Rloop = "rloop",
        /// Hostler's own instead of winloop.
        Winloop = "winloop",
    }

    /// The implementation of request tasks.
    pub enum TaskImplementation {
        /// asyncio's.
        Asyncio = "asyncio",
        /// One in Rust.
        Rust = "rust",
    }

    /// The importance of a log line.
    pub enum LogLevel {
        /// Details for debugging.
        Debug = "debug" | "notset",
        /// Normal operation.
        Info = "info",
        /// Problems without consequences for clients.
        Warning = "warning" | "warn",
        /// Failures.
        Error = "error",
        /// Failures that stop the server.
        Critical = "critical",
    }

    /// What a log line looks like.
    pub enum LogFormat {
        /// Time, level, event, `name=value`.
        Text = "text",
        /// One JSON object.
        Json = "json",
    }

    /// What kind of program a message for syslog says that it is of.
    pub enum SyslogFacility {
        /// Programs of users.
        User = "user",
        /// Daemons.
        Daemon = "daemon",
        /// For the site to use, as are the others.
        Local0 = "local0",
        /// The second.
        Local1 = "local1",
        /// The third.
        Local2 = "local2",
        /// The fourth.
        Local3 = "local3",
        /// The fifth.
        Local4 = "local4",
        /// The sixth.
        Local5 = "local5",
        /// The seventh.
        Local6 = "local6",
        /// The last.
        Local7 = "local7",
    }

    /// What a message for syslog looks like.
    pub enum SyslogFormat {
        /// What the receiver is used to: RFC 3164 on this machine, RFC 5424 elsewhere.
        Auto = "auto",
        /// RFC 3164.
        Rfc3164 = "rfc3164",
        /// RFC 5424, with the fields as structured data.
        Rfc5424 = "rfc5424",
    }

    /// Whether log lines have colours.
    pub enum Colour {
        /// On a terminal.
        Auto = "auto",
        /// Everywhere.
        Always = "always" | "true",
        /// Nowhere.
        Never = "never" | "false",
    }

    /// What is done with request headers that have an underscore in their name.
    pub enum HeaderMap {
        /// They are dropped.
        Drop = "drop",
        /// The request is refused.
        Refuse = "refuse",
        /// They are passed on.
        Dangerous = "dangerous",
    }

    /// Whether connections begin with a header of the PROXY protocol.
    pub enum ProxyProtocol {
        /// They do not.
        Off = "off",
        /// In its text form.
        V1 = "v1",
        /// In its binary form.
        V2 = "v2",
        /// In either form.
        Auto = "auto",
    }

    /// A version of TLS.
    pub enum TlsVersion {
        /// TLS 1.2 (RFC 5246).
        Tls12 = "tls1.2",
        /// TLS 1.3 (RFC 8446).
        Tls13 = "tls1.3",
    }

    /// A shell that completions are printed for.
    pub enum Shell {
        /// bash.
        Bash = "bash",
        /// zsh.
        Zsh = "zsh",
        /// fish.
        Fish = "fish",
    }
}

choice! {
    /// What to do when forking the preloaded application is unsafe.
    pub enum Preload {
        /// Log a warning.
        Warn = "warn",
        /// Refuse to start.
        Strict = "strict",
    }
}

/// A flag that can also name a mode: `--preload` is `--preload=warn`.
impl OptionValue for Preload {
    const SHAPE: Shape = Shape::OptionalChoice { names: Self::NAMES, alone: "warn" };

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        if text == "true" { Some(Self::Warn) } else { Self::from_name(text) }
    }

    fn parse_optional(text: &str, rules: &Rules) -> Option<Option<Self>> {
        if text == "false" { Some(None) } else { Self::parse(text, rules).map(Some) }
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![self.name().to_owned()]
    }

    fn value_name(_: &Rules) -> String {
        Self::NAMES.join("|")
    }

    fn expected(_: &Rules) -> String {
        format!("true, false or one of {}", Self::NAMES.join(", "))
    }
}
