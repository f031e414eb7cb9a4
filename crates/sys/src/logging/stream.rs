//! Syslog by TCP (RFC 6587, octet counting): a connection of each process, which is made and made again without waiting.
//! What the receiver does not take at once waits in memory, up to a limit.

use super::receiver::Sent;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Write},
    mem::MaybeUninit,
    net::SocketAddr,
    sync::Mutex,
    time::{Duration, Instant},
};

/// With so many bytes that wait, further messages are lost.
const FULL: usize = 256 * 1024;
/// How long after a failure the next connection is tried, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

pub(super) struct Stream {
    address: SocketAddr,
    state: Mutex<State>,
}

struct State {
    connection: Option<Socket>,
    /// The receiver has taken something by it.
    worked: bool,
    /// The process that made the connection: the child of a fork must not write into a message of its parent.
    owner: u32,
    waiting: VecDeque<Vec<u8>>,
    /// How many bytes wait.
    size: usize,
    /// How much of the first message is sent.
    sent: usize,
    pause: Duration,
    next_attempt: Option<Instant>,
}

impl Stream {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, state: Mutex::new(State::new(std::process::id())) }
    }

    /// Sends a message now or soon, or not at all. A thread does not wait for another one, which a fork may have left
    /// behind in the parent.
    pub(super) fn send(&self, message: &str) -> Sent {
        let Ok(mut state) = self.state.try_lock() else { return Sent::Not };
        state.adopt();
        if state.size + message.len() > FULL {
            state.flush(self.address);
        }
        if state.size + message.len() > FULL {
            return Sent::Not;
        }
        let frame = format!("{} {message}", message.len()).into_bytes();
        state.size += frame.len();
        state.waiting.push_back(frame);
        state.flush(self.address);
        Sent::Whole
    }

    /// Sends what waits, as far as that goes now. Whether something still waits.
    pub(super) fn flush(&self) -> bool {
        let Ok(mut state) = self.state.try_lock() else { return false };
        state.adopt();
        state.flush(self.address);
        !state.waiting.is_empty()
    }

    /// The next attempt to connect is due now.
    pub(super) fn hurry(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            state.next_attempt = None;
        }
    }

    /// Drops what waits; how many messages that is.
    pub(super) fn give_up(&self) -> u64 {
        let Ok(mut state) = self.state.try_lock() else { return 0 };
        state.adopt();
        let count = state.waiting.len() as u64;
        (state.size, state.sent) = (0, 0);
        state.waiting.clear();
        count
    }
}

impl State {
    fn new(owner: u32) -> Self {
        let (connection, waiting, next_attempt) = (None, VecDeque::new(), None);
        Self { connection, worked: false, owner, waiting, size: 0, sent: 0, pause: PAUSES.0, next_attempt }
    }

    /// In the child of a fork: begins anew, with a connection of its own.
    fn adopt(&mut self) {
        let pid = std::process::id();
        if self.owner != pid {
            *self = Self::new(pid);
        }
    }

    fn flush(&mut self, address: SocketAddr) {
        if self.waiting.is_empty() {
            return;
        }
        if self.connection.as_ref().is_some_and(is_closed) {
            // If it was started again, what is written to it would be lost without an error. If it is not there, that takes time.
            let worked = self.worked;
            self.fail();
            self.next_attempt = self.next_attempt.filter(|_| !worked);
        }
        if self.connection.is_none() && !self.connect(address) {
            return;
        }
        while let (Some(first), Some(mut connection)) = (self.waiting.front(), self.connection.as_ref()) {
            let length = first.len();
            match connection.write(&first[self.sent..]) {
                Ok(0) => return self.fail(),
                Ok(count) => {
                    (self.sent, self.pause, self.worked) = (self.sent + count, PAUSES.0, true);
                    if self.sent == length {
                        self.drop_first();
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Not connected yet, or the receiver is slow.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return;
                }
                Err(_) => return self.fail(),
            }
        }
    }

    fn drop_first(&mut self) {
        self.size -= self.waiting.pop_front().map_or(0, |frame| frame.len());
        self.sent = 0;
    }

    /// Begins a connection, if it is time to.
    fn connect(&mut self, address: SocketAddr) -> bool {
        if self.next_attempt.is_some_and(|due| Instant::now() < due) {
            return false;
        }
        self.connection = begin(address).ok();
        if self.connection.is_none() {
            self.fail();
        }
        self.connection.is_some()
    }

    /// The connection is of no use. A message that was sent in part is lost; the others wait for the next connection.
    fn fail(&mut self) {
        (self.connection, self.worked) = (None, false);
        if self.sent > 0 {
            self.drop_first();
            super::lose_line();
        }
        self.next_attempt = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSES.1);
    }
}

/// Whether the receiver has closed its end; it has nothing to say otherwise.
fn is_closed(connection: &Socket) -> bool {
    match connection.peek(&mut [MaybeUninit::uninit()]) {
        Ok(count) => count == 0,
        Err(error) => {
            !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected | ErrorKind::Interrupted)
        }
    }
}

fn begin(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        // EINPROGRESS
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}
