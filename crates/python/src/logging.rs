//! Log lines of workers, and errors of applications in the form that Python users know.

use hostler_wire::{LogLevel, LogSettings};
use pyo3::prelude::*;
use tracing::Level;

/// Sets up logging in this process, to standard error.
pub(crate) fn init(settings: &LogSettings) {
    hostler_master_logging(settings);
}

fn hostler_master_logging(settings: &LogSettings) {
    if !settings.enabled {
        return;
    }
    let level = match settings.level {
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Info => Level::INFO,
        LogLevel::Warning => Level::WARN,
        LogLevel::Error | LogLevel::Critical => Level::ERROR,
    };
    let subscriber =
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).with_ansi(false).finish();
    // Already set in a process that was forked from one of ours.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Logs an exception of the application with its traceback.
pub(crate) fn application_error(py: Python<'_>, what: &str, error: &PyErr) {
    let traceback = traceback(py, error);
    tracing::error!("{what}\n{}", traceback.trim_end());
}

/// The traceback as Python prints it.
pub(crate) fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let format = || -> PyResult<String> {
        let lines = py.import("traceback")?.call_method1("format_exception", (error.value(py),))?;
        Ok(lines.extract::<Vec<String>>()?.concat())
    };
    format().unwrap_or_else(|_| error.to_string())
}
