//! What is done when the queue's files were removed, or replaced, while they are used: the kernel still has what was in them.

use super::{
    KEEPER, Keeper, KeeperError,
    files::{Files, Found, beside},
    now,
    place::Place,
};
use crate::{Engine, Millis, Store};
use hostler_sys::{byte_locks::ByteLocks, own_file::Inode, random};
use nix::sys::socket::{Shutdown, shutdown};
use std::{
    fs::{self, File},
    io,
    os::fd::AsRawFd,
    path::Path,
    sync::Arc,
};
use tracing::{error, warn};

/// How often what failed is tried again.
const AGAIN: Millis = 1000;

/// Why the files are not there again.
#[derive(Debug, thiserror::Error)]
enum RestoreError {
    #[error("{0}")]
    Copy(#[from] crate::StoreError),
    #[error("{0}")]
    Files(#[from] io::Error),
    #[error("{}", cause(.0))]
    Open(#[from] KeeperError),
    #[error("another process keeps the queue that is there now")]
    Kept,
}

fn cause(error: &KeeperError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Locks of one lock file: that of the keeper, and who asks for those of workers.
pub(super) struct Locks {
    _own: ByteLocks,
    asked: Arc<ByteLocks>,
}

impl Locks {
    /// None if another process is the keeper.
    pub(super) fn take(place: &Place) -> Result<Option<Self>, KeeperError> {
        let own = place.locks()?;
        if !own.take(KEEPER).map_err(|source| place.failed(source))? {
            return Ok(None);
        }
        Ok(Some(Self { _own: own, asked: Arc::new(place.locks()?) }))
    }
}

/// Goes on with what is in the file. A worker lives that has its lock in one of these files: if one was removed, it takes it in the next when it connects.
pub(super) fn engine(place: &Place, locks: &[Locks]) -> Result<Engine, KeeperError> {
    let store = Store::open(&place.file)?;
    let [seed, _] = random::seed();
    let asked: Vec<_> = locks.iter().map(|locks| Arc::clone(&locks.asked)).collect();
    let is_alive = move |owner| asked.iter().any(|locks| locks.is_taken(owner));
    Engine::new(store, seed, is_alive).map_err(|source| place.unreadable(source))
}

impl Keeper {
    /// Something may have happened to the files.
    pub(super) fn look_after_files(&mut self) {
        self.look_at = None;
        match self.files.look() {
            Found::All
                if !self.is_away && Inode::of(&self.place.socket).ok() == Some(self.socket.inode()) => {}
            Found::All => self.listen_again(),
            found => self.restore(found),
        }
    }

    fn listen_again(&mut self) {
        self.accept();
        match self.place.listen() {
            Ok((listener, socket)) => {
                (self.listener, self.socket) = (listener, socket);
                (self.files, self.fault, self.is_away) = (Files::of(&self.place), None, false);
                let path = &self.place.socket;
                warn!(path = %path.display(), "the task queue's socket was removed: it listens again");
            }
            Err(error) => self.not_restored(&error.into()),
        }
    }

    /// Writes the tasks to where they were, or beside what is there now, and begins anew as if this process had: programs and workers connect again.
    fn restore(&mut self, found: Found) {
        self.connections.clear();
        self.processes.clear();
        self.exited.clear();
        if let Err(error) = self.write_again(found).and_then(|()| self.begin_anew()) {
            if !self.is_away {
                self.is_away = true;
                // Who connects is refused.
                let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
            }
            return self.not_restored(&error);
        }
        let file = self.place.file.display();
        match self.written.take().filter(|written| *written != self.place.file) {
            Some(kept) => error!(
                path = %file,
                kept = %kept.display(),
                "the task queue's file was replaced while it was used: its tasks are in another file, and the new one is used"
            ),
            None => error!(
                path = %file,
                "the task queue's files were removed while they were used: they were written again, and nothing is lost"
            ),
        }
    }

    /// Nobody is served meanwhile: what was written once has all of it.
    fn write_again(&mut self, found: Found) -> Result<(), RestoreError> {
        self.written.take_if(|written| !written.exists());
        if self.written.is_some() {
            return Ok(());
        }
        let file = &self.place.file;
        let to = match found {
            Found::Replaced => beside(file, &format!(".removed-{}", now() / 1000)),
            Found::Removed | Found::All => file.clone(),
        };
        let copy = beside(file, ".new");
        remove(&copy)?;
        self.engine.copy(&copy)?;
        File::open(&copy)?.sync_all()?;
        for path in [beside(file, "-wal"), beside(file, "-shm")] {
            // These belong to the file that is gone: the next one must not be read with them.
            if to == *file || self.files.is_ours(&path) {
                remove(&path)?;
            }
        }
        fs::rename(&copy, &to)?;
        if let Some(directory) = to.parent() {
            File::open(directory)?.sync_all()?;
        }
        self.written = Some(to);
        Ok(())
    }

    fn begin_anew(&mut self) -> Result<(), RestoreError> {
        let lock = Inode::of(&self.place.lock).ok();
        if lock.is_none() || lock != self.lock {
            self.locks.push(Locks::take(&self.place)?.ok_or(RestoreError::Kept)?);
            self.lock = Inode::of(&self.place.lock).ok();
        }
        self.engine = engine(&self.place, &self.locks)?;
        (self.listener, self.socket) = self.place.listen()?;
        self.files = Files::of(&self.place);
        (self.next_turn, self.fault, self.is_away) = (Some(0), None, false);
        Ok(())
    }

    /// It is tried again.
    fn not_restored(&mut self, error: &RestoreError) {
        self.look_at = Some(now() + AGAIN);
        let fault = error.to_string();
        if self.fault.as_ref() != Some(&fault) {
            error!(
                path = %self.place.file.display(),
                error = fault,
                "the task queue's files were removed while they were used, and cannot be written again: no task is accepted; it is tried again each second"
            );
            self.fault = Some(fault);
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
