//! Every option, declared once.

/// What an option's value is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// `--name` and `--no-name`.
    Flag,
    /// Any text.
    Text,
    /// One of these.
    Choice(&'static [&'static str]),
    /// One of these with `--name=value`, or the second with `--name` alone; `--no-name` unsets it.
    OptionalChoice(&'static [&'static str], &'static str),
    /// A whole number in this range.
    Int(u64, u64),
    /// A whole number in this range, or `auto`.
    IntOrAuto(u64, u64),
    /// A duration in this range of seconds.
    Duration(u64, u64),
    /// Text, several times.
    List,
}

/// Whether an option does what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It does.
    Now,
    /// It is checked, reported and otherwise without effect.
    Later,
    /// Using it stops the start; the text says what to do instead.
    Refused(&'static str),
}

/// An option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) short: Option<char>,
    pub(crate) kind: Kind,
    /// As the user would write it; empty for "not set".
    pub(crate) default: &'static str,
    pub(crate) effect: Effect,
    pub(crate) help: &'static str,
}

use Effect::{Later, Now, Refused};
use Kind::{Choice, Duration, Flag, Int, IntOrAuto, List, OptionalChoice, Text};

const fn spec(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    effect: Effect,
    help: &'static str,
) -> Spec {
    Spec { name, aliases: &[], short: None, kind, default, effect, help }
}

const fn alias(mut spec: Spec, aliases: &'static [&'static str], short: Option<char>) -> Spec {
    spec.aliases = aliases;
    spec.short = short;
    spec
}

const TLS: Effect =
    Refused("TLS is not served yet: let a proxy end it, and bind to loopback or a Unix socket");
const STATIC: Effect = Refused("static files are not served yet: let a proxy serve them, or the application");
const METRICS: Effect = Refused("there is no metrics endpoint yet");
const YEAR: u64 = 366 * 86_400;

/// All options, in the order of the reference.
#[rustfmt::skip]
pub(crate) const OPTIONS: &[Spec] = &[
    spec("app", Text, "", Now, "The application, as module:attribute; also the positional argument"),
    spec("host", Text, "127.0.0.1", Now, "The address or host name to listen on"),
    spec("port", Int(0, 65_535), "8000", Now, "The port to listen on; 0 lets the system choose"),
    alias(spec("bind", List, "", Now, "HOST:PORT, unix:PATH or fd://N to listen on, instead of host and port; repeatable"), &[], Some('b')),
    spec("uds", Text, "", Now, "The path of a Unix socket to listen on, instead of host and port"),
    spec("uds-permissions", Text, "", Now, "The mode of the Unix socket, in octal if it starts with 0"),
    spec("interface", Choice(&["auto", "asgi", "asginl", "wsgi", "rsgi"]), "auto", Now, "How the application is called; auto finds out, asginl is ASGI without lifespan"),
    spec("http", Choice(&["auto", "1", "2"]), "auto", Now, "The HTTP version; 2 is not served yet"),
    spec("ws", Flag, "true", Now, "Serve WebSocket; without it a handshake is answered as the plain request that it also is"),
    spec("ws-max-size", Int(1, 1 << 30), "16777216", Now, "The longest WebSocket message, in bytes; a longer one closes the connection with 1009"),
    spec("ws-ping-interval", Duration(1, 3_600), "20", Now, "How often a WebSocket client is pinged"),
    spec("ws-ping-timeout", Duration(1, 3_600), "20", Now, "How long a WebSocket client may take to answer a ping"),
    spec("ws-deflate", Flag, "false", Now, "Compress WebSocket messages for clients that offer it (permessage-deflate); costs processor time, and memory per connection"),
    spec("ws-deflate-window-bits", Int(9, 15), "12", Now, "The window of WebSocket compression, as a power of two: from 512 bytes (9) to 32 KiB (15)"),
    spec("ws-deflate-context-takeover", Flag, "true", Now, "Compress a WebSocket message with the help of those before it; without it messages are larger and connections smaller"),
    alias(spec("workers", IntOrAuto(1, 1024), "1", Now, "Worker processes to keep alive; auto is one per usable processor"), &[], Some('w')),
    spec("blocking-threads", Int(1, 1024), "1", Now, "Threads per worker that call a WSGI application; 1 calls it in place, one request at a time"),
    spec("blocking-threads-idle-timeout", Duration(5, 600), "30", Later, "How long an idle thread is kept; threads are persistent here"),
    spec("wsgi-body-spool", Int(0, 1 << 50), "1073741824", Now, "How much of a request's body is stored before a WSGI application is called, in bytes: up to 1 MiB in memory, more in a file without a name in TMPDIR; a longer body is read on while the application runs, on one of at most half of the threads"),
    spec("wsgi-answer-buffer", Int(0, 1 << 40), "1048576", Now, "How much of a streamed answer is taken from a thread of a WSGI application ahead of the client, in bytes; beyond that the thread waits for the client"),
    alias(spec("runtime-threads", Int(1, 1024), "1", Now, "Threads of the I/O runtime; a worker has one, scale with --workers"), &["threads"], None),
    spec("runtime-blocking-threads", Int(1, 1024), "", Later, "Threads for blocking I/O of the runtime"),
    alias(spec("runtime-mode", Choice(&["auto", "st", "mt", "workers", "runtime"]), "auto", Now, "How a worker runs; always st (`workers`): one thread"), &["threading-mode"], None),
    spec("loop", Choice(&["auto", "hostler", "asyncio", "uvloop", "rloop", "winloop"]), "auto", Now, "The event loop of ASGI and RSGI workers; auto is hostler's own, which serves connections from inside its wait; asyncio and uvloop are for those who need them, at their speed"),
    spec("task-impl", Choice(&["asyncio", "rust"]), "asyncio", Later, "The implementation of request tasks; asyncio's own"),
    spec("opt", Flag, "true", Later, "Optimisations; always on"),
    spec("backlog", Int(128, 65_535), "1024", Now, "Connections that may wait to be accepted, per listener"),
    spec("accept", Choice(&["shared", "per-worker"]), "shared", Now, "One queue of connections for all workers, from which the least busy takes; or one for each worker (SO_REUSEPORT), filled by the kernel without regard to work, from which siblings help out"),
    spec("backpressure", Int(1, 1_000_000), "", Later, "Connections per worker before it stops accepting"),
    spec("http1-buffer-size", Int(8_192, 1 << 30), "417792", Now, "The most bytes a connection buffers, and so the longest request head, in bytes"),
    spec("http1-header-read-timeout", Int(1, 60_000), "30000", Now, "How long a client may take to send a request's head, in milliseconds"),
    spec("body-read-timeout", Duration(0, 86_400), "30", Now, "How long a client may send nothing of a request's body that the application waits for, before it is answered with 408; 0 is for ever"),
    spec("write-timeout", Duration(0, 86_400), "30", Now, "How long a client may read nothing of its answer, before the connection is reset; 0 is for ever"),
    spec("http1-keep-alive", Flag, "true", Now, "Keep connections open between requests"),
    spec("http1-pipeline-flush", Flag, "false", Now, "Gather the answers to pipelined requests before writing them; always on, up to a millisecond"),
    spec("http2-adaptive-window", Flag, "false", Later, "HTTP/2: adapt windows"),
    spec("http2-initial-connection-window-size", Int(1024, 1 << 31), "1048576", Later, "HTTP/2: window of a connection, in bytes"),
    spec("http2-initial-stream-window-size", Int(1024, 1 << 31), "1048576", Later, "HTTP/2: window of a stream, in bytes"),
    spec("http2-keep-alive-interval", Int(1, 60_000), "", Later, "HTTP/2: interval of pings, in milliseconds"),
    spec("http2-keep-alive-timeout", Duration(1, 60), "20", Later, "HTTP/2: how long a ping may stay unanswered"),
    spec("http2-max-concurrent-streams", Int(10, 1 << 31), "200", Later, "HTTP/2: streams of a connection"),
    spec("http2-max-frame-size", Int(1024, 1 << 24), "16384", Later, "HTTP/2: longest frame, in bytes"),
    spec("http2-max-headers-size", Int(1, 1 << 31), "16777216", Later, "HTTP/2: longest header list, in bytes"),
    spec("http2-max-send-buffer-size", Int(1024, 1 << 31), "409600", Later, "HTTP/2: write buffer of a stream, in bytes"),
    spec("log", Flag, "true", Now, "Write log lines"),
    spec("log-level", Choice(&["critical", "error", "warning", "warn", "info", "debug", "notset"]), "info", Now, "The least important line that is logged"),
    spec("log-format", Choice(&["text", "json"]), "text", Now, "What a log line looks like"),
    spec("log-file", Text, "", Now, "The file that log lines are appended to, instead of standard error; SIGUSR1 opens it again"),
    spec("log-config", Text, "", Later, "A file that configures Python's logging"),
    spec("access-log", Flag, "false", Later, "Log every request"),
    spec("access-log-fmt", Text, "", Later, "The form of the access log"),
    spec("ssl-certificate", Text, "", TLS, "TLS: the certificate's file"),
    spec("ssl-keyfile", Text, "", TLS, "TLS: the key's file"),
    spec("ssl-keyfile-password", Text, "", TLS, "TLS: the key's password"),
    spec("ssl-protocol-min", Choice(&["tls1.2", "tls1.3"]), "tls1.3", TLS, "TLS: the oldest version"),
    spec("ssl-ca", Text, "", TLS, "TLS: the authority of client certificates"),
    spec("ssl-crl", List, "", TLS, "TLS: revoked client certificates"),
    spec("ssl-client-verify", Flag, "false", TLS, "TLS: ask for client certificates"),
    alias(spec("url-path-prefix", Text, "", Now, "The path that the application is mounted on: root_path, SCRIPT_NAME"), &["root-path"], None),
    spec("respawn-failed-workers", Flag, "true", Now, "Replace workers that died; always on"),
    spec("respawn-interval", Duration(0, YEAR), "3.5", Now, "The least time between two planned replacements"),
    spec("rss-sample-interval", Duration(1, 300), "30", Now, "How often the memory of workers is measured"),
    spec("rss-samples", Int(1, 1000), "1", Now, "Measurements over the limit before a worker is replaced"),
    spec("workers-lifetime", Duration(1, YEAR), "", Now, "The age at which a worker is replaced"),
    spec("workers-lifetime-jitter", Int(0, 100), "10", Now, "The most that chance takes off --workers-lifetime, in percent"),
    spec("max-replacing", Int(1, 1024), "1", Now, "How many workers may be replaced at a time for age, requests or memory"),
    spec("workers-max-rss", Int(1, 1 << 32), "", Now, "The memory at which a worker is replaced, in MiB of its proportional share (PSS)"),
    spec("workers-kill-timeout", Duration(1, 1800), "", Now, "How long a worker may take to stop before it is killed; another name for --graceful-timeout"),
    spec("max-requests", Int(1, u64::MAX), "", Now, "The number of requests after which a worker is replaced"),
    spec("max-requests-jitter", Int(0, u64::MAX), "", Now, "The most that chance takes off --max-requests; a tenth of it unless set"),
    spec("graceful-timeout", Duration(0, 86_400), "30", Now, "How long requests in flight may take to finish when the server stops"),
    spec("drain-delay", Duration(0, 3_600), "0", Now, "How long to serve on after SIGTERM, each answer ending its connection"),
    spec("stall-timeout", Duration(0, 86_400), "30", Now, "How long a worker's loop may stand still before it is reported and replaced; 0 is for ever"),
    spec("boot-timeout", Duration(0, 86_400), "600", Now, "How long a worker may take to be ready before it is reported and replaced; 0 is for ever"),
    spec("slow-callback", Int(0, 3_600_000), "1000", Now, "How long the event loop may stand still before it is logged where, in milliseconds; 0 is never"),
    spec("warmup", Text, "", Now, "A path that each worker requests from its application before it counts as ready"),
    spec("request-timeout", Duration(0, 86_400), "", Now, "How long a request may take until its response begins, before it is answered with 504 and cancelled"),
    spec("preload", OptionalChoice(&["warn", "strict"], "warn"), "", Now, "Import the application once, before forking workers; strict refuses to start if something makes forks unsafe, warn says so"),
    spec("user", Text, "", Now, "The user that workers run as, by name or number; needs root"),
    spec("group", Text, "", Now, "The group that workers run as, by name or number"),
    spec("umask", Text, "", Now, "The file mode creation mask of workers, in octal"),
    spec("factory", Flag, "false", Now, "The attribute is a function that makes the application"),
    spec("working-dir", Text, "", Now, "The directory to work in and to import the application from"),
    spec("env-files", List, "", Now, "Files of KEY=VALUE lines for the application's environment; repeatable"),
    spec("python", Text, "", Now, "The Python to use; else the active virtual environment's, else python3 on PATH"),
    spec("static-path-route", List, "/static", STATIC, "Static files: the URL's path"),
    spec("static-path-mount", List, "", STATIC, "Static files: the directory"),
    spec("static-path-dir-to-file", Text, "", STATIC, "Static files: the index's name"),
    spec("static-path-expires", Duration(0, YEAR), "86400", STATIC, "Static files: how long they may be cached"),
    spec("metrics", Flag, "false", METRICS, "Serve metrics"),
    spec("metrics-scrape-interval", Duration(1, 60), "15", Later, "Metrics: how often they are gathered"),
    spec("metrics-address", Text, "127.0.0.1", Later, "Metrics: the address"),
    spec("metrics-port", Int(1, 65_535), "9090", Later, "Metrics: the port"),
    spec("reload", Flag, "false", Later, "Reload when files change"),
    spec("reload-paths", List, "", Later, "Reload: where to look"),
    spec("reload-ignore-dirs", List, "", Later, "Reload: directories to ignore"),
    spec("reload-ignore-patterns", List, "", Later, "Reload: patterns to ignore"),
    spec("reload-ignore-paths", List, "", Later, "Reload: paths to ignore"),
    spec("reload-tick", Int(50, 5_000), "50", Later, "Reload: how often to look, in milliseconds"),
    spec("reload-ignore-worker-failure", Flag, "false", Later, "Reload: go on after a failure"),
    spec("process-name", Text, "", Now, "The title of the master; workers add worker-N"),
    spec("pid-file", Text, "", Now, "A file for the master's process id, written when all workers serve"),
    spec("config", Text, "", Now, "A TOML file with any of these options"),
    spec("print-config", Flag, "false", Now, "Print every option, its value and where it was set, and leave"),
    spec("print-reference", Flag, "false", Now, "Print docs/CONFIGURATION.md and leave"),
    spec("print-sample", Flag, "false", Now, "Print config/hostler.toml and leave"),
];

/// The option of this name or alias.
pub(crate) fn find(name: &str) -> Option<&'static Spec> {
    OPTIONS.iter().find(|spec| spec.name == name || spec.aliases.contains(&name))
}

impl Spec {
    /// `HOSTLER_WORKERS_LIFETIME`.
    pub(crate) fn env_name(&self) -> String {
        format!("HOSTLER_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// Options that print something instead of serving; they have no place in files and references.
    pub(crate) fn is_printer(&self) -> bool {
        self.name.starts_with("print-")
    }

    /// What a value looks like, for help texts.
    pub(crate) fn value_name(&self) -> String {
        match self.kind {
            Kind::Flag => String::new(),
            Kind::Text | Kind::List => "TEXT".into(),
            Kind::Choice(choices) | Kind::OptionalChoice(choices, _) => choices.join("|"),
            Kind::Int(..) => "N".into(),
            Kind::IntOrAuto(..) => "N|auto".into(),
            Kind::Duration(..) => "DURATION".into(),
        }
    }
}
