//! Where log lines go: writing never blocks, and never fails the caller.
//!
//! A line is written at once, or dropped and counted: a pipe without a reader, a stopped terminal or a full disk delay
//! neither a stop nor a worker. Threads share a sink without a lock, which a fork of the application could leave locked
//! in the child. A line that was cut is ended by a line feed before the next one.
//!
//! Not here: what a line looks like ([`super`]), opening a log ([`super::target`]), and writing without blocking
//! ([`super::write`]).

use super::{
    target::kind,
    write::{Background, PIPE_BUF, WAYS, Way, piece, room_in_pipe, shared_way, way},
};
use nix::{
    errno::Errno,
    sys::stat::{SFlag, fstat},
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd},
    sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

const STANDARD_ERROR: i32 = 2;

/// Where the lines of this process go.
#[derive(Debug)]
pub(super) struct Sink {
    /// −1 until there is one. The number stays the same when the log is reopened.
    descriptor: AtomicI32,
    way: AtomicU8,
    /// Which file it is: an application that closes all descriptors makes the number free for a connection.
    device: AtomicU64,
    inode: AtomicU64,
    /// How long a line may be that is written as one piece.
    longest_line: AtomicUsize,
    /// How many lines were dropped or cut since the count was last taken.
    lost: AtomicU64,
    /// The last line was cut.
    cut: AtomicBool,
}

impl Sink {
    pub(super) const fn new() -> Self {
        Self {
            descriptor: AtomicI32::new(-1),
            way: AtomicU8::new(Way::Plain as u8),
            device: AtomicU64::new(0),
            inode: AtomicU64::new(0),
            longest_line: AtomicUsize::new(usize::MAX),
            lost: AtomicU64::new(0),
            cut: AtomicBool::new(false),
        }
    }

    /// Writes to this descriptor from now on.
    pub(super) fn set(&self, lines: OwnedFd) -> io::Result<()> {
        let (way, found, longest) = (way(lines.as_fd())?, fstat(&lines)?, at_once(lines.as_fd()));
        match self.descriptor.load(Relaxed) {
            -1 => self.descriptor.store(lines.into_raw_fd(), Relaxed),
            // SAFETY: dup3(2) with integers; the number is this sink's, unless other code of the process closed it.
            number => check(unsafe { libc::dup3(lines.as_raw_fd(), number, libc::O_CLOEXEC) })?,
        }
        self.way.store(way as u8, Relaxed);
        self.device.store(found.st_dev, Relaxed);
        self.inode.store(found.st_ino, Relaxed);
        self.longest_line.store(longest, Relaxed);
        Ok(())
    }

    /// A copy of the descriptor, if it is still there.
    pub(super) fn copy(&self) -> Option<OwnedFd> {
        let number = self.number().filter(|number| *number != STANDARD_ERROR)?;
        // SAFETY: fcntl(2) with integers.
        let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
        // SAFETY: it is new and has no other owner.
        (copy >= 0).then(|| unsafe { OwnedFd::from_raw_fd(copy) })
    }

    /// The descriptor, or standard error if that is the same log and the descriptor was closed.
    fn number(&self) -> Option<i32> {
        let is_ours = |number: &i32| {
            // SAFETY: only fstat is called on it, which is harmless on any descriptor, and on none.
            let found = fstat(unsafe { BorrowedFd::borrow_raw(*number) });
            found.is_ok_and(|found| {
                (found.st_dev, found.st_ino) == (self.device.load(Relaxed), self.inode.load(Relaxed))
            })
        };
        [self.descriptor.load(Relaxed), STANDARD_ERROR].into_iter().filter(|it| *it >= 0).find(is_ours)
    }

    /// Whether lines are read on a terminal.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(WAYS[usize::from(self.way.load(Relaxed))], Way::Terminal | Way::SharedTerminal)
    }

    /// Writes a line, or drops and counts it.
    pub(super) fn write(&self, line: &[u8]) {
        let with_line_feed;
        let text = if self.cut.load(Relaxed) {
            with_line_feed = [b"\n", line].concat();
            &with_line_feed[..]
        } else {
            line
        };
        let number = self.number().filter(|number| self.has_room(*number, text.len()));
        let written = number.map_or(0, |number| self.write_to(number, text).0);
        if written > 0 {
            self.cut.store(written < text.len(), Relaxed);
        }
        if written < text.len() {
            self.lose();
        }
    }

    /// Whether a long line is likely to be taken whole. Half of one would be the beginning of the next line of another process;
    /// what a pipe can never take whole is cut.
    fn has_room(&self, number: i32, length: usize) -> bool {
        if length <= self.longest_line() {
            return true;
        }
        // SAFETY: it was open a moment ago; if it is closed now, this fails.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        room_in_pipe(descriptor).is_none_or(|(size, room)| length > size || length <= room)
    }

    /// Counts a line that is lost.
    pub(super) fn lose(&self) {
        self.lost.fetch_add(1, Relaxed);
        super::dropped(1);
    }

    /// How long a line may be, in bytes, so that no other process writes into it.
    #[inline]
    pub(super) fn longest_line(&self) -> usize {
        self.longest_line.load(Relaxed)
    }

    /// Takes the count of lines that were dropped.
    pub(super) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Relaxed)
    }

    pub(super) fn has_lost(&self) -> bool {
        self.lost.load(Relaxed) > 0
    }

    /// Puts a count back that could not be logged.
    pub(super) fn put_lost(&self, lines: u64) {
        self.lost.store(lines, Relaxed);
    }

    /// Writes whole lines, as many as are taken; how many bytes that was, and why it was not all of them.
    ///
    /// Several processes may write to the same pipe or socket: each call takes whole lines, and no more than a pipe
    /// takes as one piece.
    pub(super) fn write_lines(&self, lines: &[u8]) -> (usize, Option<Errno>) {
        let Some(number) = self.number() else { return (0, Some(Errno::EBADF)) };
        if self.cut.load(Relaxed) {
            match self.write_to(number, b"\n") {
                (1.., _) => self.cut.store(false, Relaxed),
                (_, error) => return (0, error),
            }
        }
        let mut taken = 0;
        while taken < lines.len() {
            let part = whole_lines(&lines[taken..], self.longest_line());
            let (written, error) = self.write_to(number, part);
            taken += written;
            if written < part.len() {
                return (taken, error.or(Some(Errno::EAGAIN)));
            }
        }
        (taken, None)
    }

    /// The last line was left unfinished: the next one begins on a line of its own.
    pub(super) fn was_cut(&self) {
        self.cut.store(true, Relaxed);
    }

    /// Writes as much as possible; how many bytes that was, and why it was not all.
    fn write_to(&self, number: i32, text: &[u8]) -> (usize, Option<Errno>) {
        // SAFETY: it was open a moment ago; if it is closed now, writing fails.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let way = match WAYS[usize::from(self.way.load(Relaxed))] {
            // Standard error is not the descriptor that was opened for this.
            Way::Plain | Way::Terminal if number == STANDARD_ERROR => shared_way(descriptor),
            way => way,
        };
        let _background = matches!(way, Way::Terminal | Way::SharedTerminal).then(Background::allow);
        let mut written = 0;
        while written < text.len() {
            match piece(descriptor, way, &text[written..]) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(Errno::EINTR) => {}
                Err(error) => return (written, Some(error)),
            }
        }
        (written, None)
    }
}

/// How many bytes are written as one piece, or not at all.
fn at_once(descriptor: BorrowedFd<'_>) -> usize {
    match kind(descriptor) {
        Ok(SFlag::S_IFREG) => usize::MAX,
        _ => PIPE_BUF,
    }
}

/// The lines at the beginning that are not longer than this together, or the first line.
fn whole_lines(lines: &[u8], at_most: usize) -> &[u8] {
    let fitting = &lines[..lines.len().min(at_most)];
    let end = fitting.iter().rposition(|byte| *byte == b'\n');
    let end = end.or_else(|| lines.iter().position(|byte| *byte == b'\n'));
    end.map_or(lines, |end| &lines[..=end])
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
