//! The configuration as the program uses it.

use crate::{
    error::{Error, Source},
    resolve::Values,
    supervision::{self, Supervision},
};
use hostler_wire::{
    AppSettings, DeflateSettings, HttpSettings, Identity, Interface, ListenerSettings, LogForm, LogLevel,
    LogSettings, Preload, WebSocketSettings, WorkerSettings, WsgiSettings,
};
use std::{fmt, path::PathBuf, time::Duration};

/// Everything that was configured and is in effect.
#[derive(Debug)]
pub struct Config {
    /// Where to listen.
    pub binds: Vec<Bind>,
    /// Whether the user said where; otherwise sockets that a service manager passed go first.
    pub binds_chosen: bool,
    /// Connections that may wait to be accepted.
    pub backlog: i32,
    /// The mode of Unix sockets.
    pub uds_mode: Option<u32>,
    /// Whether each worker has a queue of its own for each TCP address.
    pub accept_per_worker: bool,
    /// How many workers.
    pub workers: Workers,
    /// The Python that was asked for.
    pub python: Option<PathBuf>,
    /// Files with variables for the application's environment.
    pub env_files: Vec<PathBuf>,
    /// How many workers there are and how long they live.
    pub supervision: Supervision,
    /// Where log lines are appended to, if not to standard error.
    pub log_file: Option<PathBuf>,
    /// Where the process id is written.
    pub pid_file: Option<PathBuf>,
    /// Options that were set and have no effect yet, as `--name value (source)`.
    pub not_yet_in_effect: Vec<String>,
    settings: WorkerSettings,
}

/// How many workers to keep alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// This many.
    Count(u16),
    /// One per processor that the process may use.
    Auto,
}

/// A place to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// A host name or address, and a port.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
    /// A socket that the process was started with.
    Descriptor(i32),
}

/// The most workers with a socket each: they are passed in one message, which holds 253 descriptors (unix(7)).
const MOST_SOCKETS: u64 = 64;

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Descriptor(number) => write!(f, "fd://{number}"),
        }
    }
}

impl Config {
    pub(crate) fn from_values(values: &Values) -> Result<Self, Error> {
        refuse_combinations(values)?;
        let workers = match values.text("workers") {
            Some("auto") => Workers::Auto,
            _ => Workers::Count(values.int("workers").and_then(|n| u16::try_from(n).ok()).unwrap_or(1)),
        };
        Ok(Self {
            binds: binds(values)?,
            binds_chosen: ["bind", "uds", "host", "port"]
                .iter()
                .any(|name| values.source(name) != Source::Default),
            backlog: values.int("backlog").and_then(|n| i32::try_from(n).ok()).unwrap_or(1024),
            uds_mode: uds_mode(values)?,
            accept_per_worker: values.text("accept") == Some("per-worker"),
            workers,
            python: values.text("python").map(PathBuf::from),
            env_files: values.texts("env-files").iter().map(PathBuf::from).collect(),
            supervision: supervision::from_values(values)?,
            log_file: values.text("log-file").map(PathBuf::from),
            pid_file: values.text("pid-file").map(PathBuf::from),
            not_yet_in_effect: values.not_in_effect(),
            settings: WorkerSettings {
                app: Some(app(values)?),
                listeners: Vec::new(),
                http: http(values),
                log: log(values),
                process_name: values.text("process-name").map(str::to_owned),
                graceful_timeout: supervision::graceful_timeout(values),
                stall_timeout: supervision::limit(values, "stall-timeout"),
                request_timeout: supervision::limit(values, "request-timeout"),
                slow_callback: values
                    .int("slow-callback")
                    .filter(|millis| *millis > 0)
                    .map(Duration::from_millis),
                warmup: warmup(values)?,
                identity: supervision::identity(values)?,
            },
        })
    }

    /// What workers are told, now that the listeners are known.
    #[must_use]
    pub fn worker_settings(&self, listeners: Vec<ListenerSettings>) -> WorkerSettings {
        WorkerSettings { listeners, ..self.settings.clone() }
    }

    /// Whom the application runs as.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.settings.identity
    }

    /// Where log lines go.
    #[must_use]
    pub fn log(&self) -> &LogSettings {
        &self.settings.log
    }
}

fn refused(values: &Values, name: &str, cause: &str, hint: &str) -> Error {
    let (source, text) = (values.source(name), values.text(name).unwrap_or_default());
    Error::at(&source, format!("--{name} {text} cannot be used ({source})")).because(cause).hint(hint)
}

fn refuse_combinations(values: &Values) -> Result<(), Error> {
    if values.text("http") == Some("2") {
        let hint = "use --http 1, and let a proxy speak HTTP/2 to clients";
        return Err(refused(values, "http", "HTTP/2 is not served yet", hint));
    }
    let one_thread = "a worker has one thread, so that none of its requests waits for a lock";
    let scale = "use --workers to use more processors";
    if values.int("runtime-threads").is_some_and(|threads| threads > 1) {
        return Err(refused(values, "runtime-threads", one_thread, scale));
    }
    if matches!(values.text("runtime-mode"), Some("mt" | "runtime")) {
        return Err(refused(values, "runtime-mode", one_thread, scale));
    }
    let few = match values.text("workers") {
        Some("auto") => true,
        _ => values.int("workers").is_none_or(|workers| workers <= MOST_SOCKETS),
    };
    if values.text("accept") == Some("per-worker") && !few {
        let cause = "so many sockets cannot be passed on";
        return Err(refused(values, "accept", cause, "use --accept shared, or fewer workers"));
    }
    if values.text("respawn-failed-workers") == Some("false") {
        let hint = "leave the option out";
        return Err(refused(values, "respawn-failed-workers", "dead workers are always replaced", hint));
    }
    Ok(())
}

fn app(values: &Values) -> Result<AppSettings, Error> {
    let target = values.text("app").ok_or_else(|| {
        Error::at(&Source::Argv, "no application was named")
            .hint("name it as module:attribute, for example `hostler shop.main:app`")
    })?;
    let interface = match values.text("interface") {
        Some("asgi") => Some(Interface::Asgi),
        Some("asginl") => Some(Interface::AsgiNoLifespan),
        Some("wsgi") => Some(Interface::Wsgi),
        Some("rsgi") => Some(Interface::Rsgi),
        _ => None,
    };
    Ok(AppSettings {
        target: target.to_owned(),
        interface,
        factory: values.flag("factory"),
        working_dir: values.text("working-dir").map(PathBuf::from),
        blocking_threads: values.int("blocking-threads").and_then(|n| usize::try_from(n).ok()).unwrap_or(1),
        wsgi: WsgiSettings {
            body_spool: values.int("wsgi-body-spool").unwrap_or(1 << 30),
            answer_buffer: values
                .int("wsgi-answer-buffer")
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(1 << 20),
        },
        root_path: values.text("url-path-prefix").unwrap_or_default().trim_end_matches('/').to_owned(),
        event_loop: values.text("loop").unwrap_or("auto").to_owned(),
        event_loop_chosen: values.source("loop") != Source::Default,
        websocket: values.flag("ws").then(|| WebSocketSettings {
            max_size: values.int("ws-max-size").and_then(|n| usize::try_from(n).ok()).unwrap_or(16 << 20),
            ping_interval: values.duration("ws-ping-interval").unwrap_or(Duration::from_secs(20)),
            ping_timeout: values.duration("ws-ping-timeout").unwrap_or(Duration::from_secs(20)),
            deflate: values.flag("ws-deflate").then(|| DeflateSettings {
                window_bits: values
                    .int("ws-deflate-window-bits")
                    .and_then(|n| u8::try_from(n).ok())
                    .unwrap_or(12),
                context_takeover: values.flag("ws-deflate-context-takeover"),
            }),
        }),
        preload: match values.text("preload") {
            Some("strict") => Some(Preload::Strict),
            Some("warn" | "true") => Some(Preload::Warn),
            _ => None,
        },
    })
}

fn warmup(values: &Values) -> Result<Option<String>, Error> {
    match values.text("warmup") {
        Some(path) if !path.starts_with('/') => {
            let source = values.source("warmup");
            Err(Error::at(&source, format!("invalid value '{path}' for --warmup ({source})"))
                .because("it must be a path that begins with /"))
        }
        path => Ok(path.map(str::to_owned)),
    }
}

fn http(values: &Values) -> HttpSettings {
    let default = HttpSettings::default();
    HttpSettings {
        keep_alive: values.flag("http1-keep-alive"),
        header_read_timeout: values
            .int("http1-header-read-timeout")
            .map_or(default.header_read_timeout, Duration::from_millis),
        body_read_timeout: values.duration("body-read-timeout").filter(|limit| !limit.is_zero()),
        write_timeout: values.duration("write-timeout").filter(|limit| !limit.is_zero()),
        max_buffer: values
            .int("http1-buffer-size")
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(default.max_buffer),
    }
}

fn log(values: &Values) -> LogSettings {
    let level = match values.text("log-level") {
        Some("critical") => LogLevel::Critical,
        Some("error") => LogLevel::Error,
        Some("warning" | "warn") => LogLevel::Warning,
        Some("debug" | "notset") => LogLevel::Debug,
        _ => LogLevel::Info,
    };
    let form = if values.text("log-format") == Some("json") { LogForm::Json } else { LogForm::Text };
    LogSettings { enabled: values.flag("log"), level, form }
}

fn uds_mode(values: &Values) -> Result<Option<u32>, Error> {
    let Some(text) = values.text("uds-permissions") else { return Ok(None) };
    let radix = if text.starts_with('0') { 8 } else { 10 };
    let mode = u32::from_str_radix(text.trim_start_matches("0o"), radix).ok().filter(|mode| *mode <= 0o7777);
    mode.map(Some).ok_or_else(|| {
        let source = values.source("uds-permissions");
        Error::at(&source, format!("invalid value '{text}' for --uds-permissions ({source})"))
            .because("it must be a file mode, such as 0660")
    })
}

fn binds(values: &Values) -> Result<Vec<Bind>, Error> {
    let listed = values.texts("bind");
    if let Some(path) = values.text("uds") {
        let mut all = vec![Bind::Unix(PathBuf::from(path))];
        all.extend(listed.iter().map(|text| bind(text, values)).collect::<Result<Vec<_>, _>>()?);
        return Ok(all);
    }
    if !listed.is_empty() {
        return listed.iter().map(|text| bind(text, values)).collect();
    }
    let port = values.int("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(8000);
    Ok(vec![Bind::Tcp { host: values.text("host").unwrap_or("127.0.0.1").to_owned(), port }])
}

fn bind(text: &str, values: &Values) -> Result<Bind, Error> {
    let parsed = if let Some(path) = text.strip_prefix("unix:") {
        (!path.is_empty()).then(|| Bind::Unix(PathBuf::from(path)))
    } else if let Some(number) = text.strip_prefix("fd://") {
        number.parse().ok().filter(|number| *number >= 3).map(Bind::Descriptor)
    } else {
        text.rsplit_once(':').and_then(|(host, port)| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let host = if host.is_empty() { "0.0.0.0" } else { host };
            port.parse().ok().map(|port| Bind::Tcp { host: host.to_owned(), port })
        })
    };
    parsed.ok_or_else(|| {
        let source = values.source("bind");
        Error::at(&source, format!("invalid value '{text}' for --bind ({source})"))
            .because("it must be HOST:PORT, [V6]:PORT, unix:PATH or fd://N with N from 3")
    })
}
