//! Locks on single bytes of a file (fcntl(2), `F_OFD_SETLK`): the kernel takes them back when the descriptor that has taken them is closed, by
//! the end of its process at the latest. They bear that the process opens and closes the file elsewhere, as a backup does; traditional locks
//! (`F_SETLK`) would end with that. A process that is forked has the descriptor, too, and so the lock, until it closes it.

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// A file whose bytes are locked; what it contains does not matter.
#[derive(Debug)]
pub struct ByteLocks(File);

impl ByteLocks {
    /// Opens the file, or makes it, for this user alone.
    ///
    /// # Errors
    /// The kernel's (open(2)).
    pub fn open(path: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        Ok(Self(file))
    }

    /// Takes the lock on a byte; false if it is taken by another descriptor.
    ///
    /// # Errors
    /// The kernel's (fcntl(2)).
    pub fn take(&self, byte: i64) -> io::Result<bool> {
        match fcntl(&self.0, FcntlArg::F_OFD_SETLK(&lock(byte))) {
            Ok(_) => Ok(true),
            Err(Errno::EACCES | Errno::EAGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether another descriptor has the lock on a byte. If the kernel does not say so, it has.
    #[must_use]
    pub fn is_taken(&self, byte: i64) -> bool {
        let mut asked = lock(byte);
        let answer = fcntl(&self.0, FcntlArg::F_OFD_GETLK(&mut asked));
        answer.is_err() || i32::from(asked.l_type) != libc::F_UNLCK
    }
}

fn lock(byte: i64) -> libc::flock {
    #[expect(clippy::cast_possible_truncation, reason = "constants of the kernel, declared as int")]
    libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    }
}
