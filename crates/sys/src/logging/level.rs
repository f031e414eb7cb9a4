//! The level of log lines, which can change while the process runs.
//!
//! Each place that logs remembers whether it is to (`Interest`), so that one that is not costs a comparison. After a change
//! they are all asked again.

use hostler_settings::LogLevel;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use tracing::level_filters::LevelFilter;

/// The least important level that is logged, by its place in [`LEVELS`].
static LEAST: AtomicU8 = AtomicU8::new(2);
const LEVELS: [LevelFilter; 5] =
    [LevelFilter::ERROR, LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::OFF];

/// What is logged at a level of the settings.
const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Error | LogLevel::Critical => LevelFilter::ERROR,
    }
}

/// Sets it in this process, at once; `None`: nothing is logged.
pub(super) fn set(level: Option<LogLevel>) {
    let filter = level.map_or(LevelFilter::OFF, filter);
    let place = LEVELS.iter().position(|known| *known == filter).unwrap_or_default();
    LEAST.store(u8::try_from(place).unwrap_or_default(), Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// The least important level that is logged now.
pub(super) fn least() -> LevelFilter {
    LEVELS[usize::from(LEAST.load(Relaxed)) % LEVELS.len()]
}
