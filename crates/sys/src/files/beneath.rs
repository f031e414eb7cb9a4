//! Opening files that clients name: beneath a directory, whatever names and links say, and without waiting.
//!
//! The kernel resolves a name beneath the directory (openat2(2), `RESOLVE_BENEATH`): neither `..` nor a symbolic link leads
//! out of it, also while links are replaced. A kernel without openat2 (before 5.6, or a container that forbids it) has
//! the name walked part by part, and then no symbolic link is followed at all.

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2},
    sys::stat::Mode,
    unistd::{AccessFlags, access},
};
use std::{
    fs::{File, Metadata},
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// For open(2): a pipe without a writer is opened at once, a terminal does not become ours.
pub const NO_WAIT: i32 = libc::O_NONBLOCK | libc::O_NOCTTY;

/// The error of a link that leads out of the directory.
pub const LEADS_OUT: i32 = libc::EXDEV;

/// Whether an error says that a name stands for nothing that can be opened: too long, a link that is not followed, a socket
/// or a device without a driver.
#[must_use]
pub fn is_of_name(error: i32) -> bool {
    matches!(
        error,
        libc::EXDEV | libc::ELOOP | libc::ENAMETOOLONG | libc::ENXIO | libc::ENODEV | libc::EILSEQ
    )
}

/// Whether this process may open files beneath a directory.
///
/// # Errors
/// The kernel's (open(2), access(2)).
pub fn check(path: &Path) -> io::Result<()> {
    Directory::open(path)?;
    Ok(access(path, AccessFlags::X_OK)?)
}

/// How often a name is resolved again while links beneath the directory are being replaced (`EAGAIN`, openat2(2)).
const ATTEMPTS: usize = 8;

/// Whether the kernel was found to have no openat2.
static HAS_NO_OPENAT2: AtomicBool = AtomicBool::new(false);

/// Where symbolic links may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// To files beneath the directory.
    Within,
    /// Anywhere.
    Anywhere,
}

/// A directory by its descriptor, whatever becomes of its name.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl Directory {
    /// Opens a directory, of which nothing need be readable but what is opened beneath it.
    ///
    /// # Errors
    /// The kernel's (open(2)).
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(open(path, flags, Mode::empty())?))
    }

    /// Opens a file by its name beneath the directory, for reading; it may be of any kind, which is for the caller to ask.
    /// The empty name is the directory itself.
    ///
    /// # Errors
    /// The kernel's (openat2(2)); `EXDEV` for a link that leads out of the directory.
    pub fn open_file(&self, name: &str, links: Links) -> io::Result<(File, Metadata)> {
        let name = if name.is_empty() { "." } else { name };
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::from_bits_retain(NO_WAIT);
        let opened = match links {
            Links::Anywhere => openat(&self.0, name, flags, Mode::empty()),
            Links::Within if HAS_NO_OPENAT2.load(Relaxed) => walk(self.0.as_fd(), name, flags),
            Links::Within => self.resolve(name, flags),
        };
        let file = File::from(opened?);
        let about = file.metadata()?;
        Ok((file, about))
    }

    fn resolve(&self, name: &str, flags: OFlag) -> nix::Result<OwnedFd> {
        let how = || {
            let beneath = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
            OpenHow::new().flags(flags).resolve(beneath)
        };
        for _ in 0..ATTEMPTS {
            match openat2(&self.0, name, how()) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                // Filters of system calls answer what they do not know with EPERM, which open(2) has no other use for here.
                Err(Errno::ENOSYS | Errno::EPERM) => {
                    HAS_NO_OPENAT2.store(true, Relaxed);
                    return walk(self.0.as_fd(), name, flags);
                }
                opened => return opened,
            }
        }
        Err(Errno::EAGAIN)
    }
}

/// Opens a name part by part, without following links.
fn walk(directory: impl AsFd, name: &str, flags: OFlag) -> nix::Result<OwnedFd> {
    let through = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut parts = name.split('/').peekable();
    let mut inner: Option<OwnedFd> = None;
    while let Some(part) = parts.next() {
        if part == ".." {
            return Err(Errno::EXDEV);
        }
        let within = inner.as_ref().map_or(directory.as_fd(), AsFd::as_fd);
        let part = if part.is_empty() { "." } else { part };
        if parts.peek().is_none() {
            return openat(within, part, flags | OFlag::O_NOFOLLOW, Mode::empty());
        }
        inner = Some(openat(within, part, through, Mode::empty())?);
    }
    Err(Errno::ENOENT)
}

#[cfg(test)]
mod tests {
    use super::{Directory, Links, NO_WAIT, walk};
    use nix::fcntl::OFlag;
    use std::{
        fs::{self, File},
        io::{self, Read},
        os::unix::fs::symlink,
        path::PathBuf,
    };

    /// A directory to serve, beside a secret, with links of all kinds.
    fn site(name: &str) -> PathBuf {
        let base = std::env::temp_dir().join(format!("hostler-beneath-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        let site = base.join("site");
        fs::create_dir_all(site.join("deep/deeper")).unwrap();
        fs::write(base.join("secret"), "secret").unwrap();
        fs::write(site.join("deep/deeper/file"), "content").unwrap();
        symlink("deep/deeper/file", site.join("within")).unwrap();
        symlink("../secret", site.join("out")).unwrap();
        symlink(base.join("secret"), site.join("absolute")).unwrap();
        symlink("..", site.join("deep/up")).unwrap();
        symlink("../..", site.join("deep/out")).unwrap();
        nix::unistd::mkfifo(&site.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        site
    }

    fn text(opened: io::Result<(File, fs::Metadata)>) -> Result<String, i32> {
        let (mut file, _) = opened.map_err(|error| error.raw_os_error().unwrap_or(0))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| error.raw_os_error().unwrap_or(0))?;
        Ok(text)
    }

    #[test]
    fn links_lead_to_files_beneath_the_directory_only() {
        let site = site("links");
        let directory = Directory::open(&site).unwrap();
        let read = |name| text(directory.open_file(name, Links::Within));
        assert_eq!(read("deep/deeper/file").unwrap(), "content");
        assert_eq!(read("deep/up/deep/deeper/file").unwrap(), "content");
        assert_eq!(read("within").unwrap(), "content");
        for name in ["out", "absolute", "deep/out/secret", "../secret", "/etc/passwd", "deep/../../secret"] {
            assert_eq!(read(name), Err(libc::EXDEV), "{name}");
        }
        assert_eq!(text(directory.open_file("absolute", Links::Anywhere)).unwrap(), "secret");
        fs::remove_dir_all(site.parent().unwrap()).unwrap();
    }

    #[test]
    fn without_openat2_no_link_is_followed() {
        let site = site("walk");
        let directory = Directory::open(&site).unwrap();
        let flags = OFlag::O_RDONLY | OFlag::from_bits_retain(NO_WAIT);
        let read = |name| {
            let opened = walk(&directory.0, name, flags).map(File::from).map_err(io::Error::from);
            text(opened.and_then(|file| file.metadata().map(|about| (file, about))))
        };
        assert_eq!(read("deep/deeper/file").unwrap(), "content");
        for name in ["within", "out", "absolute", "deep/up/deep/deeper/file", "deep/out/secret", "../secret"]
        {
            assert!(read(name).is_err(), "{name}");
        }
        fs::remove_dir_all(site.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_pipe_is_opened_at_once() {
        let site = site("pipe");
        let (_, about) = Directory::open(&site).unwrap().open_file("pipe", Links::Within).unwrap();
        assert!(!about.is_file());
        fs::remove_dir_all(site.parent().unwrap()).unwrap();
    }
}
