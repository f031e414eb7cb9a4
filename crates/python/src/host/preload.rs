//! Loading the application in the mold, for all workers to share (`python/hostler/_preload.py`).

use crate::logging;
use hostler_eventloop::forked::exit_if_forked;
use hostler_settings::{Application, Preload};
use hostler_wire::{ExitStatus, Failure, WorkerSettings};
use pyo3::{prelude::*, types::PyString};
use std::path::Path;

/// Loads the application if it is to be loaded here; logs what makes forks unsafe, or refuses to go on.
pub(super) fn run(py: Python<'_>, settings: &WorkerSettings) -> Result<(), Failure> {
    let app = &settings.options.app;
    let Some(mode) = app.preload else { return Ok(()) };
    if let Err(error) = hostler_sys::process::use_small_pages() {
        tracing::debug!(%error, "huge pages stay in use");
    }
    let log_config = settings.options.log.config.as_deref();
    let problems = exit_if_forked(py, load(py, app, log_config)).map_err(|error| failure(py, app, &error))?;
    if mode == Preload::Strict && !problems.is_empty() {
        return Err(Failure {
            status: ExitStatus::Boot,
            message: format!("`{}` cannot be preloaded safely", target(app)),
            cause: Some(problems.join("\n")),
            hint: Some(
                "start these in hostler.hooks.after_fork_child or in the lifespan; --preload=warn serves all the same"
                    .into(),
            ),
        });
    }
    for problem in problems {
        tracing::warn!(problem, "preload: a fork may be unsafe");
    }
    Ok(())
}

fn load(py: Python<'_>, app: &Application, log_config: Option<&Path>) -> PyResult<Vec<String>> {
    let directory = app.working_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned());
    let path: Vec<_> = app.python_path.0.iter().map(|dir| dir.to_string_lossy().into_owned()).collect();
    let interface = super::worker::interface_name(app.interface);
    let preload = py.import("hostler._preload")?;
    let log_config = log_config.map(|path| path.to_string_lossy());
    let given = (target(app), app.factory, directory, path, interface, log_config);
    preload.call_method1("preload", given)?.extract()
}

fn failure(py: Python<'_>, app: &Application, error: &PyErr) -> Failure {
    let value = error.value(py);
    let text = |name: &str| {
        let text = value.getattr(name).ok()?;
        text.cast::<PyString>().ok().map(logging::utf8)
    };
    match text("kind").as_deref() {
        Some(kind) => Failure {
            status: if kind == "config" { ExitStatus::Config } else { ExitStatus::AppImport },
            message: value.str().map_or_else(|_| String::new(), |text| logging::utf8(&text)),
            cause: text("cause"),
            hint: text("hint"),
        },
        None => Failure {
            status: ExitStatus::AppImport,
            message: format!("could not preload `{}`", target(app)),
            cause: Some(logging::traceback(py, error)),
            hint: None,
        },
    }
}

fn target(app: &Application) -> &str {
    app.target.as_deref().unwrap_or_default()
}
