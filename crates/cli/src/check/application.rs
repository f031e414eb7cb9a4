//! The application, imported in a process of its own: by the Python, with the environment and as the user of the workers.

use hostler_config::Config;
use hostler_master::MoldCommand;
use hostler_settings::Interface;
use hostler_sys::{identity, process::output_of_group_within};
use hostler_wire::{ExitStatus, Failure};
use serde::Deserialize;
use serde_json::json;
use std::{ffi::OsString, io::Write as _, path::Path, process::Command, time::Duration};

const SCRIPT: &str = include_str!("application.py");
/// How long an import may take that --boot-timeout does not limit.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What the script prints.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Loaded { interface: String, seconds: f64 },
    Failed { kind: String, message: String, cause: Option<String>, hint: Option<String> },
}

/// An application that can be served.
pub(crate) struct Loaded {
    pub(crate) interface: String,
    pub(crate) seconds: f64,
}

/// Imports it. `mold` starts the Python of the workers, whose extension is its first argument after the program.
pub(crate) fn import(config: &Config, mold: &MoldCommand, extension: &Path) -> Result<Loaded, Failure> {
    let limit = config.settings.supervision.boot_timeout.unwrap_or(LONGEST);
    let failed = |cause: String| {
        let target = config.settings.app.target.as_deref().unwrap_or_default();
        Failure::new(ExitStatus::Boot, format!("could not import `{target}`")).because(cause)
    };
    let mut command = Command::new(&mold.program);
    identity::run_as(&mut command, &config.identity).map_err(|error| failed(error.to_string()))?;
    let arguments: [OsString; 4] = ["-c".into(), SCRIPT.into(), extension.into(), asked(config).into()];
    command.args(arguments).envs(mold.env.iter().cloned());
    let output = output_of_group_within(&mut command, limit).map_err(|error| match error.kind() {
        std::io::ErrorKind::TimedOut => {
            failed("it took longer than --boot-timeout".into()).hint("does the import wait for something?")
        }
        _ => failed(error.to_string()),
    })?;
    // What the application printed.
    let _ = std::io::stderr().write_all(&output.stderr);
    match serde_json::from_slice(&output.stdout) {
        Ok(Answer::Loaded { interface, seconds }) => Ok(Loaded { interface, seconds }),
        Ok(Answer::Failed { kind, message, cause, hint }) => {
            let status = if kind == "config" { ExitStatus::Config } else { ExitStatus::AppImport };
            Err(Failure { status, message, cause, hint })
        }
        Err(_) => Err(failed(format!("the process that imported it ended ({})", output.status))
            .hint("what it printed above tells more")),
    }
}

/// The arguments of `hostler._load.load`.
fn asked(config: &Config) -> String {
    let app = &config.settings.app;
    let interface = (app.interface != Interface::Auto).then(|| app.interface.name());
    json!({
        "target": app.target,
        "factory": app.factory,
        "working_dir": app.working_dir,
        "python_path": app.python_path.0,
        "interface": interface,
    })
    .to_string()
}
