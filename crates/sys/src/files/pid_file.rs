//! The pid file: a regular file that this server creates, and removes at its end.
//!
//! Its directory may be writable for others. So no symbolic link is followed, no existing file is truncated or written,
//! and only the file that was created is removed, by its inode.

use crate::own_file::OwnFile;
use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// The longest pid file that is read, in bytes.
const MAX_LENGTH: u64 = 32;

/// The process id in the file; `None` if there is no file, or none with a process id.
///
/// # Errors
/// `InvalidInput` if the name is that of a directory, a pipe, a device.
pub fn read(path: &Path) -> io::Result<Option<i32>> {
    match fs::symlink_metadata(path) {
        // A link is replaced by the file; its target is left alone.
        Ok(found) if found.is_symlink() => return Ok(None),
        Ok(found) if !found.is_file() => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it exists and is not a regular file"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    // It may have been replaced meanwhile; opening a pipe must not block.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let Ok(file) = open(path, flags, Mode::empty()) else { return Ok(None) };
    let mut text = String::new();
    let read = File::from(file).take(MAX_LENGTH).read_to_string(&mut text);
    Ok(read.ok().and_then(|_| text.trim().parse().ok()))
}

/// Checks whether the file can be written, by creating a file beside it.
///
/// # Errors
/// The kernel's.
pub fn probe(path: &Path) -> io::Result<()> {
    let (beside, _) = create_beside(path)?;
    fs::remove_file(beside)
}

/// Writes the id of this process atomically.
///
/// # Errors
/// The kernel's; no file is left behind then.
pub fn write(path: &Path) -> io::Result<OwnFile> {
    let (beside, mut file) = create_beside(path)?;
    let written = writeln!(file, "{}", std::process::id()).and_then(|()| fs::rename(&beside, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    OwnFile::opened(path.to_owned(), file)
}

/// A new file in the same directory, under an unused name (open(2), `O_EXCL`).
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name =
        path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?.to_string_lossy();
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_truncate(0o644);
    for attempt in 0.. {
        let beside = path.with_file_name(format!(".{name}.{}-{attempt}", std::process::id()));
        match open(&beside, flags, mode) {
            // A file that was put there meanwhile stays.
            Err(nix::Error::EEXIST) if attempt < 100 => {}
            opened => return Ok((beside, opened?.into())),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::{probe, read, write};
    use std::{fs, os::unix::fs::symlink, path::PathBuf};

    fn directory(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("hostler-pid-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn links_are_neither_followed_nor_emptied() {
        let dir = directory("links");
        let (path, other) = (dir.join("pid"), dir.join("other"));
        fs::write(&other, "1234\n").unwrap();
        for link in ["pid", "pid.new", &format!(".pid.{}-0", std::process::id())] {
            symlink(&other, dir.join(link)).unwrap();
        }
        assert_eq!(read(&path).unwrap(), None);
        probe(&path).unwrap();
        let made = write(&path).unwrap();
        assert_eq!(read(&path).unwrap(), Some(std::process::id().cast_signed()));
        assert!(made.remove().unwrap());
        assert_eq!(fs::read_to_string(&other).unwrap(), "1234\n");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn another_server_s_file_stays() {
        let dir = directory("others");
        let path = dir.join("pid");
        let ours = write(&path).unwrap();
        let theirs = write(&path).unwrap();
        assert!(!ours.remove().unwrap());
        assert!(theirs.remove().unwrap());
        assert!(!theirs.remove().unwrap());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        assert!(read(&dir).is_err());
        fs::remove_dir_all(&dir).unwrap();
    }
}
