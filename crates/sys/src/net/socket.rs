//! Listening sockets, bound by the master and open as long as it runs.

use crate::files::own_file::{Inode, OwnFile};
use hostler_wire::ListenerInfo;
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};
use std::{
    ffi::{OsStr, OsString},
    io,
    net::{SocketAddr, ToSocketAddrs},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::PermissionsExt,
        },
    },
    path::Path,
};

/// Binds and listens on a TCP address, with SO_REUSEPORT so that a second master can take over later.
///
/// A port that another socket listens on is refused nevertheless: the address is first bound without SO_REUSEPORT,
/// which would share it silently.
///
/// # Errors
/// The kernel's (bind(2)): in use, not permitted, not an address of this machine.
pub fn bind_tcp(address: SocketAddr, backlog: i32, families: Families) -> io::Result<OwnedFd> {
    if address.port() != 0 {
        let probe = tcp_socket(address, families)?;
        probe.bind(&address.into())?;
        // Two sockets with SO_REUSEADDR may both bind; only listen(2) fails.
        probe.listen(1)?;
    }
    let socket = tcp_socket(address, families)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The first address of a host and port, or of a text that has both.
///
/// # Errors
/// The resolver's; one of our own for a name without an address.
pub fn resolve(address: impl ToSocketAddrs) -> io::Result<SocketAddr> {
    address.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("the name has no address"))
}

/// All addresses of a host and port, each once.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_all(address: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    let mut all: Vec<SocketAddr> = Vec::new();
    for found in address.to_socket_addrs()? {
        if !all.contains(&found) {
            all.push(found);
        }
    }
    if all.is_empty() { Err(io::Error::other("the name has no address")) } else { Ok(all) }
}

/// Whether this machine cannot have the address at all: it is not one of its own, or of a family that it does not speak.
#[must_use]
pub fn is_not_ours(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

/// Whose connections a socket on `[::]` accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// Those that the system's default says, as a rule IPv4 as well.
    Default,
    /// Those of IPv6 alone, so that another socket can have the port for IPv4.
    V6Only,
}

/// Binds and listens on a TCP address with so many sockets, among which the kernel spreads connections, and logs it. With
/// them comes the address, whose port the system may have chosen.
///
/// # Errors
/// As [`bind_tcp`].
pub fn listen_tcp(
    address: SocketAddr,
    backlog: i32,
    count: u16,
    families: Families,
) -> io::Result<(SocketAddr, Vec<OwnedFd>)> {
    let first = bind_tcp(address, backlog, families)?;
    let address = tcp_address(&first)?;
    let mut sockets = vec![first];
    for _ in 1..count {
        let socket = tcp_socket(address, families)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        socket.listen(backlog)?;
        socket.set_nonblocking(true)?;
        sockets.push(socket.into());
    }
    crate::logging::listening(&address);
    Ok((address, sockets))
}

/// Listens on an address that is not one of the server's own.
///
/// # Errors
/// As [`bind_tcp`].
pub fn listen_quietly(
    address: SocketAddr,
    backlog: i32,
    families: Families,
) -> io::Result<(SocketAddr, OwnedFd)> {
    let socket = bind_tcp(address, backlog, families)?;
    Ok((tcp_address(&socket)?, socket))
}

/// How full the queue of a listening socket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptQueue {
    /// Connections that wait to be accepted.
    pub waiting: u64,
    /// How many may wait.
    pub limit: u64,
    /// Connections that the kernel has dropped since the socket was made.
    pub dropped: u64,
}

/// The queue of a TCP socket that listens (`TCP_INFO` in tcp(7), `SO_MEMINFO` in socket(7)); `None` for others, of which the kernel
/// does not say it.
#[must_use]
pub fn accept_queue(socket: &OwnedFd) -> Option<AcceptQueue> {
    // SAFETY: all zeroes is a `tcp_info`.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of_val(&info)).ok()?;
    // SAFETY: the pointers are to live values, and the length is that of the first.
    let found = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    // For a socket that listens, these two fields are its queue and its limit.
    let (waiting, limit) = (u64::from(info.tcpi_unacked), u64::from(info.tcpi_sacked));
    (found == 0).then(|| AcceptQueue { waiting, limit, dropped: drops(socket) })
}

/// What the kernel has dropped of a socket (`SK_MEMINFO_DROPS` of linux/sock_diag.h).
fn drops(socket: &OwnedFd) -> u64 {
    const SO_MEMINFO: i32 = 55;
    const DROPS: usize = 8;
    let mut numbers = [0_u32; DROPS + 1];
    let Ok(mut length) = libc::socklen_t::try_from(size_of_val(&numbers)) else { return 0 };
    // SAFETY: the pointers are to live values, and the length is that of the first.
    let found = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if found == 0 { u64::from(numbers[DROPS]) } else { 0 }
}

fn tcp_socket(address: SocketAddr, families: Families) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && families == Families::V6Only {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Who may connect to a Unix socket; what is not set stays as the kernel made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The file's mode.
    pub mode: Option<u32>,
    /// Its owner.
    pub user: Option<u32>,
    /// Its group.
    pub group: Option<u32>,
}

impl Access {
    /// Sets it for a socket's file.
    ///
    /// # Errors
    /// The kernel's (chown(2), chmod(2)).
    pub fn apply(self, path: &Path) -> io::Result<()> {
        if self.user.is_some() || self.group.is_some() {
            std::os::unix::fs::chown(path, self.user, self.group)?;
        }
        // Behind a change of the owner, which may clear bits of the mode.
        match self.mode {
            Some(mode) => std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)),
            None => Ok(()),
        }
    }
}

/// Binds and listens on a name in the abstract namespace (unix(7)), which is gone with its last descriptor.
///
/// # Errors
/// The kernel's; `AddrInUse` if a process has the name.
pub fn bind_abstract(name: &[u8], backlog: i32) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(OsString::from_vec([b"\0", name].concat()))?)?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Binds and listens on a Unix socket. One without a listener is removed first. With it comes what it is
/// in the file system, to be removed at the end.
///
/// # Errors
/// The kernel's; `AddrInUse` if a process listens there, `AlreadyExists` if the path is not a socket.
pub fn bind_unix(path: &Path, access: Access, backlog: i32) -> io::Result<(OwnedFd, OwnFile)> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let made = OwnFile::new(path.to_owned(), Inode::of(path)?);
    // No client can connect before `listen`, so the mode is never wrong for one.
    if let Err(error) = access.apply(path).and_then(|()| socket.listen(backlog)) {
        let _ = made.remove();
        return Err(error);
    }
    socket.set_nonblocking(true)?;
    Ok((socket.into(), made))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is not a socket"));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    match probe.connect(&SockAddr::unix(path)?) {
        // No process listens. Only what was found is removed: another server may have bound the path meanwhile.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            OwnFile::new(path.to_owned(), Inode::from(&found)).remove().map(drop)
        }
        // A full queue has a listener; connecting would wait for room (connect(2), EAGAIN).
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        Ok(()) | Err(_) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on this socket"))
        }
    }
}

/// Takes over a socket that the process was started with (`fd://3`), and listens on it. From then on it
/// closes on exec: programs that are started do not inherit it.
///
/// # Errors
/// The kernel's; `InvalidInput` if the descriptor is not open, not a stream socket, or of another family.
pub fn adopt(descriptor: RawFd, backlog: i32) -> io::Result<(OwnedFd, ListenerInfo)> {
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, text.to_owned());
    let owned = match descriptor {
        0..=2 => copy_of_standard(descriptor),
        _ => crate::process::take_descriptor(descriptor),
    };
    let owned = owned.map_err(|_| invalid("no such descriptor is open"))?;
    let socket = Socket::from(owned);
    if socket.r#type().map_err(|_| invalid("the descriptor is not a socket"))? != Type::STREAM {
        return Err(invalid("the descriptor is not a stream socket"));
    }
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    let address = local_address(&socket)?
        .ok_or_else(|| invalid("neither TCP nor a Unix socket with a path or a name"))?;
    if descriptor < 3 {
        empty_standard(descriptor)?;
    }
    Ok((socket.into(), address))
}

/// What a socket is that a service manager has passed to this process, for one that does not serve it: a copy, and where it
/// listens. `None` if the descriptor is not open.
///
/// # Errors
/// `InvalidInput` if it is no socket that could be served; the kernel's.
pub fn passed(descriptor: RawFd) -> io::Result<Option<(OwnedFd, ListenerInfo)>> {
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, text.to_owned());
    // SAFETY: fcntl(2) with integers.
    let copy = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Ok(None);
    }
    // SAFETY: it is new and has no other owner.
    let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(copy) });
    if socket.r#type().map_err(|_| invalid("the descriptor is not a socket"))? != Type::STREAM {
        return Err(invalid("the descriptor is not a stream socket"));
    }
    let address = local_address(&socket)?
        .ok_or_else(|| invalid("neither TCP nor a Unix socket with a path or a name"))?;
    Ok(Some((socket.into(), address)))
}

/// Standard input, output or error under another number, at which no program expects them.
fn copy_of_standard(descriptor: RawFd) -> io::Result<OwnedFd> {
    match descriptor {
        0 => io::stdin().as_fd().try_clone_to_owned(),
        1 => io::stdout().as_fd().try_clone_to_owned(),
        _ => io::stderr().as_fd().try_clone_to_owned(),
    }
}

/// Leaves /dev/null in its place.
fn empty_standard(descriptor: RawFd) -> io::Result<()> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    match descriptor {
        0 => nix::unistd::dup2_stdin(null),
        1 => nix::unistd::dup2_stdout(null),
        _ => nix::unistd::dup2_stderr(null),
    }?;
    Ok(())
}

/// Changes how many connections may wait to be accepted from a listening socket.
///
/// # Errors
/// The kernel's (listen(2)).
pub fn set_backlog(listener: &OwnedFd, backlog: i32) -> io::Result<()> {
    socket2::SockRef::from(listener).listen(backlog)
}

/// The address that a listening socket is bound to.
///
/// # Errors
/// The kernel's (getsockname(2)).
pub fn tcp_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let address = socket2::SockRef::from(socket).local_addr()?;
    address.as_socket().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a TCP socket"))
}

/// Accepts a connection from a listener's queue, non-blocking and closed on exec, with its peer's address.
///
/// # Errors
/// The kernel's (accept4(2)); `WouldBlock` if none waits.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    let mut descriptor = -1;
    let mut take = |address: *mut _, length: *mut libc::socklen_t| {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: the listener is open; both pointers are to live values, and the length is the storage's.
        descriptor = unsafe { libc::accept4(listener.as_raw_fd(), address, length, flags) };
        if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: on success the kernel has written an address and its length.
    let ((), peer) = unsafe { SockAddr::try_init(|storage, length| take(storage.cast(), length)) }?;
    // SAFETY: it is new and has no other owner.
    Ok((unsafe { OwnedFd::from_raw_fd(descriptor) }, peer.as_socket()))
}

/// Has the kernel take no new connections, in all processes that have the listening socket open. Those that wait in the queue
/// can be accepted, TCP handshakes that have begun end well, and later ones are not answered: their clients try again, and
/// find what is there then.
///
/// # Errors
/// The kernel's (shutdown(2), setsockopt(2)).
pub fn refuse_connections(socket: &OwnedFd) -> io::Result<()> {
    const SYN: u32 = 0x02;
    const SYN_OR_ACK: u32 = 0x12;
    const FLAGS_OF_TCP: u32 = 13;
    let step = |code: u32, jump_if_not, operand| {
        SockFilter::new(u16::try_from(code).unwrap_or_default(), 0, jump_if_not, operand)
    };
    let socket = socket2::SockRef::from(socket);
    if socket.domain()? == Domain::UNIX {
        return socket.shutdown(std::net::Shutdown::Both);
    }
    // Drops segments that open a connection (bpf(4)).
    socket.attach_filter(&[
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, FLAGS_OF_TCP),
        step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, SYN_OR_ACK),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, SYN),
        step(libc::BPF_RET | libc::BPF_K, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, 0, u32::MAX),
    ])
}

/// Ends listening, in all processes that have the socket open: from now on the kernel refuses connections. Those that wait in
/// the queue are reset.
///
/// # Errors
/// The kernel's (shutdown(2)).
pub fn end_listening(socket: &OwnedFd) -> io::Result<()> {
    socket2::SockRef::from(socket).shutdown(std::net::Shutdown::Both)
}

/// Sends a datagram to a Unix socket, by its path or, after `@`, its abstract name (unix(7)). Never blocks.
///
/// # Errors
/// The kernel's (connect(2), send(2)); `WouldBlock` if the receiver's queue is full.
pub fn send_datagram(address: &OsStr, datagram: &[u8]) -> io::Result<()> {
    let name = match address.as_bytes() {
        [b'@', rest @ ..] => OsString::from_vec([b"\0", rest].concat()),
        _ => address.to_owned(),
    };
    let socket = Socket::new(Domain::UNIX, Type::DGRAM.nonblocking(), None)?;
    socket.connect(&SockAddr::unix(name)?)?;
    socket.send_with_flags(datagram, libc::MSG_NOSIGNAL).map(drop)
}

fn local_address(socket: &Socket) -> io::Result<Option<ListenerInfo>> {
    let address = socket.local_addr()?;
    let named = |name: &[u8]| ListenerInfo::Unix(OsString::from_vec([b"@", name].concat()).into());
    Ok(match (address.as_socket(), address.as_pathname()) {
        (Some(tcp), _) => Some(ListenerInfo::Tcp(tcp)),
        (None, Some(path)) => Some(ListenerInfo::Unix(path.to_owned())),
        (None, None) => address.as_abstract_namespace().map(named),
    })
}

#[cfg(test)]
mod tests {
    use super::{Access, Families, bind_abstract, bind_tcp, bind_unix, tcp_address};
    use std::io::ErrorKind;

    #[test]
    fn a_port_in_use_is_refused_although_it_could_be_shared() {
        let bind_tcp = |address, backlog| bind_tcp(address, backlog, Families::Default);
        let first = bind_tcp("127.0.0.1:0".parse().unwrap(), 16).unwrap();
        let address = tcp_address(&first).unwrap();
        assert_eq!(bind_tcp(address, 16).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(first);
        bind_tcp(address, 16).unwrap();
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not() {
        let path = std::env::temp_dir().join(format!("hostler-sys-{}.sock", std::process::id()));
        let own = Access { mode: Some(0o600), ..Access::default() };
        let bind_unix = |path: &std::path::Path, access: Option<Access>, backlog| {
            bind_unix(path, access.unwrap_or_default(), backlog)
        };
        let (first, made) = bind_unix(&path, Some(own), 16).unwrap();
        assert_eq!(bind_unix(&path, None, 16).unwrap_err().kind(), ErrorKind::AddrInUse);
        std::fs::remove_file(&path).unwrap();
        let (second, others) = bind_unix(&path, None, 16).unwrap();
        // The first one does not remove the other's file.
        assert!(!made.remove().unwrap());
        drop((first, second));
        drop(others);
        let (_third, others) = bind_unix(&path, None, 16).unwrap();
        assert!(others.remove().unwrap());
        std::fs::write(&path, "").unwrap();
        assert_eq!(bind_unix(&path, None, 16).unwrap_err().kind(), ErrorKind::AlreadyExists);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn an_abstract_name_is_free_with_its_last_descriptor() {
        let name = format!("hostler-sys-{}", std::process::id());
        let first = bind_abstract(name.as_bytes(), 16).unwrap();
        assert_eq!(bind_abstract(name.as_bytes(), 16).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(first);
        bind_abstract(name.as_bytes(), 16).unwrap();
    }

    #[test]
    fn both_families_can_have_sockets_of_their_own_on_one_port() {
        let v4 = bind_tcp("0.0.0.0:0".parse().unwrap(), 16, Families::Default).unwrap();
        let port = tcp_address(&v4).unwrap().port();
        match bind_tcp(format!("[::]:{port}").parse().unwrap(), 16, Families::V6Only) {
            Ok(_) => {}
            // A machine without IPv6.
            Err(error) => assert!(super::is_not_ours(&error), "{error}"),
        }
    }

    #[test]
    fn a_full_queue_has_a_listener_and_is_not_waited_for() {
        let path = std::env::temp_dir().join(format!("hostler-full-{}.sock", std::process::id()));
        let (_listener, made) = bind_unix(&path, Access::default(), 0).unwrap();
        let mut waiting = Vec::new();
        loop {
            let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            match client.connect(&socket2::SockAddr::unix(&path).unwrap()) {
                Ok(()) => waiting.push(client),
                Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        assert_eq!(bind_unix(&path, Access::default(), 16).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert!(made.remove().unwrap());
    }
}
