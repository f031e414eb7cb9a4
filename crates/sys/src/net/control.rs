//! Control sockets: Unix sockets for the user of a server alone, at paths of any length.

use super::socket::{Access, bind_unix};
use crate::files::own_file::OwnFile;
use nix::{
    fcntl::{OFlag, open},
    sys::{
        socket::{getsockopt, sockopt::PeerCredentials},
        stat::Mode,
    },
};
use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{DirBuilderExt, FileTypeExt, MetadataExt},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
};

/// The longest path of a Unix socket, in bytes (unix(7)).
const LONGEST: usize = 107;
/// How many connections may wait to be accepted.
const BACKLOG: i32 = 128;

/// A path that the kernel takes for a Unix socket: a long one leads through the descriptor of its directory.
struct Reachable {
    path: PathBuf,
    _directory: Option<OwnedFd>,
}

impl Reachable {
    fn new(path: &Path) -> io::Result<Self> {
        if path.as_os_str().as_bytes().len() <= LONGEST {
            return Ok(Self { path: path.to_owned(), _directory: None });
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
        };
        let directory = open(parent, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _directory: Some(directory) })
    }
}

/// Listens at a path that only this user, and root, can connect to. A socket without a listener is removed first; one that
/// has a listener is replaced if `replace` says so, without a moment at which there is none.
///
/// # Errors
/// The kernel's; `AddrInUse` if a process listens there, `AlreadyExists` if the path is not a socket.
pub fn listen(path: &Path, replace: bool) -> io::Result<(OwnedFd, OwnFile)> {
    let private = Access { mode: Some(0o600), ..Access::default() };
    if !replace {
        let (socket, made) = bind_unix(&Reachable::new(path)?.path, private, BACKLOG)?;
        return Ok((socket, OwnFile::new(path.to_owned(), made.inode())));
    }
    if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is not a socket"));
    }
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".new-{}", std::process::id()));
    let new = PathBuf::from(new);
    let (socket, made) = bind_unix(&Reachable::new(&new)?.path, private, BACKLOG)?;
    let renamed = fs::rename(&new, path);
    renamed.inspect_err(|_| drop(OwnFile::new(new, made.inode()).remove()))?;
    Ok((socket, OwnFile::new(path.to_owned(), made.inode())))
}

/// Connects to a server.
///
/// # Errors
/// The kernel's.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(Reachable::new(path)?.path)
}

/// Whether a file is a socket at which no process listens.
#[must_use]
pub fn is_stale(path: &Path) -> bool {
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    connect(path).is_err_and(|error| refused(&error))
}

/// The process at the other end of a connection, when it connected or listened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process id; 0 if it is in a namespace that this one does not see.
    pub pid: i32,
    /// Its user.
    pub user: u32,
}

/// Who is at the other end (unix(7), `SO_PEERCRED`).
///
/// # Errors
/// The kernel's (getsockopt(2)).
pub fn peer(connection: &impl AsFd) -> io::Result<Peer> {
    let credentials = getsockopt(connection, PeerCredentials)?;
    Ok(Peer { pid: credentials.pid(), user: credentials.uid() })
}

/// The user of this process.
#[must_use]
pub fn own_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Makes a directory for control sockets, unless there is one. In a directory where everybody can make one it must be this
/// user's, and nobody else may write to it.
///
/// # Errors
/// The kernel's (mkdir(2), stat(2)); `PermissionDenied` for another user's.
pub fn make_directory(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o755).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let found = fs::symlink_metadata(directory)?;
    let shared = directory.parent().and_then(|parent| fs::metadata(parent).ok());
    let shared = shared.is_some_and(|parent| parent.mode() & 0o002 != 0);
    let ours = found.is_dir() && found.uid() == own_user() && found.mode() & 0o022 == 0;
    if shared && !ours {
        let text = "it is another user's, or others may write to it";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{connect, is_stale, listen, make_directory, own_user, peer};
    use std::{fs, io::ErrorKind, os::unix::fs::PermissionsExt};

    #[test]
    fn a_path_of_any_length_can_be_listened_at_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("d".repeat(120));
        fs::create_dir(&long).unwrap();
        for path in [dir.path().join("short.sock"), long.join("long.sock")] {
            let (socket, made) = listen(&path, false).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let client = connect(&path).unwrap();
            assert_eq!(peer(&client).unwrap().user, own_user());
            assert_eq!(listen(&path, false).unwrap_err().kind(), ErrorKind::AddrInUse);
            drop(socket);
            assert!(is_stale(&path));
            let (_socket, again) = listen(&path, false).unwrap();
            assert!(!made.remove().unwrap_or(true) || again.inode() == made.inode());
        }
    }

    #[test]
    fn a_listener_is_replaced_only_if_that_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let (_old, old) = listen(&path, false).unwrap();
        let (_new, new) = listen(&path, true).unwrap();
        assert!(!old.remove().unwrap(), "it is the new one's");
        assert!(connect(&path).is_ok() && new.remove().unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        fs::write(&path, "precious").unwrap();
        assert_eq!(listen(&path, false).unwrap_err().kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_directory_in_a_shared_one_must_be_this_users_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        let mine = dir.path().join("mine");
        make_directory(&mine).unwrap();
        make_directory(&mine).unwrap();
        fs::set_permissions(&mine, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(make_directory(&mine).unwrap_err().kind(), ErrorKind::PermissionDenied);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        assert_eq!(make_directory(&link).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
}
