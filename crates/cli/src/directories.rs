//! Directories that are served: tried at the start and at each reload.

use hostler_config::Config;
use hostler_sys::beneath;
use hostler_wire::{ExitStatus, Failure};
use std::{io, path::Path};

/// Checks that the directories of static files are there. Whether the user of the workers may enter them is for these to say.
pub(crate) fn check(config: &Config) -> Result<(), Failure> {
    let files = &config.settings.static_files;
    let mounts = files
        .all_mounts()
        .map(|mount| (mount.path.clone(), format!("static files of {}", mount.shown_route())));
    let private = files.x_sendfile.iter().map(|path| (path.clone(), "--x-sendfile".to_owned()));
    for (path, purpose) in mounts.chain(private) {
        check_one(&path).map_err(|error| {
            Failure::new(
                ExitStatus::Config,
                format!("cannot use the directory `{}` ({purpose})", path.display()),
            )
            .because(error.to_string())
            .hint("name a directory that the workers may enter")
        })?;
    }
    Ok(())
}

fn check_one(path: &Path) -> io::Result<()> {
    if !std::fs::metadata(path)?.is_dir() {
        return Err(io::Error::other("it is no directory"));
    }
    beneath::check(path)
}
