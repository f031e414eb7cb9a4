//! Receivers of lines that are no file: the journal and syslog. Each process sends by itself, and waits for none of them:
//! what a receiver does not take is lost and counted, and one that comes back gets what follows.
//!
//! Not here: what entries and messages look like ([`super::journal`], [`super::syslog`]), and TCP ([`super::stream`]).

use super::{journal, record::Record, stream::Stream, syslog, syslog::Envelope};
use hostler_settings::{Log, LogTarget, SyslogFormat};
use nix::{
    errno::Errno,
    sys::{
        socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, socket},
        stat::fstat,
    },
};
use socket2::{SockAddr, SockRef};
use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    os::fd::{BorrowedFd, IntoRawFd},
    path::PathBuf,
    sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed},
};

/// What every receiver of syslog by UDP should take (RFC 5424 §6.1), in bytes.
const SHORT: usize = 2048;
/// The most that is sent as one datagram by UDP at first.
const LONG: usize = 8192;

/// Where the lines of this process go.
pub(super) struct Receiver {
    kind: Kind,
    identifier: String,
}

enum Kind {
    Journal(Datagrams, PathBuf),
    Local(Datagrams, SockAddr, Envelope),
    Udp(Datagrams, SocketAddr, Envelope),
    Tcp(Stream, Envelope),
}

/// How a record was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Whole,
    Not,
}

impl Receiver {
    /// The one that the options name, if it is no file. Names of machines are resolved once.
    pub(super) fn new(options: &Log) -> io::Result<Option<Self>> {
        let Some(target) = &options.target else { return Ok(None) };
        let identifier = options.syslog_prefix.clone().unwrap_or_else(|| String::from("hostler"));
        let envelope = |usual: SyslogFormat| Envelope {
            facility: options.syslog_facility,
            format: if options.syslog_format == SyslogFormat::Auto { usual } else { options.syslog_format },
            identifier: syslog::name(&identifier),
            host: (usual == SyslogFormat::Rfc5424).then(host),
        };
        let kind = match target {
            LogTarget::StandardError => return Ok(None),
            LogTarget::Journal(path) => {
                UnixAddr::new(path)?;
                Kind::Journal(Datagrams::new(AddressFamily::Unix)?, path.clone())
            }
            LogTarget::Local(path) => {
                let (socket, address) = (Datagrams::new(AddressFamily::Unix)?, SockAddr::unix(path)?);
                Kind::Local(socket, address, envelope(SyslogFormat::Rfc3164))
            }
            LogTarget::Udp(host, port) => {
                let address = resolve(host, *port)?;
                let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
                Kind::Udp(Datagrams::new(family)?, address, envelope(SyslogFormat::Rfc5424))
            }
            LogTarget::Tcp(host, port) => {
                Kind::Tcp(Stream::new(resolve(host, *port)?), envelope(SyslogFormat::Rfc5424))
            }
        };
        Ok(Some(Self { kind, identifier }))
    }

    pub(super) fn send(&self, record: &Record) -> Sent {
        let is_json = super::is_json();
        let sent = match &self.kind {
            Kind::Journal(socket, path) => {
                let entry = journal::entry(record, &self.identifier);
                match SockAddr::unix(path).map_err(|_| Errno::EINVAL).and_then(|to| socket.send(&to, &entry))
                {
                    Err(Errno::EMSGSIZE | Errno::ENOBUFS) => {
                        socket.with(|socket| journal::send_as_file(socket, &UnixAddr::new(path)?, &entry))
                    }
                    sent => sent,
                }
            }
            Kind::Local(socket, address, envelope) => {
                let message = envelope.message(record, is_json);
                match socket.send(address, message.as_bytes()) {
                    Err(Errno::EMSGSIZE) => socket.send(address, syslog::cut(&message, LONG).as_bytes()),
                    sent => sent,
                }
            }
            Kind::Udp(socket, address, envelope) => {
                let message = envelope.message(record, is_json);
                let send = |length: usize| {
                    let bytes = syslog::cut(&message, length).as_bytes();
                    socket.send(&SockAddr::from(*address), bytes)
                };
                match send(LONG) {
                    Err(Errno::EMSGSIZE) => send(SHORT),
                    sent => sent,
                }
            }
            Kind::Tcp(stream, envelope) => return stream.send(&envelope.message(record, is_json)),
        };
        if sent.is_ok() { Sent::Whole } else { Sent::Not }
    }

    /// Sends what waits, as far as that goes now. Whether something still waits.
    pub(super) fn flush(&self) -> bool {
        match &self.kind {
            Kind::Tcp(stream, _) => stream.flush(),
            _ => false,
        }
    }
}

impl Receiver {
    /// The process ends soon: a receiver that was away is tried now.
    pub(super) fn hurry(&self) {
        if let Kind::Tcp(stream, _) = &self.kind {
            stream.hurry();
        }
    }

    /// Drops what waits; how many messages that is.
    pub(super) fn give_up(&self) -> u64 {
        match &self.kind {
            Kind::Tcp(stream, _) => stream.give_up(),
            _ => 0,
        }
    }
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let unknown = || io::Error::new(io::ErrorKind::NotFound, "this name has no address");
    (host, port).to_socket_addrs()?.next().ok_or_else(unknown)
}

/// The name of this machine.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { String::from("-") } else { name.to_owned() }
}

/// A socket that is not connected: a receiver that was started again has the same address. Another is made if the
/// application closed it, or its number is another file's.
struct Datagrams {
    family: AddressFamily,
    number: AtomicI32,
    inode: AtomicU64,
}

impl Datagrams {
    fn new(family: AddressFamily) -> Result<Self, Errno> {
        let made = Self { family, number: AtomicI32::new(-1), inode: AtomicU64::new(0) };
        made.open()?;
        Ok(made)
    }

    fn open(&self) -> Result<i32, Errno> {
        let socket = socket(self.family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        self.inode.store(fstat(&socket)?.st_ino, Relaxed);
        let number = socket.into_raw_fd();
        self.number.store(number, Relaxed);
        Ok(number)
    }

    fn send(&self, address: &SockAddr, bytes: &[u8]) -> Result<(), Errno> {
        let flags = (MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL).bits();
        self.with(|socket| {
            loop {
                match SockRef::from(&socket).send_to_with_flags(bytes, address, flags) {
                    Ok(_) => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))),
                }
            }
        })
    }

    fn with<T>(&self, use_it: impl Fn(BorrowedFd<'_>) -> Result<T, Errno>) -> Result<T, Errno> {
        let number = self.number.load(Relaxed);
        // SAFETY: it is the number of a descriptor that is never closed here; fstat is harmless on any, and on none.
        let socket = unsafe { BorrowedFd::borrow_raw(number) };
        if fstat(socket).is_ok_and(|found| found.st_ino == self.inode.load(Relaxed)) {
            return use_it(socket);
        }
        let number = self.open()?;
        // SAFETY: it was opened just now, and is not closed here.
        use_it(unsafe { BorrowedFd::borrow_raw(number) })
    }
}
