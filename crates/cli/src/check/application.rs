//! What a worker does with the application before it serves, in a process of its own: by the Python, with the environment and as
//! the user of the workers. Its hooks are found and not called; its lifespan is run if that was asked for.

use super::report::Report;
use hostler_config::Config;
use hostler_master::MoldCommand;
use hostler_settings::{Interface, Preload};
use hostler_sys::{identity, process::output_of_group_within};
use hostler_wire::{ExitStatus, Failure};
use serde::Deserialize;
use serde_json::json;
use std::{ffi::OsString, io::Write as _, path::Path, process::Command, time::Duration};
use tracing::warn;

const SCRIPT: &str = include_str!("application.py");
/// How long an import may take that --boot-timeout does not limit.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What the script prints.
#[derive(Deserialize)]
struct Answer {
    application: Outcome<Loaded>,
    hooks: Option<Outcome<Vec<String>>>,
    /// What makes forks unsafe, with `--preload`.
    #[serde(default, rename = "unsafe")]
    unsafe_forks: Vec<String>,
    lifespan: Option<Outcome<Lifespan>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<T> {
    Ok(T),
    Failed { kind: String, message: String, cause: Option<String>, hint: Option<String> },
}

#[derive(Deserialize)]
struct Loaded {
    interface: String,
    seconds: f64,
}

#[derive(Deserialize)]
struct Lifespan {
    supported: bool,
    seconds: f64,
}

impl<T> Outcome<T> {
    fn result(self) -> Result<T, Failure> {
        match self {
            Self::Ok(value) => Ok(value),
            Self::Failed { kind, message, cause, hint } => {
                let status = match kind.as_str() {
                    "config" => ExitStatus::Config,
                    "boot" => ExitStatus::Boot,
                    _ => ExitStatus::AppImport,
                };
                Err(Failure { status, message, cause, hint })
            }
        }
    }
}

/// Tries all of it; the interface, if it could be served. `mold` starts the Python of the workers, whose extension is its first
/// argument after the program.
pub(super) fn try_all(
    config: &Config,
    (mold, extension): &(MoldCommand, std::path::PathBuf),
    run_lifespan: bool,
    report: &mut Report,
) -> Option<String> {
    let target = target(config);
    let answer = match ask(config, mold, extension, run_lifespan) {
        Ok(answer) => answer,
        Err(failure) => {
            report.add("application", Err(failure));
            return None;
        }
    };
    if let Some(hooks) = answer.hooks {
        report.add("hooks", hooks.result().map(|names| in_words(&names)));
    }
    let told = |loaded: &Loaded| {
        format!("`{target}` is served by {}; its import took {:.2} s", loaded.interface, loaded.seconds)
    };
    let loaded = report.keep("application", answer.application.result(), told)?;
    of_preload(config, &answer.unsafe_forks, report);
    match answer.lifespan {
        Some(outcome) => report.add("lifespan", outcome.result().map(|it| lived(&it))),
        None if run_lifespan => {
            report
                .add("lifespan", Ok(format!("there is none: `{target}` is served by {}", loaded.interface)));
        }
        None => {}
    }
    Some(loaded.interface)
}

fn in_words(names: &[String]) -> String {
    match names {
        [] => "none that workers call".into(),
        names => format!("{} can be called", names.join(", ")),
    }
}

fn lived(lifespan: &Lifespan) -> String {
    match lifespan.supported {
        true => format!("startup and shutdown took {:.2} s", lifespan.seconds),
        false => "the application has none".into(),
    }
}

/// What the mold does with that.
fn of_preload(config: &Config, problems: &[String], report: &mut Report) {
    let Some(mode) = config.settings.app.preload else { return };
    if problems.is_empty() {
        return report.add("preload", Ok("nothing makes forks unsafe".into()));
    }
    if mode == Preload::Strict {
        let message = format!("`{}` cannot be preloaded safely", target(config));
        let failure = Failure::new(ExitStatus::Boot, message).because(problems.join("\n"));
        return report.add("preload", Err(failure.hint(
            "start these in hostler.hooks.after_fork_child or in the lifespan; --preload=warn serves all the same",
        )));
    }
    for problem in problems {
        warn!(problem, "preload: a fork may be unsafe");
    }
}

fn target(config: &Config) -> &str {
    config.settings.app.target.as_deref().unwrap_or_default()
}

fn ask(config: &Config, mold: &MoldCommand, extension: &Path, run_lifespan: bool) -> Result<Answer, Failure> {
    let limit = config.settings.supervision.boot_timeout.unwrap_or(LONGEST);
    let failed = |cause: String| {
        Failure::new(ExitStatus::Boot, format!("could not import `{}`", target(config))).because(cause)
    };
    let mut command = Command::new(&mold.program);
    identity::run_as(&mut command, &config.identity).map_err(|error| failed(error.to_string()))?;
    let arguments: [OsString; 4] =
        ["-c".into(), SCRIPT.into(), extension.into(), asked(config, run_lifespan).into()];
    command.args(arguments).envs(mold.env.iter().cloned());
    let output = output_of_group_within(&mut command, limit).map_err(|error| match error.kind() {
        std::io::ErrorKind::TimedOut => {
            let what = if run_lifespan { "the import or the lifespan" } else { "the import" };
            failed("it took longer than --boot-timeout".into())
                .hint(format!("does {what} wait for something?"))
        }
        _ => failed(error.to_string()),
    })?;
    // What the application printed.
    let _ = std::io::stderr().write_all(&output.stderr);
    serde_json::from_slice(&output.stdout).map_err(|_| {
        failed(format!("the process that imported it ended ({})", output.status))
            .hint("what it printed above tells more")
    })
}

/// What the script is asked to try; `load` are the arguments of `hostler._load.load`.
fn asked(config: &Config, run_lifespan: bool) -> String {
    let app = &config.settings.app;
    let interface = (app.interface != Interface::Auto).then(|| app.interface.name());
    json!({
        "load": {
            "target": app.target,
            "factory": app.factory,
            "working_dir": app.working_dir,
            "python_path": app.python_path.0,
            "interface": interface,
        },
        "hooks": app.hooks,
        "preload": app.preload.is_some(),
        "lifespan": run_lifespan,
    })
    .to_string()
}
