//! Options that a reload does not apply: their declarations say so.

use hostler_settings::{OnReload, Settings};
use hostler_wire::control::ConfigEntry;
use tracing::warn;

/// Logs which changed options wait for an upgrade or a start.
pub(crate) fn tell_changes(before: &Settings, now: &Settings) {
    let changed = |reload| {
        let options = now.changed(before).into_iter().filter(|option| option.reload == reload);
        Some(options.map(|option| option.name).collect::<Vec<_>>().join(", "))
            .filter(|names| !names.is_empty())
    };
    if let Some(options) = changed(OnReload::Kept) {
        warn!(options, "changed options take effect with an upgrade (SIGUSR2) or a start");
    }
    if let Some(options) = changed(OnReload::Start) {
        warn!(options, "changed options take effect with a start");
    }
}

/// Options that a reload does not change stay as they are in a listing.
pub(crate) fn keep(running: &[ConfigEntry], listing: &mut [ConfigEntry]) {
    let kept = |name: &str| {
        let mut options = Settings::options();
        options.any(|option| option.name == name && matches!(option.reload, OnReload::Kept | OnReload::Start))
    };
    for entry in listing.iter_mut().filter(|entry| kept(&entry.option)) {
        if let Some(old) = running.iter().find(|old| old.option == entry.option) {
            entry.clone_from(old);
        }
    }
}
