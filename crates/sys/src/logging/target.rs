//! What a log is written to: a file, a pipe, a terminal or a socket, opened so that writing does not block.

use nix::{
    fcntl::{OFlag, open},
    sys::stat::{Mode, SFlag, fstat},
};
use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::FileTypeExt,
    },
    path::Path,
};

/// Two descriptors of one log: standard error, for what is printed, and one for the lines of the server itself.
#[derive(Debug)]
pub struct Target {
    standard_error: OwnedFd,
    lines: OwnedFd,
}

impl Target {
    /// What standard error is now.
    ///
    /// # Errors
    /// The kernel's (dup(2)).
    pub fn standard_error() -> io::Result<Self> {
        let standard_error = io::stderr().as_fd().try_clone_to_owned()?;
        let lines = reopened(standard_error.as_fd()).map_or_else(|_| standard_error.try_clone(), Ok)?;
        Ok(Self { standard_error, lines })
    }

    /// What standard output is now, for lines alone.
    ///
    /// # Errors
    /// The kernel's (dup(2)).
    pub(super) fn standard_output() -> io::Result<OwnedFd> {
        let standard_output = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(reopened(standard_output.as_fd()).unwrap_or(standard_output))
    }

    /// A file that lines are appended to; it is created if it does not exist.
    ///
    /// # Errors
    /// The kernel's (open(2)).
    pub fn open(path: &Path) -> io::Result<Self> {
        let mode = Mode::from_bits_truncate(0o666);
        let common = OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        if std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
            // Opened for reading too, a named pipe needs no reader: neither now nor after the present one has closed it.
            let lines = open(path, common | OFlag::O_RDWR | OFlag::O_NONBLOCK, mode)?;
            return Ok(Self { standard_error: open(path, common | OFlag::O_WRONLY, mode)?, lines });
        }
        let flags = common | OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_APPEND | OFlag::O_NONBLOCK;
        let lines = open(path, flags, mode)?;
        let standard_error = match kind(lines.as_fd())? {
            SFlag::S_IFREG => lines.try_clone()?,
            // What the application prints blocks, as it would without us.
            _ => open(path, flags - OFlag::O_NONBLOCK, mode)?,
        };
        Ok(Self { standard_error, lines })
    }

    /// From the descriptors of a message, in the order of [`Target::descriptors`].
    #[must_use]
    pub fn from_descriptors(descriptors: Vec<OwnedFd>) -> Option<Self> {
        let mut descriptors = descriptors.into_iter();
        Some(Self { standard_error: descriptors.next()?, lines: descriptors.next()? })
    }

    /// The descriptors, for another process.
    #[must_use]
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.standard_error.as_fd(), self.lines.as_fd()]
    }

    pub(super) fn into_lines(self) -> OwnedFd {
        self.lines
    }

    /// Makes it the standard error of this process, and of programs that it starts.
    pub(super) fn become_standard_error(&self) -> io::Result<()> {
        Ok(nix::unistd::dup2_stderr(&self.standard_error)?)
    }
}

/// The same pipe or terminal, opened once more with O_NONBLOCK.
pub(super) fn reopened(descriptor: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    if !matches!(kind(descriptor)?, SFlag::S_IFIFO | SFlag::S_IFCHR) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    Ok(open(format!("/proc/self/fd/{}", descriptor.as_raw_fd()).as_str(), flags, Mode::empty())?)
}

pub(super) fn kind(descriptor: BorrowedFd<'_>) -> io::Result<SFlag> {
    Ok(SFlag::from_bits_truncate(fstat(descriptor)?.st_mode & SFlag::S_IFMT.bits()))
}
