//! The queue's files: the database, beside it the lock file and the socket.

use super::{files::beside, listener};
use crate::{OpenError, StoreError};
use hostler_sys::{byte_locks::ByteLocks, control, own_file::OwnFile};
use std::{
    io,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
};

/// Why a process cannot be the keeper.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeeperError {
    /// The file cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is beside the file cannot be used.
    #[error("cannot use `{path}`, which belongs to the task queue")]
    Beside {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl KeeperError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Open(error) => error.hint(),
            Self::Beside { .. } => "the file's directory has to be writable for this user",
        }
    }
}

/// How many links may lead from one to the next.
const LINKS: u32 = 40;

/// Where all of it is.
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) lock: PathBuf,
    pub(super) socket: PathBuf,
}

impl Place {
    /// Links are followed: the same file has the same lock by whatever name.
    pub(super) fn of(path: &Path) -> Result<Self, KeeperError> {
        let failed = |source| KeeperError::Beside { path: path.to_owned(), source };
        let file = resolve(path, LINKS).map_err(failed)?;
        Ok(Self { lock: beside(&file, ".lock"), socket: hostler_wire::keeper_socket(&file), file })
    }

    /// What a keeper has open, but for the socket; the database first.
    pub(super) fn open_files(&self) -> Vec<PathBuf> {
        vec![self.file.clone(), beside(&self.file, "-wal"), beside(&self.file, "-shm"), self.lock.clone()]
    }

    pub(super) fn failed(&self, source: io::Error) -> KeeperError {
        KeeperError::Beside { path: self.lock.clone(), source }
    }

    pub(super) fn unreadable(&self, source: StoreError) -> KeeperError {
        OpenError::File { path: self.file.clone(), source }.into()
    }

    pub(super) fn locks(&self) -> Result<ByteLocks, KeeperError> {
        ByteLocks::open(&self.lock).map_err(|source| self.failed(source))
    }

    /// The lock is held: a socket that is there is one of a keeper that was killed.
    pub(super) fn listen(&self) -> Result<(UnixListener, OwnFile), KeeperError> {
        let failed = |source| KeeperError::Beside { path: self.socket.clone(), source };
        let (socket, file) = control::listen(&self.socket, true).map_err(failed)?;
        Ok((listener(socket).map_err(failed)?, file))
    }
}

/// Where a file is, or will be: it may be a link to one that is not there yet, as programs see it that enqueue (`os.path.realpath`).
fn resolve(path: &Path, links: u32) -> io::Result<PathBuf> {
    match std::fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    let path = std::path::absolute(path)?;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Ok(path) };
    let Ok(directory) = std::fs::canonicalize(directory) else { return Ok(path) };
    match std::fs::read_link(&path) {
        Ok(to) if links > 0 => resolve(&directory.join(to), links - 1),
        _ => Ok(directory.join(name)),
    }
}
