//! What a reload does not change of the server as a whole: each such option says so in its declaration.

use hostler_settings::{OnReload, Settings};
use tracing::warn;

/// Says which changes wait for an upgrade.
pub(crate) fn tell_changes(before: &Settings, now: &Settings) {
    let changed = now.changed(before).into_iter().filter(|option| option.reload == OnReload::Kept);
    let options: Vec<_> = changed.map(|option| option.name).collect();
    if !options.is_empty() {
        let options = options.join(", ");
        warn!(options, "changed options take effect with an upgrade (SIGUSR2) or a start");
    }
}
