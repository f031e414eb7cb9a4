//! Options that a reload does not apply: their declarations say so.

use hostler_config::Config;
use hostler_settings::{Declaration, OnReload, Settings};
use hostler_wire::control::ConfigEntry;
use tracing::warn;

/// Changed options that a reload does not apply, by what does.
pub(crate) struct Changed {
    by_upgrade: Vec<&'static str>,
    by_start: Vec<&'static str>,
}

impl Changed {
    pub(crate) fn of(before: &Settings, now: &Settings) -> Self {
        let changed = now.changed(before);
        let those = |reload| {
            changed.iter().filter(|option| option.reload == reload).map(|option| option.name).collect()
        };
        Self { by_upgrade: those(OnReload::Kept), by_start: those(OnReload::Start) }
    }

    /// Logs what they wait for.
    pub(crate) fn tell(&self) {
        if !self.by_upgrade.is_empty() {
            let options = self.by_upgrade.join(", ");
            warn!(options, "changed options take effect with an upgrade (SIGUSR2) or a start");
        }
        if !self.by_start.is_empty() {
            let options = self.by_start.join(", ");
            warn!(options, "changed options take effect with a start");
        }
    }
}

fn is_kept(option: &Declaration) -> bool {
    matches!(option.reload, OnReload::Kept | OnReload::Start)
}

/// Options that a reload does not apply stay as they are, in the settings of the next generation and in what is shown of them.
pub(crate) fn keep(before: &Settings, running: &[ConfigEntry], config: &mut Config) {
    config.settings.keep(before, is_kept);
    let kept = |name: &str| Settings::options().any(|option| option.name == name && is_kept(option));
    for entry in config.listing.iter_mut().filter(|entry| kept(&entry.option)) {
        if let Some(old) = running.iter().find(|old| old.option == entry.option) {
            entry.clone_from(old);
        }
    }
}
