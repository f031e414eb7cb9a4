//! One file: its text, and whether it has changed.

use crate::staple;
use hostler_wire::{ExitStatus, Failure};
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A file that an option names.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// What it is: `certificate`, `key`.
    pub(crate) what: &'static str,
    pub(crate) option: &'static str,
    pub(crate) path: &'a Path,
}

impl Source<'_> {
    /// A failure about this file.
    pub(crate) fn unusable(&self, cause: impl Into<String>) -> Failure {
        let message = format!("cannot use the {} `{}`", self.what, self.path.display());
        Failure::new(ExitStatus::Config, message).because(cause)
    }

    /// Its bytes, as `read` gives them.
    pub(crate) fn bytes(&self, read: &Read<'_>) -> Result<Vec<u8>, Failure> {
        let bytes = read(self.path).map_err(|error| self.unreadable(&error))?;
        match bytes.is_empty() {
            true => Err(self.unusable("it is empty").hint(self.names())),
            false => Ok(bytes),
        }
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        let failure = self.unusable(error.to_string());
        match error.kind() {
            io::ErrorKind::PermissionDenied => failure.hint(
                "the user who starts the server must be able to read it, and its directory; workers (--user) need not",
            ),
            io::ErrorKind::NotFound => {
                failure.hint(format!("--{} names a file; a relative path begins where the server is started", self.option))
            }
            _ => failure.hint(self.names()),
        }
    }

    /// What the option names.
    fn names(&self) -> String {
        let form = if self.option == staple::OPTION { "DER" } else { "PEM" };
        format!("--{} names a {form} file", self.option)
    }

    /// Its text must have PEM sections; what it looks like if it has none of the right kind.
    pub(crate) fn without(&self, bytes: &[u8], wanted: &str) -> Failure {
        let text = String::from_utf8_lossy(bytes);
        let label = text.split("-----BEGIN ").nth(1).and_then(|rest| rest.split("-----").next());
        match label {
            Some(other) => self
                .unusable(format!("it has no {wanted}, but a section \"{other}\""))
                .hint(format!("--{} names a file with a {wanted}: were two files mixed up?", self.option)),
            None if bytes.first() == Some(&0x30) => self
                .unusable("it is DER (binary), and PEM (text) is expected")
                .hint("convert it with `openssl x509`, `openssl pkey` or `openssl crl`: -inform DER -in FILE -out FILE.pem"),
            None => self
                .unusable(format!("it has no {wanted}: no line \"-----BEGIN …-----\""))
                .hint(format!("--{} names a PEM file", self.option)),
        }
    }
}

/// How a file is read.
pub(crate) type Read<'a> = dyn Fn(&Path) -> io::Result<Vec<u8>> + 'a;

/// Reads a file that was read before.
///
/// # Errors
/// The kernel's; `Unsupported` for what is no file, such as a pipe, which gives nothing the second time.
pub fn read_again(path: &Path) -> io::Result<Vec<u8>> {
    match fs::metadata(path)?.is_file() {
        true => fs::read(path),
        false => {
            Err(io::Error::new(io::ErrorKind::Unsupported, "it is no regular file, and was read before"))
        }
    }
}

/// What changes when a file is written or replaced, also behind a symbolic link: `None` if there is none.
pub type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// The stamps of files, in their order.
#[must_use]
pub fn stamp(files: &[PathBuf]) -> Vec<Stamp> {
    let one = |path: &PathBuf| {
        let found = fs::metadata(path).ok()?;
        Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
    };
    files.iter().map(one).collect()
}
