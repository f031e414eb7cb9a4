//! What is said on the control socket: one JSON object on each line, described in docs/CONTROL.md for those who write clients.

use crate::Failure;
use hostler_settings::LogLevel;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{ffi::OsStr, path::PathBuf};

/// The version of what is said. A server refuses requests of another one, and says which it speaks.
pub const CONTROL_VERSION: u32 = 1;
/// The longest request, in bytes, with the end of its line.
pub const MAX_CONTROL_REQUEST: usize = 4096;

/// What a server is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// Tell what the server does, as in docs/STATUS.md.
    Status,
    /// Tell what the workers do.
    Workers,
    /// Tell where the threads of the workers are.
    Stacks {
        /// Of this one alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker: Option<u16>,
        /// Of the task worker of this name alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Replace all workers by those of a new generation, which reads configuration and application again.
    Reload,
    /// Replace workers one after another, by those of the same generation.
    Restart {
        /// This one alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker: Option<u16>,
        /// The companion, the replica or the task worker of this name alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Replace one worker, and wait until its process has ended.
    Drain {
        /// Its number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker: Option<u16>,
        /// The name of a task worker.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Have another number of workers.
    Scale {
        /// How many.
        workers: u16,
    },
    /// End the server.
    Stop {
        /// At once, without waiting for requests in flight.
        #[serde(default)]
        quickly: bool,
    },
    /// Start the program anew, and leave the sockets to it.
    Upgrade,
    /// Tell the configuration.
    Config {
        /// Only what a reload would find changed.
        #[serde(default)]
        changes: bool,
    },
    /// Log lines of this level and above; without one, tell which it is.
    LogLevel {
        /// The level.
        #[serde(default)]
        level: Option<LevelChoice>,
    },
}

impl Command {
    /// As on the command line and on the socket.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Workers => "workers",
            Self::Stacks { .. } => "stacks",
            Self::Reload => "reload",
            Self::Restart { .. } => "restart",
            Self::Drain { .. } => "drain",
            Self::Scale { .. } => "scale",
            Self::Stop { .. } => "stop",
            Self::Upgrade => "upgrade",
            Self::Config { .. } => "config",
            Self::LogLevel { .. } => "log-level",
        }
    }

    /// Whether it only tells something.
    #[must_use]
    pub const fn only_tells(&self) -> bool {
        matches!(
            self,
            Self::Status
                | Self::Workers
                | Self::Stacks { .. }
                | Self::Config { .. }
                | Self::LogLevel { level: None }
        )
    }
}

/// A level to log at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LevelChoice {
    /// Everything.
    Debug,
    /// What happens.
    Info,
    /// What may need attention.
    Warning,
    /// What failed.
    Error,
    /// As `error`.
    Critical,
    /// That of the configuration.
    Configured,
}

impl LevelChoice {
    /// All words.
    pub const NAMES: &[&str] = &["debug", "info", "warning", "error", "critical", "configured"];

    /// The choice of this word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        serde_json::from_value(Value::from(name)).ok()
    }

    /// The level; `None` for that of the configuration.
    #[must_use]
    pub const fn level(self) -> Option<LogLevel> {
        match self {
            Self::Debug => Some(LogLevel::Debug),
            Self::Info => Some(LogLevel::Info),
            Self::Warning => Some(LogLevel::Warning),
            Self::Error => Some(LogLevel::Error),
            Self::Critical => Some(LogLevel::Critical),
            Self::Configured => None,
        }
    }
}

/// A request, as a line without its end.
#[must_use]
pub fn control_request(command: &Command) -> String {
    let mut request = serde_json::to_value(command).unwrap_or_default();
    request["version"] = CONTROL_VERSION.into();
    request.to_string()
}

/// What a line asks for.
///
/// # Errors
/// Why it asks for nothing.
pub fn parse_control_request(line: &[u8]) -> Result<Command, Refusal> {
    let request: Value = serde_json::from_slice(line)
        .map_err(|error| Refusal::invalid("the request is not JSON").because(error.to_string()))?;
    match request.get("version").and_then(Value::as_u64) {
        Some(version) if version == u64::from(CONTROL_VERSION) => {}
        Some(version) => {
            let message =
                format!("the request is of version {version}, and this server speaks {CONTROL_VERSION}");
            return Err(Refusal::invalid(message).hint("use the `hostler ctl` of the server's own version"));
        }
        None => {
            return Err(
                Refusal::invalid("the request has no version").because("the key `version` is a number")
            );
        }
    }
    serde_json::from_value(request)
        .map_err(|error| Refusal::invalid("the request is not understood").because(error.to_string()))
}

/// A line from the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlReply {
    /// [`CONTROL_VERSION`].
    pub version: u32,
    /// What it says.
    #[serde(flatten)]
    pub reply: Reply,
}

/// What the server says to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "lowercase")]
pub enum Reply {
    /// It takes time; another reply follows.
    Begun {
        /// What has begun.
        message: String,
    },
    /// It is done.
    Done {
        /// What has been done, in a line.
        message: String,
        /// The same for programs, and what was asked for.
        #[serde(default)]
        result: Value,
    },
    /// It is not.
    Failed(Refusal),
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of reason.
    pub kind: RefusalKind,
    /// What was not done.
    pub message: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefusalKind {
    /// The request is wrong.
    Invalid,
    /// The client may not ask for anything.
    Denied,
    /// Something else is under way.
    Busy,
    /// It was tried.
    Failed,
}

impl Refusal {
    /// A reason of this kind.
    #[must_use]
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), cause: None, hint: None }
    }

    /// The request is wrong.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Invalid, message)
    }

    /// Something else is under way.
    #[must_use]
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Busy, message)
    }

    /// It was tried.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Failed, message)
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(self, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// It was tried, and this is why it failed.
    #[must_use]
    pub fn of(message: impl Into<String>, failure: Failure) -> Self {
        let Failure { message: why, cause, hint, .. } = failure;
        let cause = cause.map_or(why.clone(), |cause| format!("{why}\n{cause}"));
        Self { kind: RefusalKind::Failed, message: message.into(), cause: Some(cause), hint }
    }
}

/// An option of the running configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigEntry {
    /// Its name.
    pub option: String,
    /// Its value as a user would write it; empty for "not set".
    pub value: String,
    /// Where it was set.
    pub source: String,
}

/// The directories in which servers of a user have their control sockets unless told otherwise, the preferred one first.
/// `variable` reads the environment.
#[must_use]
pub fn control_directories(user: u32, variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    // Of systemd, with `:` between several (systemd.exec(5)).
    if let Some(of_service) = variable("RUNTIME_DIRECTORY") {
        directories.extend(std::env::split_paths(of_service.as_os_str()));
    }
    if user == 0 {
        directories.push("/run/hostler".into());
    } else if let Some(of_session) = variable("XDG_RUNTIME_DIR") {
        directories.push(of_session.join("hostler"));
    }
    directories.push(format!("/tmp/hostler-{user}").into());
    directories.retain(|directory| directory.is_absolute());
    directories
}

/// The name of the control socket of a process in one of [`control_directories`].
#[must_use]
pub fn control_name(pid: u32) -> String {
    format!("control-{pid}.sock")
}

/// The process that a control socket is of, by its name.
#[must_use]
pub fn control_pid(name: &OsStr) -> Option<i32> {
    name.to_str()?.strip_prefix("control-")?.strip_suffix(".sock")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{
        Command, ControlReply, LevelChoice, Refusal, RefusalKind, Reply, control_directories, control_name,
        control_pid, control_request, parse_control_request,
    };
    use serde_json::json;
    use std::path::PathBuf;

    #[test]
    fn requests_are_lines_of_json() {
        let scale = control_request(&Command::Scale { workers: 4 });
        assert_eq!(scale, r#"{"command":"scale","version":1,"workers":4}"#);
        let level = Command::LogLevel { level: LevelChoice::from_name("debug") };
        for command in [
            Command::Reload,
            Command::Restart { worker: None, name: None },
            Command::Stop { quickly: true },
            level,
        ] {
            assert!(control_request(&command).contains(command.name()));
            assert_eq!(parse_control_request(control_request(&command).as_bytes()), Ok(command));
        }
        let named = control_request(&Command::Restart { worker: None, name: Some("cache".into()) });
        assert_eq!(named, r#"{"command":"restart","name":"cache","version":1}"#);
        let short = br#"{"version":1,"command":"stop","later":"ignored"}"#;
        assert_eq!(parse_control_request(short), Ok(Command::Stop { quickly: false }));
    }

    #[test]
    fn what_is_no_request_is_refused_in_words() {
        for (line, words) in [
            ("reload", "not JSON"),
            (r#"{"command":"reload"}"#, "no version"),
            (r#"{"version":2,"command":"reload"}"#, "version 2"),
            (r#"{"version":1,"command":"dance"}"#, "not understood"),
            (r#"{"version":1,"command":"scale","workers":-1}"#, "not understood"),
            ("[]", "no version"),
        ] {
            let refusal = parse_control_request(line.as_bytes()).unwrap_err();
            assert!(refusal.message.contains(words), "{line}: {refusal:?}");
            assert_eq!(refusal.kind, RefusalKind::Invalid);
        }
    }

    #[test]
    fn replies_say_what_they_are() {
        let failed = Reply::Failed(Refusal::busy("not now").hint("later"));
        let line = serde_json::to_value(ControlReply { version: 1, reply: failed }).unwrap();
        assert_eq!(
            line,
            json!({"version": 1, "reply": "failed", "kind": "busy", "message": "not now", "hint": "later"})
        );
        let done: ControlReply =
            serde_json::from_str(r#"{"version":1,"reply":"done","message":"m"}"#).unwrap();
        assert_eq!(done.reply, Reply::Done { message: "m".into(), result: serde_json::Value::Null });
    }

    #[test]
    fn sockets_are_found_by_user_and_process() {
        let none = |_: &str| None;
        assert_eq!(control_directories(0, none), [PathBuf::from("/run/hostler"), "/tmp/hostler-0".into()]);
        let both = |name: &str| {
            Some(PathBuf::from(if name == "XDG_RUNTIME_DIR" { "/run/user/7" } else { "/run/a:/run/b" }))
        };
        let expected = ["/run/a", "/run/b", "/run/user/7/hostler", "/tmp/hostler-7"];
        assert_eq!(control_directories(7, both), expected.map(PathBuf::from));
        assert_eq!(control_directories(7, |_| Some("relative".into())), [PathBuf::from("/tmp/hostler-7")]);
        assert_eq!(control_pid(control_name(12).as_ref()), Some(12));
        assert_eq!(control_pid("shop.sock".as_ref()), None);
    }
}
