//! Control sockets: Unix sockets for the user of a server alone, at paths of any length.

use super::socket::{Access, bind_unix};
use crate::{files::own_file::OwnFile, process};
use nix::{
    fcntl::{OFlag, open},
    sys::{
        socket::{
            getsockopt,
            sockopt::{PeerCredentials, PeerPidfd},
        },
        stat::Mode,
    },
};
use socket2::{Domain, SockAddr, Socket, Type};
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
    time::Duration,
};

/// The longest path of a Unix socket, in bytes (unix(7)).
const LONGEST: usize = 107;
/// How long a full queue is waited for where all that matters is that there is one.
const FULL_LIMIT: Duration = Duration::from_millis(10);
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
    // Short, as a path through the directory's descriptor has to be.
    let new = path.with_file_name(format!(".new-{}", std::process::id()));
    let (socket, made) = bind_unix(&Reachable::new(&new)?.path, private, BACKLOG)?;
    let renamed = fs::rename(&new, path);
    renamed.inspect_err(|_| drop(OwnFile::new(new, made.inode()).remove()))?;
    Ok((socket, OwnFile::new(path.to_owned(), made.inode())))
}

/// Connects to a server, which may take so long to make room in its queue.
///
/// # Errors
/// The kernel's; `TimedOut` if the queue stays full.
pub fn connect(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    let reachable = Reachable::new(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // It holds for connect(2), too (unix(7)).
    socket.set_write_timeout(Some(limit))?;
    socket.connect(&SockAddr::unix(&reachable.path)?).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "it accepts no connections"),
        _ => error,
    })?;
    socket.set_write_timeout(None)?;
    Ok(UnixStream::from(OwnedFd::from(socket)))
}

/// Whether a file is a socket at which no process listens.
#[must_use]
pub fn is_stale(path: &Path) -> bool {
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    connect(path, FULL_LIMIT).is_err_and(|error| refused(&error))
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

/// A descriptor that is readable when the process at the other end has exited, also while others have the connection's other end open, which it has
/// forked. None if the kernel has no such thing, or does not know the process.
#[must_use]
pub fn peer_process(connection: &impl AsFd) -> Option<OwnedFd> {
    // Since Linux 6.5; before that by its number, which is another process's if it has exited already.
    let open = |peer: Peer| process::open(peer.pid).ok();
    getsockopt(connection, PeerPidfd).ok().or_else(|| peer(connection).ok().and_then(open))
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
    use std::{fs, io::ErrorKind, os::unix::fs::PermissionsExt, time::Duration};

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_server_that_accepts_nothing_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let _server = listen(&path, false).unwrap();
        let limit = Duration::from_millis(20);
        let mut waiting = Vec::new();
        let error = loop {
            match connect(&path, limit) {
                Ok(connection) => waiting.push(connection),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(!is_stale(&path));
    }

    #[test]
    fn a_path_of_any_length_can_be_listened_at_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("d".repeat(120));
        fs::create_dir(&long).unwrap();
        let longest = dir.path().join("n".repeat(88));
        for path in [dir.path().join("short.sock"), long.join("long.sock"), longest] {
            let (socket, made) = listen(&path, false).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let client = connect(&path, LIMIT).unwrap();
            assert_eq!(peer(&client).unwrap().user, own_user());
            assert_eq!(listen(&path, false).unwrap_err().kind(), ErrorKind::AddrInUse);
            drop(socket);
            assert!(is_stale(&path));
            let (_socket, again) = listen(&path, false).unwrap();
            assert!(!made.remove().unwrap_or(true) || again.inode() == made.inode());
            listen(&path, true).unwrap();
        }
    }

    #[test]
    fn a_listener_is_replaced_only_if_that_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let (_old, old) = listen(&path, false).unwrap();
        let (_new, new) = listen(&path, true).unwrap();
        assert!(!old.remove().unwrap(), "it is the new one's");
        assert!(connect(&path, LIMIT).is_ok() && new.remove().unwrap());
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
