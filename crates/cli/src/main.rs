//! The program: read the options, find Python, bind, and let the master run.

#![forbid(unsafe_code)]

mod bind;
mod failure;
mod python;

use failure::Failure;
use hostler_config::{Config, Outcome, Workers};
use hostler_master::{MoldCommand, Plan, Spawner};
use hostler_wire::ExitStatus;
use std::{ffi::OsString, path::Path, process::ExitCode};
use tracing::{info, warn};

fn main() -> ExitCode {
    hostler_sys::title::init();
    let args: Vec<OsString> = std::env::args_os().collect();
    let status = match hostler_config::parse(args, &|name| std::env::var(name).ok()) {
        Ok(Outcome::Print(text)) => print(&text),
        Ok(Outcome::Run(config)) => run(&config).unwrap_or_else(|failure| failure.report()),
        Err(error) => Failure::from(error).report(),
    };
    ExitCode::from(status.code())
}

fn run(config: &Config) -> Result<ExitStatus, Failure> {
    hostler_sys::logging::init(config.log());
    report_settings(config);
    let mold = mold(config)?;
    let bound = bind::all(config)?;
    let listeners = bound.listeners.iter().map(|(info, _)| info.clone()).collect();
    let plan = Plan {
        settings: config.worker_settings(listeners),
        listeners: bound.listeners,
        workers: workers(config.workers),
        spawner: Spawner::Mold(mold),
        owned_paths: bound.paths,
    };
    Ok(hostler_master::run(plan))
}

/// What the user should know before anything is served.
fn report_settings(config: &Config) {
    if !config.not_yet_in_effect.is_empty() {
        warn!("not yet in effect: {}", config.not_yet_in_effect.join(", "));
    }
    let settings = config.worker_settings(Vec::new());
    let Some(app) = settings.app else { return };
    if app.event_loop_chosen && !matches!(app.event_loop.as_str(), "auto" | "hostler") {
        warn!(
            asked = app.event_loop,
            "hostler's own event loop is used instead: it serves connections from inside its wait, which no other loop can do"
        );
    }
}

fn workers(workers: Workers) -> u16 {
    match workers {
        Workers::Count(count) => count,
        Workers::Auto => {
            // Honours affinity and the cgroup's quota.
            let count = std::thread::available_parallelism().map_or(1, usize::from);
            let count = u16::try_from(count).unwrap_or(1024);
            info!(workers = count, "one worker for each processor that may be used");
            count
        }
    }
}

/// The command that starts the mold: a Python that loads the extension and waits for orders.
fn mold(config: &Config) -> Result<MoldCommand, Failure> {
    let python = python::choose(config.python.as_deref())?;
    let extension = python::extension_for(&python)?;
    info!(python = %python.program.display(), version = python.version, "python chosen");
    Ok(MoldCommand {
        program: python.program,
        args: vec![
            "-c".into(),
            include_str!("bootstrap.py").into(),
            extension.into(),
            // Room for process titles, which are written over the arguments.
            " ".repeat(512).into(),
        ],
        env: env_files(config)?,
    })
}

fn env_files(config: &Config) -> Result<Vec<(OsString, OsString)>, Failure> {
    let mut variables = Vec::new();
    for path in &config.env_files {
        let pairs = read_env_file(path)?;
        variables.extend(pairs.into_iter().map(|(key, value)| (key.into(), value.into())));
    }
    Ok(variables)
}

fn read_env_file(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    text.and_then(|text| hostler_config::parse_env_file(&text)).map_err(|cause| Failure {
        message: format!("cannot use the environment file `{}`", path.display()),
        causes: vec![cause],
        hint: None,
        status: ExitStatus::Config,
    })
}

#[expect(clippy::print_stdout, reason = "the user asked for it")]
fn print(text: &str) -> ExitStatus {
    print!("{text}");
    ExitStatus::Clean
}
