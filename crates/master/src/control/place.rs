//! Where the control socket is.

use super::Control;
use hostler_settings::ControlSocket;
use hostler_sys::{
    control,
    own_file::{Inode, OwnFile},
};
use hostler_wire::{
    ExitStatus, Failure,
    control::{control_directories, control_name, control_pid},
};
use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// Where it may be.
#[derive(Debug, Default)]
pub(super) enum Place {
    /// There is none.
    #[default]
    Nowhere,
    /// At this path.
    Path(PathBuf),
    /// In the first of these directories that can be used, by the number of the process.
    FirstOf(Vec<PathBuf>),
}

/// What decides where the control socket is.
pub struct ControlPlace<'a> {
    /// The option.
    pub option: &'a ControlSocket,
    /// Reads the environment.
    pub variable: &'a dyn Fn(&str) -> Option<PathBuf>,
    /// Whether another server has it until this one takes over.
    pub replaces: bool,
}

impl ControlPlace<'_> {
    /// Opens the socket, unless another server has it for now.
    ///
    /// # Errors
    /// When the user named a path that cannot be used.
    pub fn open(self) -> Result<Control, Failure> {
        let place = match self.option {
            ControlSocket::Off => Place::Nowhere,
            ControlSocket::Path(path) => {
                Place::Path(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
            }
            ControlSocket::Auto => Place::FirstOf(control_directories(control::own_user(), self.variable)),
        };
        let mut opened = Control::at(place);
        match &opened.place {
            _ if self.replaces => {}
            Place::Path(path) => {
                opened.socket = Some(control::listen(path, false).map_err(|error| unusable(path, &error))?);
            }
            Place::Nowhere | Place::FirstOf(_) => opened.open(None),
        }
        Ok(opened)
    }
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    let failure =
        Failure::new(ExitStatus::Failed, format!("cannot have the control socket at `{}`", path.display()))
            .because(error.to_string());
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            failure.hint("another server has it: choose another path for --control-socket")
        }
        io::ErrorKind::AlreadyExists => failure.hint("--control-socket names a file of its own"),
        _ => failure
            .hint("--control-socket names a file in a directory that the server may write to, or is off"),
    }
}

impl Place {
    /// Opens the socket; `None` if there is to be none. One at `replaced` is replaced.
    pub(super) fn open(&self, replaced: Option<&Path>) -> io::Result<Option<(OwnedFd, OwnFile)>> {
        match self {
            Self::Nowhere => Ok(None),
            Self::Path(path) => control::listen(path, replaced == Some(path)).map(Some),
            Self::FirstOf(directories) => first_of(directories).map(Some),
        }
    }
}

fn first_of(directories: &[PathBuf]) -> io::Result<(OwnedFd, OwnFile)> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "there is no directory for it");
    for directory in directories {
        match in_directory(directory) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = io::Error::new(error.kind(), format!("{}: {error}", directory.display())),
        }
    }
    Err(last)
}

fn in_directory(directory: &Path) -> io::Result<(OwnedFd, OwnFile)> {
    control::make_directory(directory)?;
    remove_stale(directory);
    control::listen(&directory.join(control_name(std::process::id())), false)
}

/// Removes sockets of servers that were killed.
fn remove_stale(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Some(pid) = control_pid(&entry.file_name()) else { continue };
        let path = entry.path();
        // One that is about to listen has a process.
        if !Path::new("/proc").join(pid.to_string()).exists()
            && let Ok(inode) = Inode::of(&path)
            && control::is_stale(&path)
        {
            let _ = OwnFile::new(path, inode).remove();
        }
    }
}
