//! `hostler migrate FILE`: another server's file of settings as one of hostler's.

use crate::scripts::Scripts;
use hostler_config::Reading;
use hostler_wire::{ExitStatus, Failure};
use std::ffi::OsString;

/// The file, if it is to be migrated. An application called `migrate` is `migrate:app`.
pub(crate) fn asked(args: &[OsString]) -> Option<Option<&str>> {
    crate::is_command(args, "migrate").then(|| args.get(2).and_then(|file| file.to_str()))
}

/// The file of hostler's.
pub(crate) fn run(file: Option<&str>) -> Result<String, Failure> {
    let file = file.ok_or_else(|| {
        Failure::new(ExitStatus::Usage, "`hostler migrate` needs a file").hint(
            "name a gunicorn.conf.py, python:MODULE, a TOML file of Hypercorn's or an INI file of uWSGI's",
        )
    })?;
    hostler_peers::migrate(file, &Scripts(Reading::First))
}
