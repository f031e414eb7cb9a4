//! Options that a reload does not apply: their declarations say so.

use hostler_settings::{OnReload, Settings};
use tracing::warn;

/// Logs which changed options wait for an upgrade or a start.
pub(crate) fn tell_changes(before: &Settings, now: &Settings) {
    let changed = now.changed(before).into_iter().filter(|option| option.reload == OnReload::Kept);
    let options: Vec<_> = changed.map(|option| option.name).collect();
    if !options.is_empty() {
        let options = options.join(", ");
        warn!(options, "changed options take effect with an upgrade (SIGUSR2) or a start");
    }
}
