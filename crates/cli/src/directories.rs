//! Directories that are served: tried at the start and at each reload.

use hostler_config::Config;
use hostler_sys::beneath;
use hostler_wire::{ExitStatus, Failure};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Checks that the directories of static files are there. Whether the user of the workers may enter them is for these to say.
pub(crate) fn check(config: &Config) -> Result<(), Failure> {
    problems(config).into_iter().next().map_or(Ok(()), Err)
}

/// Those that cannot be used.
pub(crate) fn problems(config: &Config) -> Vec<Failure> {
    let files = &config.settings.static_files;
    let mounts = files
        .all_mounts()
        .map(|mount| (mount.path.clone(), format!("static files of {}", mount.shown_route())));
    let private = files.x_sendfile.iter().map(|path| (path.clone(), "--x-sendfile".to_owned()));
    let wrong = |(path, purpose): (PathBuf, String)| {
        let error = check_one(&path).err()?;
        let message = format!("cannot use the directory `{}` ({purpose})", path.display());
        let failure = Failure::new(ExitStatus::Config, message).because(error.to_string());
        Some(failure.hint("name a directory that the workers may enter"))
    };
    mounts.chain(private).filter_map(wrong).collect()
}

fn check_one(path: &Path) -> io::Result<()> {
    if !std::fs::metadata(path)?.is_dir() {
        return Err(io::Error::other("it is no directory"));
    }
    beneath::check(path)
}
