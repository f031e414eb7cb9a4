//! A program that is connected.

use crate::{Answer, Ask, Frame, FrameError, Refused, decode, encode};
use nix::poll::PollFlags;
use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

/// How much is read in a turn, so that no client holds the others up. A message may be longer.
const READ: usize = 256 * 1024;
/// How much room a connection keeps that rests.
const KEPT: usize = 16 * 1024;
/// Who has so much to read is not asked for more.
const UNREAD: usize = 1 << 20;
/// Who leaves so much unread is cut off.
const MOST_UNREAD: usize = 256 << 20;

pub(super) struct Connection {
    socket: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// How much of `output` the kernel has.
    written: usize,
    fault: Option<String>,
}

impl Connection {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, input: Vec::new(), output: Vec::new(), written: 0, fault: None })
    }

    /// What is wrong with its client, if it is cut off.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    fn unread(&self) -> usize {
        self.output.len() - self.written
    }

    pub(super) fn interest(&self) -> PollFlags {
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::POLLIN, self.unread() < UNREAD);
        interest.set(PollFlags::POLLOUT, self.unread() > 0);
        interest
    }

    /// Reads whole messages, by way of this buffer; false at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8], mut each: impl FnMut(Frame<Ask>)) -> bool {
        let mut budget = READ;
        let is_open = loop {
            if self.unread() >= UNREAD || budget == 0 {
                break true;
            }
            match self.socket.read(buffer) {
                Ok(0) => break false,
                Ok(got) => {
                    self.input.extend_from_slice(&buffer[..got]);
                    budget = budget.saturating_sub(got);
                    // Fewer than there was room for: nothing more is there, most likely.
                    if got < buffer.len() {
                        break true;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break false,
            }
        };
        // What was said before the end counts.
        match self.take_messages(&mut each) {
            Ok(()) => is_open,
            Err(error) => {
                self.fault = Some(error.to_string());
                false
            }
        }
    }

    fn take_messages(&mut self, each: &mut impl FnMut(Frame<Ask>)) -> Result<(), FrameError> {
        let mut taken = 0;
        let outcome = loop {
            match decode::<Ask>(&self.input[taken..]) {
                Ok(Some((frame, length))) => {
                    taken += length;
                    each(frame);
                }
                Ok(None) => break Ok(()),
                Err(FrameError::Malformed { source, length, n }) => {
                    taken += length;
                    self.refuse(n, &source);
                }
                Err(error) => break Err(error),
            }
        };
        self.input.drain(..taken);
        if self.input.is_empty() {
            self.input.shrink_to(KEPT);
        }
        outcome
    }

    /// The others of its messages are read.
    fn refuse(&mut self, n: Option<u64>, error: &serde_json::Error) {
        let text = format!("what was asked cannot be read: {error}");
        self.push(&Frame { message: Answer::Refused { n, why: Refused::Malformed, text }, body: Vec::new() });
    }

    pub(super) fn push(&mut self, frame: &Frame<Answer>) {
        if let Err(error) = encode(&frame.message, &frame.body, &mut self.output) {
            self.fault = Some(error.to_string());
        }
    }

    /// Writes what the kernel takes; false if the client is to be cut off.
    pub(super) fn write(&mut self) -> bool {
        while self.unread() > 0 {
            match self.socket.write(&self.output[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        if self.unread() == 0 {
            self.output.clear();
            self.output.shrink_to(KEPT);
            self.written = 0;
        }
        if self.unread() > MOST_UNREAD {
            self.fault = Some("its client does not read what it asked for".into());
        }
        self.fault.is_none()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
