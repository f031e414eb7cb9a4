//! Reading files that options name, for the first time and again.

use std::{io, os::unix::fs::FileTypeExt, path::Path};

/// Whether files are read for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// At a start: whatever can be read will do, such as the pipe of a shell's `<(…)`.
    First,
    /// At a reload or an upgrade: a pipe has said what it had to say.
    Again,
}

impl Reading {
    /// The text of a file.
    ///
    /// # Errors
    /// The kernel's; `Unsupported` for a pipe that was read before: it would be waited for for ever, or seem empty.
    pub fn text(self, path: &Path) -> io::Result<String> {
        let kind = std::fs::metadata(path)?.file_type();
        if self == Self::Again && (kind.is_fifo() || kind.is_socket()) {
            let text = "it is a pipe, which can be read only once: use a file";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        std::fs::read_to_string(path)
    }
}
