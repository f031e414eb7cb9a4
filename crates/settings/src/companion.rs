//! Companions: programs that the server keeps alive beside its workers.

use crate::{Bind, OptionValue, Rules, Shape, Unit, macros::choice, words};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

/// What stands for the workers in `after`.
pub const WORKERS: &str = "workers";
/// What stands for the server's own listening sockets in `listen`.
pub const SERVER: &str = "server";

/// The keys of a table, for messages and the schema.
const TABLE: &str = r#"{
    "type": "object",
    "required": ["name", "command"],
    "additionalProperties": false,
    "properties": {
        "name": { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$" },
        "command": { "anyOf": [{ "type": "string", "minLength": 1 }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }] },
        "replicas": { "type": "integer", "minimum": 0, "maximum": 256 },
        "restart": { "enum": ["always", "on-failure", "never"] },
        "after": { "type": "array", "items": { "type": "string" } },
        "before-workers": { "type": "boolean" },
        "ready": { "type": "string", "pattern": "^(started|notify|exit|tcp:.+|unix:.+|http://.+|exec:.+)$" },
        "ready-timeout": { "anyOf": [{ "type": "number", "minimum": 0 }, { "type": "string", "minLength": 1 }] },
        "stop-signal": { "type": "string" },
        "stop-timeout": { "anyOf": [{ "type": "number", "minimum": 0 }, { "type": "string", "minLength": 1 }] },
        "reload": { "type": "string", "pattern": "^(keep|restart|SIG[A-Z0-9]+)$" },
        "user": { "type": "string" },
        "group": { "type": "string" },
        "directory": { "type": "string" },
        "env": { "type": "object", "additionalProperties": { "type": "string" } },
        "umask": { "type": "string", "pattern": "^(0o)?[0-7]+$" },
        "nice": { "type": "integer", "minimum": -20, "maximum": 19 },
        "output": { "enum": ["log", "inherit", "null"] },
        "listen": { "type": "array", "items": { "type": "string" } }
    }
}"#;

choice! {
    /// Whether a companion that has ended is started again.
    pub enum Restart {
        /// However it ended.
        Always = "always",
        /// Unless it exited with code 0.
        OnFailure = "on-failure",
        /// It is not.
        Never = "never",
    }
}

choice! {
    /// Where a companion's standard output and error go.
    pub enum Output {
        /// To the server's log, line by line, with the companion's name.
        Log = "log",
        /// Where the server's own go, as they are.
        Inherit = "inherit",
        /// Nowhere.
        Null = "null",
    }
}

/// When a companion is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ready {
    /// It was started.
    Started,
    /// It says so: `READY=1` over the socket that NOTIFY_SOCKET names (sd_notify(3)).
    Notify,
    /// It has exited with code 0: what it does is a step of the start.
    Exit,
    /// A TCP address accepts connections.
    Tcp(String),
    /// A Unix socket accepts connections.
    Unix(PathBuf),
    /// A URL is answered with a status below 400.
    Http {
        /// Host and port.
        authority: String,
        /// The path.
        path: String,
    },
    /// A command exits with code 0.
    Command(Vec<String>),
}

impl Ready {
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        Some(match (kind, rest) {
            ("started", "") => Self::Started,
            ("notify", "") => Self::Notify,
            ("exit", "") => Self::Exit,
            ("tcp", address) => Self::Tcp(with_port(address)?),
            ("unix", path) if path.starts_with(['/', '@', '.']) => Self::Unix(path.into()),
            ("http", url) => {
                let (authority, path) =
                    url.strip_prefix("//").map(|url| url.split_once('/').unwrap_or((url, "")))?;
                let authority =
                    if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
                Self::Http { authority: with_port(&authority)?, path: format!("/{path}") }
            }
            ("exec", command) => Self::Command(words::split(command).ok().filter(|words| !words.is_empty())?),
            _ => return None,
        })
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("started"),
            Self::Notify => f.write_str("notify"),
            Self::Exit => f.write_str("exit"),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Http { authority, path } => write!(f, "http://{authority}{path}"),
            Self::Command(command) => write!(f, "exec:{}", joined(command)),
        }
    }
}

/// `127.0.0.1:6379`; a port alone is one of this machine.
fn with_port(address: &str) -> Option<String> {
    let (host, port) = address.rsplit_once(':').unwrap_or(("", address));
    port.parse::<u16>().ok().filter(|port| *port > 0)?;
    let host = if host.is_empty() { "localhost" } else { host };
    Some(format!("{host}:{port}"))
}

/// What a reload does to a companion that has not changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompanionReload {
    /// Nothing.
    Keep,
    /// It is restarted, one replica after the other.
    Restart,
    /// It is sent a signal.
    Signal(SignalName),
}

/// The name of a signal, as `SIGTERM`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalName(pub String);

/// The signals by which programs are stopped or told to do something.
const SIGNALS: [&str; 10] = [
    "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGKILL", "SIGABRT",
    "SIGCONT",
];

impl SignalName {
    fn parse(text: &str) -> Option<Self> {
        let name = text.to_ascii_uppercase();
        let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
        SIGNALS.contains(&name.as_str()).then_some(Self(name))
    }
}

/// A socket that is listened on for a companion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompanionListen {
    /// Those of the server.
    Server,
    /// One of its own, and what it is called in LISTEN_FDNAMES, if it has a name.
    Own {
        /// The name.
        name: Option<String>,
        /// The address.
        bind: Bind,
    },
}

impl CompanionListen {
    fn parse(text: &str, rules: &Rules) -> Option<Self> {
        if text == SERVER {
            return Some(Self::Server);
        }
        let (name, address) = match text.split_once('=') {
            Some((name, address)) if is_name(name) => (Some(name.to_owned()), address),
            _ => (None, text),
        };
        match Bind::parse(address, rules)? {
            Bind::Descriptor(_) | Bind::Tcp { port: None, .. } => None,
            // A reload binds it in the master, which waits for no name server.
            Bind::Tcp { host, .. } if host != "localhost" && host.parse::<std::net::IpAddr>().is_err() => {
                None
            }
            bind => Some(Self::Own { name, bind }),
        }
    }
}

/// A program that the server keeps alive beside its workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Companion {
    /// Its name, in the log and for `after`.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How many of it run.
    pub replicas: u16,
    /// Whether it is started again when it has ended.
    pub restart: Restart,
    /// Companions, or [`WORKERS`], that have to be ready before it is started.
    pub after: Vec<String>,
    /// Whether workers are started when it is ready, and not before.
    pub before_workers: bool,
    /// When it is ready.
    pub ready: Ready,
    /// How long that may take; `None` is unlimited.
    pub ready_timeout: Option<Duration>,
    /// The signal that stops it.
    pub stop_signal: SignalName,
    /// How long it may take to exit then.
    pub stop_timeout: Duration,
    /// What a reload does to it.
    pub reload: CompanionReload,
    /// The user that it runs as; that of the workers unless set.
    pub user: Option<String>,
    /// The group that it runs as.
    pub group: Option<String>,
    /// Its working directory; that of the workers unless set.
    pub directory: Option<PathBuf>,
    /// What is added to its environment.
    pub env: BTreeMap<String, String>,
    /// Its file mode creation mask; that of the workers unless set.
    pub umask: Option<u32>,
    /// By how much its priority is lower than that of the server (nice(2)).
    pub nice: i8,
    /// Where its output goes.
    pub output: Output,
    /// Sockets that it is handed, already listening.
    pub listen: Vec<CompanionListen>,
}

/// A companion as a table has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    name: String,
    command: Words,
    replicas: Option<u16>,
    restart: Option<String>,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    before_workers: bool,
    ready: Option<String>,
    ready_timeout: Option<NumberOrText>,
    stop_signal: Option<String>,
    stop_timeout: Option<NumberOrText>,
    reload: Option<String>,
    user: Option<String>,
    group: Option<String>,
    directory: Option<PathBuf>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    umask: Option<String>,
    #[serde(default)]
    nice: i8,
    output: Option<String>,
    #[serde(default)]
    listen: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Line(String),
    Each(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(serde_json::Number),
    Text(String),
}

impl NumberOrText {
    fn duration(&self) -> Option<Duration> {
        const RULES: Rules = Rules { min: 0, max: 86_400, unit: Unit::Base };
        match self {
            Self::Number(number) => <Duration as OptionValue>::parse(&number.to_string(), &RULES),
            Self::Text(text) => <Duration as OptionValue>::parse(text, &RULES),
        }
    }
}

/// What may stand in a log line, an environment variable and a process title.
fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.len() <= 64
        && text.chars().all(|char| char.is_ascii_alphanumeric() || "._-".contains(char))
}

fn joined(command: &[String]) -> String {
    command.iter().map(|word| words::quoted(word)).collect::<Vec<_>>().join(" ")
}

impl Companion {
    /// One with this name and command, and no settings of its own.
    #[must_use]
    pub fn new(name: &str, command: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            command,
            replicas: 1,
            restart: Restart::Always,
            after: Vec::new(),
            before_workers: false,
            ready: Ready::Started,
            ready_timeout: Some(Duration::from_secs(60)),
            stop_signal: SignalName("SIGTERM".into()),
            stop_timeout: Duration::from_secs(10),
            reload: CompanionReload::Keep,
            user: None,
            group: None,
            directory: None,
            env: BTreeMap::new(),
            umask: None,
            nice: 0,
            output: Output::Log,
            listen: Vec::new(),
        }
    }

    /// Its command as a user would write it.
    #[must_use]
    pub fn command_line(&self) -> String {
        joined(&self.command)
    }

    fn of_table(text: &str, rules: &Rules) -> Option<Self> {
        let table: Table = serde_json::from_str(text).ok()?;
        let command = match table.command {
            Words::Line(line) => words::split(&line).ok()?,
            Words::Each(words) => words,
        };
        let mut companion = Self::valid(&table.name, command)?;
        companion.replicas = table.replicas.unwrap_or(1);
        if companion.replicas > 256 || !(-20..=19).contains(&table.nice) {
            return None;
        }
        if let Some(word) = table.restart {
            companion.restart = Restart::from_name(&word)?;
        }
        if let Some(text) = table.ready {
            companion.ready = Ready::parse(&text)?;
        }
        if let Some(limit) = table.ready_timeout {
            companion.ready_timeout = Some(limit.duration()?).filter(|limit| !limit.is_zero());
        }
        if let Some(name) = table.stop_signal {
            companion.stop_signal = SignalName::parse(&name)?;
        }
        if let Some(limit) = table.stop_timeout {
            companion.stop_timeout = limit.duration()?;
        }
        if let Some(word) = table.reload {
            companion.reload = match word.as_str() {
                "keep" => CompanionReload::Keep,
                "restart" => CompanionReload::Restart,
                signal => CompanionReload::Signal(SignalName::parse(signal)?),
            };
        }
        if let Some(mask) = table.umask {
            let mask = mask.strip_prefix("0o").unwrap_or(&mask);
            companion.umask = Some(u32::from_str_radix(mask, 8).ok().filter(|mask| *mask <= 0o777)?);
        }
        if let Some(word) = table.output {
            companion.output = Output::from_name(&word)?;
        }
        let listen = table.listen.iter().map(|text| CompanionListen::parse(text, rules));
        companion.listen = listen.collect::<Option<_>>()?;
        Some(Self {
            after: table.after,
            before_workers: table.before_workers,
            user: table.user,
            group: table.group,
            directory: table.directory,
            env: table.env,
            nice: table.nice,
            ..companion
        })
    }

    fn valid(name: &str, command: Vec<String>) -> Option<Self> {
        let is_command = command.first().is_some_and(|program| !program.is_empty());
        let has_nul = command.iter().any(|word| word.contains('\0'));
        (is_name(name) && name != WORKERS && is_command && !has_nul).then(|| Self::new(name, command))
    }
}

impl OptionValue for Companion {
    const SHAPE: Shape = Shape::Text;
    const PATTERN: Option<&'static str> = Some("^[A-Za-z0-9][A-Za-z0-9._-]*=.+$");
    const TABLE: Option<&'static str> = Some(TABLE);

    fn parse(text: &str, rules: &Rules) -> Option<Self> {
        if text.starts_with('{') {
            return Self::of_table(text, rules);
        }
        let (name, command) = text.split_once('=')?;
        Self::valid(name, words::split(command).ok()?)
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![format!("{}={}", self.name, self.command_line())]
    }

    fn value_name(_: &Rules) -> String {
        "NAME=COMMAND".into()
    }

    fn expected(_: &Rules) -> String {
        "NAME=COMMAND, or a table with name, command, and any of replicas, restart (always, on-failure, never), after (a list of \
         names), before-workers, ready (started, notify, exit, tcp:HOST:PORT, unix:PATH, http://HOST:PORT/PATH, exec:COMMAND), \
         ready-timeout, stop-signal, stop-timeout, reload (keep, restart, or a signal), user, group, directory, env (a table of \
         texts), umask (octal, in quotes), nice, output (log, inherit, null), listen (a list of addresses); a name has letters, \
         digits, dots, dashes and underscores, and is not `workers`"
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::{Companion, CompanionListen, CompanionReload, Output, Ready, Restart};
    use crate::{OptionValue, Rules, Unit};
    use std::time::Duration;

    const RULES: Rules = Rules { min: 0, max: u64::MAX, unit: Unit::Base };

    fn companion(text: &str) -> Option<Companion> {
        Companion::parse(text, &RULES)
    }

    #[test]
    fn a_companion_is_a_pair_or_a_table() {
        let pair = companion("cache=redis-server --port '6379' \"a b\"").unwrap();
        assert_eq!(pair.name, "cache");
        assert_eq!(pair.command, ["redis-server", "--port", "6379", "a b"]);
        assert_eq!((pair.restart, pair.replicas, &pair.ready), (Restart::Always, 1, &Ready::Started));
        let table = companion(
            r#"{"name": "node", "command": ["node", "server js"], "replicas": 4, "restart": "on-failure", "after": ["cache"],
                "ready": "tcp:3000", "ready-timeout": "5s", "stop-signal": "int", "stop-timeout": 2.5, "reload": "SIGHUP",
                "env": {"A": "b=c"}, "umask": "027", "nice": 5, "output": "null",
                "listen": ["web=127.0.0.1:3000", "unix:/run/n.sock", "server"]}"#,
        )
        .unwrap();
        assert_eq!(table.command_line(), "node 'server js'");
        assert_eq!(table.ready, Ready::Tcp("localhost:3000".into()));
        assert_eq!(table.ready_timeout, Some(Duration::from_secs(5)));
        assert_eq!(
            (table.stop_signal.0.as_str(), table.stop_timeout),
            ("SIGINT", Duration::from_millis(2500))
        );
        assert!(matches!(table.reload, CompanionReload::Signal(_)));
        assert_eq!((table.umask, table.nice, table.output), (Some(0o27), 5, Output::Null));
        assert_eq!(table.listen.len(), 3);
        assert_eq!(table.listen[2], CompanionListen::Server);
    }

    #[test]
    fn readiness_is_read_and_written_alike() {
        for text in [
            "started",
            "notify",
            "exit",
            "tcp:10.0.0.1:80",
            "unix:/run/a",
            "http://localhost:80/x/y",
            "exec:redis-cli ping",
        ] {
            assert_eq!(Ready::parse(text).unwrap().to_string(), text);
        }
        for text in
            ["", "soon", "tcp:", "tcp:host", "tcp:0", "unix:a", "http:x", "http://a:b/", "exec:", "exec:'a"]
        {
            assert_eq!(Ready::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_companion_is_refused() {
        for text in [
            "",
            "redis",
            "redis=",
            "a b=x",
            "workers=x",
            "-x=y",
            "x='a",
            "{}",
            r#"{"name": "a"}"#,
            r#"{"name": "a", "command": []}"#,
            r#"{"name": "a", "command": ""}"#,
            r#"{"name": "a", "command": "x\u0000"}"#,
            r#"{"name": "a", "command": "x", "comand": "y"}"#,
            r#"{"name": "a", "command": "x", "restart": "sometimes"}"#,
            r#"{"name": "a", "command": "x", "ready": "soon"}"#,
            r#"{"name": "a", "command": "x", "stop-signal": "SIGNOTHING"}"#,
            r#"{"name": "a", "command": "x", "replicas": 257}"#,
            r#"{"name": "a", "command": "x", "nice": 20}"#,
            r#"{"name": "a", "command": "x", "umask": "8"}"#,
            r#"{"name": "a", "command": "x", "listen": ["fd://3"]}"#,
            r#"{"name": "a", "command": "x", "listen": ["localhost"]}"#,
            r#"{"name": "a", "command": "x", "listen": ["a.example:80"]}"#,
        ] {
            assert_eq!(companion(text), None, "{text}");
        }
    }
}
