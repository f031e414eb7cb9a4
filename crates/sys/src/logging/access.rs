//! The access log: standard output or a file, beside the server's own log and written like it, without blocking and without
//! failing the caller.
//!
//! The master opens it, and gives molds and workers a descriptor, as they may not be allowed to open it. Lines are gathered
//! and written many at once. What cannot be written waits if the reader may be slow, up to [`FULL`]; then lines are
//! dropped and counted. That is logged when it begins and when it ends.
//!
//! Several workers write to the same pipe or terminal: there, lines are to be no longer than [`longest_line`], so that the
//! kernel takes each as one piece.

use super::{sink::Sink, target::Target};
use nix::errno::Errno;
use std::{
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    thread::{self, ThreadId},
};

static ACCESS: Sink = Sink::new();
/// What takes lines instead, and on which thread alone.
static TAKER: OnceLock<(Taker, ThreadId)> = OnceLock::new();
type Taker = fn(&[u8]);
static BUFFER: Mutex<Buffer> = Mutex::new(Buffer::new());

/// The destination that stands for standard output.
pub const STANDARD_OUTPUT: &str = "-";
/// With so many bytes, lines are written at once; what a reader did not take then is tried again after as many more.
const MANY: usize = 32 * 1024;
/// Of so many lines that are dropped, one finds out whether the reader reads again.
const TRIED: u64 = 32;
/// With so many bytes that nothing takes, further lines are dropped.
const FULL: usize = 1024 * 1024;

/// Opens a file, or standard output.
///
/// # Errors
/// The kernel's.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    if path == Path::new(STANDARD_OUTPUT) {
        return Target::standard_output();
    }
    // At the file size limit lines are lost; the process must not be terminated.
    crate::signal::ignore(libc::SIGXFSZ);
    Target::open(path).map(Target::into_lines)
}

/// Writes lines to this descriptor from now on.
///
/// # Errors
/// The kernel's.
pub fn write_to(lines: OwnedFd) -> io::Result<()> {
    // What was gathered belongs to the log as it was.
    flush();
    ACCESS.set(lines)
}

/// As [`write_to`], from the descriptors of a message.
pub fn write_to_descriptors(descriptors: Vec<OwnedFd>) {
    if let Some(lines) = descriptors.into_iter().next()
        && let Err(error) = write_to(lines)
    {
        tracing::warn!(%error, "the access log could not be reopened");
    }
}

/// Hands lines to this function from now on, on this thread alone, instead of writing them. It may take as long as it
/// likes, and may add lines itself.
pub fn give_to(take: Taker) {
    if TAKER.set((take, thread::current().id())).is_ok() {
        buffer().write_at = usize::MAX;
    }
}

/// Hands lines over, if something takes them. Whether something does.
fn give() -> bool {
    let Some((take, thread)) = TAKER.get() else { return false };
    if *thread == thread::current().id() {
        // Not while the buffer is locked.
        let lines = std::mem::take(&mut buffer().lines);
        if !lines.is_empty() {
            take(&lines);
        }
    }
    true
}

/// The descriptor, for another process; `None` if there is no access log.
#[must_use]
pub fn descriptor() -> Option<OwnedFd> {
    ACCESS.copy()
}

/// How long a line may be, in bytes.
#[inline]
#[must_use]
pub fn longest_line() -> usize {
    ACCESS.longest_line()
}

/// Adds a line, with its line feed. Whether it is the first that waits: the caller sees to it that [`flush`] is called soon.
pub fn add(render: impl FnOnce(&mut Vec<u8>)) -> bool {
    let mut buffer = buffer();
    let first = buffer.lines.is_empty();
    buffer.add(render);
    first && !buffer.lines.is_empty()
}

/// Writes what was gathered, from any thread. Whether something still waits.
pub fn flush() -> bool {
    if give() {
        return false;
    }
    let mut buffer = buffer();
    buffer.write();
    !buffer.lines.is_empty()
}

/// Writes what was gathered, and each further line at once: the process ends soon. What cannot be written now is lost.
pub fn end() {
    if give() {
        return;
    }
    let mut buffer = buffer();
    buffer.at_once = true;
    buffer.write();
    buffer.give_up();
    buffer.report_lost();
}

fn buffer() -> MutexGuard<'static, Buffer> {
    BUFFER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines that wait to be written.
struct Buffer {
    lines: Vec<u8>,
    /// With so many bytes they are written, before it is time to.
    write_at: usize,
    /// How many lines were dropped since that was last logged.
    lost: u64,
    /// It was logged that lines are dropped.
    told: bool,
    /// Every line is written at once.
    at_once: bool,
}

impl Buffer {
    const fn new() -> Self {
        Self { lines: Vec::new(), write_at: MANY, lost: 0, told: false, at_once: false }
    }

    #[inline]
    fn add(&mut self, render: impl FnOnce(&mut Vec<u8>)) {
        if self.lines.len() < FULL || self.made_room() {
            render(&mut self.lines);
            if self.lines.len() >= self.write_at || self.at_once {
                self.write();
            }
        }
    }

    /// Whether there is room for a line again; otherwise it is dropped.
    #[cold]
    fn made_room(&mut self) -> bool {
        if self.lost.is_multiple_of(TRIED) && TAKER.get().is_none() {
            self.write();
        }
        let has_room = self.lines.len() < FULL;
        if !has_room {
            self.lost += 1;
            super::dropped(1);
            self.tell(&Errno::EAGAIN.into());
        }
        has_room
    }

    fn write(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        match ACCESS.write_lines(&self.lines) {
            (_, None) => {
                self.clear();
                self.report_lost();
            }
            (taken, Some(Errno::EAGAIN)) => {
                self.lines.drain(..taken);
                self.write_at = self.lines.len() + MANY;
            }
            (taken, Some(error)) => {
                if taken > 0 && self.lines[taken - 1] != b'\n' {
                    ACCESS.was_cut();
                }
                self.lines.drain(..taken);
                self.lost += self.count();
                super::dropped(self.count());
                self.clear();
                self.tell(&error.into());
            }
        }
    }

    /// How many lines wait.
    fn count(&self) -> u64 {
        self.lines.iter().filter(|byte| **byte == b'\n').count() as u64
    }

    /// Drops what waits.
    fn give_up(&mut self) {
        self.lost += self.count();
        super::dropped(self.count());
        self.clear();
    }

    fn clear(&mut self) {
        match self.lines.capacity() > 2 * MANY {
            true => self.lines = Vec::new(),
            false => self.lines.clear(),
        }
        self.write_at = MANY;
    }

    #[cold]
    fn tell(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(%error, "the access log cannot be written: lines are dropped");
        }
    }

    fn report_lost(&mut self) {
        self.told = false;
        let lines = std::mem::take(&mut self.lost);
        if lines > 0 {
            tracing::warn!(lines, "access log lines were lost: the access log could not be written");
        }
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
