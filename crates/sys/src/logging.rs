//! Log lines to standard error: time in UTC, level, event, fields. One form for master, mold and workers.

use hostler_wire::{LogForm, LogLevel, LogSettings};
use tracing::Level;

/// Starts logging in this process. A second call, after a fork, changes nothing.
pub fn init(settings: &LogSettings) {
    if !settings.enabled {
        return;
    }
    let level = match settings.level {
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Info => Level::INFO,
        LogLevel::Warning => Level::WARN,
        LogLevel::Error | LogLevel::Critical => Level::ERROR,
    };
    let lines = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level)
        .with_ansi(false)
        .with_target(false);
    let _ = match settings.form {
        LogForm::Text => tracing::subscriber::set_global_default(lines.finish()),
        LogForm::Json => tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish()),
    };
}

/// Makes this the standard error of the process, where log lines go.
pub fn write_to(log: &impl std::os::fd::AsFd) {
    // A copy that programs started from here inherit, as they inherit standard error.
    if let Err(error) = nix::unistd::dup2_stderr(log) {
        tracing::warn!(%error, "the log could not be reopened");
    }
}

/// Says where the server listens.
pub fn listening(address: &dyn std::fmt::Display) {
    tracing::info!(%address, "listening");
}
