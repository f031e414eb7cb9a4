//! A file's content as a body, read as fast as the client takes it.

use super::Broken;
use bytes::Bytes;
use nix::fcntl::OFlag;
use std::{
    fs::File,
    io,
    os::{
        fd::{BorrowedFd, RawFd},
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::Path,
};

/// How many bytes of a file are read at a time.
const FILE_PIECE: usize = 64 * 1024;

/// A file that is read as fast as the client takes it.
pub(crate) struct FilePieces {
    file: File,
    /// Where the next piece begins: the descriptor may be shared, so its own position is left alone.
    at: u64,
    left: u64,
}

impl FilePieces {
    /// All of a file; how long it is now is how much is sent.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, u64)> {
        Self::open_range(path, 0, u64::MAX)
    }

    /// The bytes of a file from `start` to before `end`, or to its end if that comes first; and how many they are.
    pub(crate) fn open_range(path: &Path, start: u64, end: u64) -> io::Result<(Self, u64)> {
        // Opening a pipe would wait for its writer otherwise.
        let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let left = about.len().min(end).saturating_sub(start);
        Ok((Self { file, at: start, left }, left))
    }

    /// A regular file that Python has opened, from where it was read to; `None` if it is something else.
    #[expect(unsafe_code, reason = "Python knows descriptors by their numbers")]
    pub(crate) fn of_number(descriptor: RawFd, start: u64) -> io::Result<Option<Self>> {
        // SAFETY: the number comes from `fileno()` of a file object that the caller keeps open meanwhile.
        let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let file = File::from(descriptor.try_clone_to_owned()?);
        let about = file.metadata()?;
        // The kernel's own files (/proc) are read until they end: their length is not known.
        if !about.is_file() || about.len() == 0 {
            return Ok(None);
        }
        Ok(Some(Self { left: about.len().saturating_sub(start), at: start, file }))
    }

    /// How many bytes are still to be sent.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Sends no more than this.
    pub(crate) fn limit(&mut self, most: u64) {
        self.left = self.left.min(most);
    }

    pub(crate) fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        if self.left == 0 {
            return None;
        }
        let most = FILE_PIECE.min(usize::try_from(self.left).unwrap_or(FILE_PIECE));
        let mut piece = vec![0; most];
        match self.file.read_at(&mut piece, self.at) {
            Ok(count) if count > 0 => {
                piece.truncate(count);
                self.at += count as u64;
                self.left -= count as u64;
                Some(Ok(piece.into()))
            }
            Ok(_) => {
                let missing = self.left;
                tracing::error!(missing, "a file shrank while it was sent: the response is cut off");
                Some(Err(Broken))
            }
            Err(error) => {
                tracing::error!(%error, "cannot read a file to its end: the response is cut off");
                Some(Err(Broken))
            }
        }
    }
}
