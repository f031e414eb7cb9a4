//! How many connections a worker has at most (`--backpressure`).

use hostler_settings::Limits;
use std::{
    cell::Cell,
    time::{Duration, Instant},
};
use tracing::warn;

/// How often the log tells that the worker accepts nothing.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// The most connections, which leave a tenth of the descriptors to the application unless they are set.
pub(crate) fn most(limits: &Limits) -> usize {
    let by_descriptors = || hostler_sys::process::max_descriptors() / 10 * 9;
    limits.connections.unwrap_or_else(by_descriptors).max(1)
}

/// When the log was told that there is no room.
#[derive(Debug, Default)]
pub(crate) struct FullReports(Cell<Option<Instant>>);

impl FullReports {
    /// Tells the log, unless it was told a moment ago.
    pub(crate) fn tell(&self, most: usize) {
        let now = Instant::now();
        if self.0.get().is_none_or(|at| now.duration_since(at) >= REPORT_INTERVAL) {
            self.0.set(Some(now));
            warn!(
                connections = most,
                option = "--backpressure",
                "as many connections as may be: none is accepted for now"
            );
        }
    }
}
