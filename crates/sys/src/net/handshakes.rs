//! TCP handshakes that have begun and not ended.
//!
//! The kernel is asked by sock_diag(7), for sockets of that port in that state alone. The tables of `/proc/net` have a line for
//! each connection of the machine, also for those that ended in the last minute: on a busy one they take seconds to read. They
//! are looked into, for a short time, only where the kernel does not respond to this.

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

/// The kernel's number for connections whose last segment is awaited.
const SYN_RECEIVED: u8 = 3;
/// How long the tables of `/proc` are read at most.
const PATIENCE: Duration = Duration::from_millis(20);

/// Whether a client's handshake with this port is under way, as far as the kernel shows it.
#[must_use]
pub fn are_under_way(port: u16) -> bool {
    let asked = [libc::AF_INET, libc::AF_INET6].map(|family| diagnose(family, port));
    match asked {
        [Ok(four), Ok(six)] => four || six,
        _ => are_in_tables(port),
    }
}

/// `NETLINK_SOCK_DIAG`: whether there is a socket of this family and port that awaits the end of a handshake.
fn diagnose(family: i32, port: u16) -> io::Result<bool> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let kernel = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkSockDiag)?;
    send(kernel.as_raw_fd(), &question(family, port)?, MsgFlags::empty())?;
    // The kernel has responded when send(2) returns. More than the first message is not needed.
    let mut response = [0; 8192];
    let length = recv(kernel.as_raw_fd(), &mut response, MsgFlags::MSG_DONTWAIT)?;
    let kind = response.get(4..6).filter(|_| length >= 16).and_then(|kind| kind.try_into().ok());
    match kind.map(u16::from_ne_bytes) {
        Some(SOCK_DIAG_BY_FAMILY) => Ok(true),
        Some(NLMSG_DONE) => Ok(false),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// `linux/sock_diag.h`, `linux/netlink.h`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;

/// `struct nlmsghdr` with `struct inet_diag_req_v2`: all TCP sockets of this family, local port and state.
fn question(family: i32, port: u16) -> io::Result<Vec<u8>> {
    const LENGTH: u32 = 72;
    let family = u8::try_from(family).map_err(io::Error::other)?;
    let protocol = u8::try_from(libc::IPPROTO_TCP).map_err(io::Error::other)?;
    let mut message = Vec::new();
    message.extend(LENGTH.to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    // Sequence number and port id.
    message.extend([0; 8]);
    message.extend([family, protocol, 0, 0]);
    message.extend((1_u32 << SYN_RECEIVED).to_ne_bytes());
    message.extend(port.to_be_bytes());
    // The rest of the socket's name may be anything.
    message.resize(usize::try_from(LENGTH).map_err(io::Error::other)?, 0);
    Ok(message)
}

/// The same by `/proc`, as far as it can be read in a short time.
fn are_in_tables(port: u16) -> bool {
    let began = Instant::now();
    ["/proc/self/net/tcp", "/proc/self/net/tcp6"].iter().any(|table| {
        let Ok(table) = File::open(table) else { return false };
        let lines = BufReader::new(table).lines().map_while(Result::ok);
        lines.take_while(|_| began.elapsed() < PATIENCE).any(|line| is_under_way(&line, port))
    })
}

/// Whether a line of such a table (proc(5)) is of a handshake with this port.
fn is_under_way(line: &str, port: u16) -> bool {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, _, state) = (fields.next(), fields.next(), fields.next());
    let of_port = || u16::from_str_radix(local?.rsplit_once(':')?.1, 16).ok();
    state.and_then(|state| u8::from_str_radix(state, 16).ok()) == Some(SYN_RECEIVED)
        && of_port() == Some(port)
}

#[cfg(test)]
mod tests {
    use super::{are_in_tables, are_under_way, diagnose};
    use socket2::{SockFilter, SockRef};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_handshake_whose_end_is_lost_is_under_way() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(!are_under_way(address.port()));
        // Loses segments with ACK: loads their flags, tests that bit, returns how much to keep.
        let program = [(0x30, 0, 0, 13), (0x45, 0, 1, 0x10), (0x06, 0, 0, 0), (0x06, 0, 0, u32::MAX)];
        let filter = program.map(|(code, jt, jf, k)| SockFilter::new(code, jt, jf, k));
        SockRef::from(&listener).attach_filter(&filter).unwrap();
        let _client = TcpStream::connect(address).unwrap();
        assert!(are_under_way(address.port()) && are_in_tables(address.port()));
        assert!(diagnose(libc::AF_INET, address.port()).unwrap());
        // Of another port, none is.
        assert!(!are_under_way(1));
        // Now it comes again.
        SockRef::from(&listener).detach_filter().unwrap();
        let _accepted = listener.accept().unwrap();
        assert!(!are_under_way(address.port()) && !are_in_tables(address.port()));
    }
}
