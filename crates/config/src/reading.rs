//! Reading files that options name, at the start and again.

use std::{io, os::unix::fs::FileTypeExt, path::Path};

/// Whether files are read for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// At the start: pipes are fine, such as those of a shell's `<(…)`.
    First,
    /// At a reload or an upgrade: pipes are refused, they have been read.
    Again,
}

impl Reading {
    /// The text of a file.
    ///
    /// # Errors
    /// The kernel's; `Unsupported` for a pipe that was read before: reading it again would block, or give nothing.
    pub fn text(self, path: &Path) -> io::Result<String> {
        self.allows(path)?;
        std::fs::read_to_string(path)
    }

    /// As [`Reading::text`], for files that need not be text.
    ///
    /// # Errors
    /// The same.
    pub fn bytes(self, path: &Path) -> io::Result<Vec<u8>> {
        self.allows(path)?;
        std::fs::read(path)
    }

    /// Whether a file may be read.
    ///
    /// # Errors
    /// As [`Reading::text`].
    pub fn allows(self, path: &Path) -> io::Result<()> {
        let kind = std::fs::metadata(path)?.file_type();
        if self == Self::Again && (kind.is_fifo() || kind.is_socket()) {
            let text = "it is a pipe, which can be read only once: use a file";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        Ok(())
    }
}
