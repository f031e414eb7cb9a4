//! Files that a server creates in shared directories, and removes: only if they are still the ones it created.

use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
};
use std::{
    fs::{self, File, Metadata},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

/// A file by device and inode, whatever its present name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inode {
    device: u64,
    number: u64,
}

impl Inode {
    /// The file of this name; the link itself, if it is a symbolic one.
    ///
    /// # Errors
    /// The kernel's (lstat(2)).
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::symlink_metadata(path).map(|found| Self::from(&found))
    }

    /// From the numbers that [`Inode::numbers`] returned.
    #[must_use]
    pub fn from_numbers((device, number): (u64, u64)) -> Self {
        Self { device, number }
    }

    /// Device and inode number, to be sent to another process.
    #[must_use]
    pub fn numbers(self) -> (u64, u64) {
        (self.device, self.number)
    }
}

impl From<&Metadata> for Inode {
    fn from(found: &Metadata) -> Self {
        Self { device: found.dev(), number: found.ino() }
    }
}

/// A file that this process created.
#[derive(Debug)]
pub struct OwnFile {
    path: PathBuf,
    inode: Inode,
    /// Keeps the kernel from giving the number of the inode to another file.
    _pin: Option<File>,
}

impl OwnFile {
    /// A file that is kept in use otherwise, such as by a socket that is bound to it.
    #[must_use]
    pub fn new(path: PathBuf, inode: Inode) -> Self {
        Self { path, inode, _pin: None }
    }

    /// The file that was opened by this name.
    ///
    /// # Errors
    /// The kernel's (fstat(2)).
    pub fn opened(path: PathBuf, file: File) -> io::Result<Self> {
        Ok(Self { path, inode: Inode::from(&file.metadata()?), _pin: Some(file) })
    }

    /// Its name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that was created.
    #[must_use]
    pub fn inode(&self) -> Inode {
        self.inode
    }

    /// Changes its mode, unless it was replaced by another file.
    ///
    /// # Errors
    /// The kernel's (open(2), chmod(2)).
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = File::from(open(&self.path, flags, Mode::empty())?);
        if Inode::from(&file.metadata()?) != self.inode {
            return Ok(());
        }
        // By the descriptor: the name may be given to another file meanwhile, and fchmod(2) takes no socket.
        let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::set_permissions(opened, fs::Permissions::from_mode(mode))
    }

    /// Removes it, unless it was replaced by another file; whether it was removed.
    ///
    /// # Errors
    /// The kernel's (unlink(2)); it is no error if the file does not exist.
    pub fn remove(&self) -> io::Result<bool> {
        if Inode::of(&self.path).ok() != Some(self.inode) {
            return Ok(false);
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true),
        }
    }
}
