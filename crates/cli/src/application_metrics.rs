//! The application's own metrics: the directory in which prometheus_client (Python) has a file for each process.

use hostler_config::{Config, Reading};
use hostler_wire::{ExitStatus, Failure, Identity};
use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::fs::{DirBuilderExt, chown},
    path::{Path, PathBuf},
};

/// Where that library looks.
const VARIABLE: &str = "PROMETHEUS_MULTIPROC_DIR";

/// The directory, if there is one: of the option, or else of the environment that workers have.
pub(crate) fn directory(config: &Config, environment: &[(OsString, OsString)]) -> Option<PathBuf> {
    if let Some(path) = &config.settings.metrics.multiproc_dir {
        return std::path::absolute(path).ok();
    }
    let own = environment.iter().rev().find(|(name, _)| name == OsStr::new(VARIABLE));
    let found = own.map(|(_, value)| value.clone()).or_else(|| std::env::var_os(VARIABLE))?;
    (!found.is_empty()).then(|| PathBuf::from(found))
}

/// What workers are told of the option's directory.
pub(crate) fn variable(config: &Config) -> Option<(OsString, OsString)> {
    let path = config.settings.metrics.multiproc_dir.as_ref()?;
    let path = std::path::absolute(path).ok()?;
    Some((VARIABLE.into(), path.into_os_string()))
}

/// Makes the option's directory, and removes what processes of an earlier server have left there. A server that replaces another
/// one shares it with that one for a while, and leaves it as it is.
pub(crate) fn prepare(config: &Config, reading: Reading) -> Result<(), Failure> {
    let Some(path) = &config.settings.metrics.multiproc_dir else { return Ok(()) };
    if matches!(reading, Reading::Again) {
        return Ok(());
    }
    make(path, &config.identity).and_then(|()| empty(path)).map_err(|error| {
        Failure::new(ExitStatus::Config, format!("cannot use `{}` for metrics", path.display()))
            .because(error.to_string())
            .hint("--prometheus-multiproc-dir names a directory that the server may make, and workers may write to")
    })
}

fn make(path: &Path, identity: &Identity) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o750).create(path)?;
    let user = identity.user.as_ref().map(|(user, _)| *user);
    match user.or(identity.group) {
        Some(_) => chown(path, user, identity.group),
        None => Ok(()),
    }
}

fn empty(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "db") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
