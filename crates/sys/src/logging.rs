//! Log lines to standard error: time in UTC, level, event, fields. One form for master, mold and workers.

use hostler_wire::{LogLevel, LogSettings};
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
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level)
        .with_ansi(false)
        .with_target(false)
        .finish();
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Says where the server listens.
pub fn listening(address: &dyn std::fmt::Display) {
    tracing::info!(%address, "listening");
}
