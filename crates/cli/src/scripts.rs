//! Files of settings that are Python: executed in a process of their own.

use crate::python;
use hostler_config::Reading;
use hostler_peers::{Files, Script};
use hostler_sys::{identity, process::output_within};
use hostler_wire::{ExitStatus, Failure, Identity};
use serde_json::{Map, Value};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const SCRIPT: &str = include_str!("settings.py");
/// How long a file may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Executes files.
pub(crate) struct Scripts(pub(crate) Reading);

impl Files for Scripts {
    fn exists(&self, path: &str) -> bool {
        Path::new(path).exists()
    }

    fn settings(&self, script: &Script<'_>) -> Result<Map<String, Value>, Failure> {
        let Script { location, names, user } = *script;
        let wrong = |cause: String| unusable(location, cause);
        let path = location.strip_prefix("file:").unwrap_or(location);
        if !location.starts_with("python:") && Path::new(path).exists() {
            // A pipe is refused when it would have to be read again.
            self.0.allows(Path::new(path)).map_err(|error| wrong(error.to_string()))?;
        }
        let asked = std::env::var_os("HOSTLER_PYTHON").map(PathBuf::from);
        let identity = user.map_or_else(|| Ok(Identity::default()), identity_of)?;
        let python = python::choose(asked.as_deref(), &identity)?;
        let mut command = Command::new(&python.program);
        identity::run_as(&mut command, &identity).map_err(|error| wrong(error.to_string()))?;
        let output = output_within(command.args(["-c", SCRIPT, location, &names.join(",")]), TIMEOUT);
        let output = output.map_err(|error| wrong(error.to_string()))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(wrong(own_frames(&text)).hint("the file raised this"));
        }
        // What the file printed.
        let _ = std::io::stderr().write_all(&output.stderr);
        serde_json::from_slice(&output.stdout).map_err(|error| wrong(error.to_string()))
    }

    fn text(&self, path: &str) -> Result<String, Failure> {
        self.0.text(Path::new(path)).map_err(|error| unusable(path, error.to_string()))
    }

    fn toml(&self, path: &str) -> Result<Map<String, Value>, Failure> {
        let text = self.0.text(Path::new(path)).map_err(|error| error.to_string());
        text.and_then(|text| hostler_config::parse_toml(&text)).map_err(|cause| unusable(path, cause))
    }
}

fn unusable(location: &str, cause: String) -> Failure {
    let message = format!("cannot use the configuration file `{location}`");
    Failure::new(ExitStatus::Config, message).because(cause)
}

/// The user, with the groups that workers have.
fn identity_of(user: &str) -> Result<Identity, Failure> {
    let account = identity::find_user(user).map_err(|error| {
        Failure::new(ExitStatus::Usage, format!("there is no user `{user}`")).because(error.to_string())
    })?;
    let identity = Identity {
        user: Some((account.user, account.name)),
        home: account.home,
        group: Some(account.group),
        ..Identity::default()
    };
    // A user who is no other needs no change of users, which only root can make.
    Ok(if identity::would_change(&identity) { identity } else { Identity::default() })
}

/// A traceback without the frames of our script and of the import system.
fn own_frames(text: &str) -> String {
    let mut kept = Vec::new();
    let mut skipped = false;
    for line in text.trim_end().lines() {
        if line.trim_start().starts_with("File ") {
            skipped = line.contains("\"<string>\"") || line.contains("\"<frozen");
        } else if !line.starts_with(' ') {
            skipped = false;
        }
        if !skipped {
            kept.push(line);
        }
    }
    kept.join("\n")
}
