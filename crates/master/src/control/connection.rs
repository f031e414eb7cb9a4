//! One client of the control socket.

use hostler_sys::control::Peer;
use hostler_wire::control::{CONTROL_VERSION, ControlReply, MAX_CONTROL_REQUEST, Refusal, Reply};
use nix::{
    errno::Errno,
    poll::PollFlags,
    sys::socket::{MsgFlags, recv, send},
};
use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

/// How long a client may take to send a request that it began, and to read a reply.
const SLOW: Duration = Duration::from_secs(10);
/// How long a client may ask for nothing.
const IDLE: Duration = Duration::from_secs(60);
/// The longest reply, in bytes.
const MAX_REPLY: usize = 4 << 20;

/// A client.
pub(super) struct Connection {
    socket: OwnedFd,
    pub(super) peer: Peer,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Its request is being carried out.
    pub(super) is_served: bool,
    /// The client sends nothing more.
    has_finished: bool,
    /// It is closed once all was sent.
    ends: bool,
    /// Nobody reads there.
    is_gone: bool,
    moved_at: Instant,
}

impl Connection {
    pub(super) fn new(socket: OwnedFd, peer: Peer) -> Self {
        Self {
            socket,
            peer,
            input: Vec::new(),
            output: Vec::new(),
            is_served: false,
            has_finished: false,
            ends: false,
            is_gone: false,
            moved_at: Instant::now(),
        }
    }

    /// What to wait for. That the client is gone is reported in any case (poll(2), `POLLHUP`).
    pub(super) fn interest(&self) -> PollFlags {
        // What is to be answered first stays in the kernel's buffer.
        match (self.output.is_empty(), self.is_served || self.has_finished || self.has_line()) {
            (false, _) => PollFlags::POLLOUT,
            (true, true) => PollFlags::empty(),
            (true, false) => PollFlags::POLLIN,
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// When it is closed if nothing moves.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match (self.output.is_empty(), self.is_served) {
            (true, true) => None,
            (true, false) if self.input.is_empty() => Some(self.moved_at + IDLE),
            _ => Some(self.moved_at + SLOW),
        }
    }

    /// Whether it may be closed in favour of another client.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (!self.is_served).then_some(self.moved_at)
    }

    /// Whether it is to be closed.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let said =
            self.output.is_empty() && !self.is_served && (self.ends || self.has_finished && !self.has_line());
        self.is_gone || said || self.deadline().is_some_and(|due| now >= due)
    }

    /// Does what the kernel says can be done.
    pub(super) fn act(&mut self, ready: PollFlags) {
        if ready.contains(PollFlags::POLLOUT) {
            self.flush();
        }
        if ready.contains(PollFlags::POLLIN) {
            return self.read();
        }
        // What it had sent was read before.
        if ready.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL) {
            self.is_gone = true;
        }
    }

    fn read(&mut self) {
        let mut block = [0; MAX_CONTROL_REQUEST];
        match recv(self.socket.as_raw_fd(), &mut block, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => self.has_finished = true,
            Ok(count) => {
                if self.input.is_empty() {
                    self.moved_at = Instant::now();
                }
                self.input.extend_from_slice(&block[..count]);
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.is_gone = true,
        }
    }

    fn has_line(&self) -> bool {
        self.input.contains(&b'\n')
    }

    /// The next request, if there is one and its turn has come.
    pub(super) fn next_line(&mut self) -> Option<Vec<u8>> {
        if self.is_served || self.ends || !self.output.is_empty() {
            return None;
        }
        let Some(end) = self.input.iter().position(|byte| *byte == b'\n') else {
            if self.input.len() >= MAX_CONTROL_REQUEST {
                self.input.clear();
                self.ends = true;
                let cause = format!("a line has {MAX_CONTROL_REQUEST} bytes at most");
                self.send(&Reply::Failed(Refusal::invalid("the request is too long").because(cause)));
            }
            return None;
        };
        let rest = self.input.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.input, rest);
        line.truncate(end);
        self.moved_at = Instant::now();
        self.is_served = true;
        Some(line)
    }

    /// Whether a request waits here and not in the kernel, which says nothing of it.
    pub(super) fn has_request(&self) -> bool {
        !self.is_served && !self.ends && self.output.is_empty() && self.has_line()
    }

    /// Sends a reply, now or when there is room.
    pub(super) fn send(&mut self, reply: &Reply) {
        if !matches!(reply, Reply::Begun { .. }) {
            self.is_served = false;
        }
        let line = |reply: Reply| serde_json::to_vec(&ControlReply { version: CONTROL_VERSION, reply });
        let mut text = line(reply.clone()).unwrap_or_default();
        if text.len() > MAX_REPLY {
            text = line(Reply::Failed(Refusal::failed("the reply is too long"))).unwrap_or_default();
        }
        if self.output.is_empty() {
            self.moved_at = Instant::now();
        }
        self.output.extend_from_slice(&text);
        self.output.push(b'\n');
        self.flush();
    }

    /// As [`Connection::send`], for the last time.
    pub(super) fn send_last(&mut self, reply: &Reply) {
        self.ends = true;
        self.send(reply);
    }

    fn flush(&mut self) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        while !self.output.is_empty() && !self.is_gone {
            match send(self.socket.as_raw_fd(), &self.output, flags) {
                Ok(count) => {
                    self.output.drain(..count);
                    self.moved_at = Instant::now();
                }
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => {}
                Err(_) => self.is_gone = true,
            }
        }
        // Long replies are rare.
        self.output.shrink_to(MAX_CONTROL_REQUEST);
    }
}
