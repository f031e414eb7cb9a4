//! What a companion prints, on its way to the log. Its pipes are emptied whatever becomes of the lines, so that it neither waits for
//! a reader of the log nor ends for want of one.

use crate::lines::Lines;
use hostler_sys::{logging, message};
use std::{
    io::{self, PipeReader, Read as _},
    os::fd::{AsFd, BorrowedFd},
};

/// How much of a pipe is read before others are looked at, in bytes.
const IN_A_TURN: usize = 256 * 1024;

/// One of its pipes.
pub(crate) struct Stream {
    /// Until it is closed by all who could write to it.
    pipe: Option<PipeReader>,
    name: &'static str,
    lines: Lines,
}

impl Stream {
    pub(crate) fn new(pipe: PipeReader, name: &'static str) -> io::Result<Self> {
        message::set_nonblocking(pipe.as_fd())?;
        Ok(Self { pipe: Some(pipe), name, lines: Lines::default() })
    }

    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Logs what has been written, but not for ever.
    pub(crate) fn read(&mut self, log: &Lineage<'_>) {
        let (mut block, mut left) = ([0; 16 * 1024], IN_A_TURN);
        while let Some(pipe) = self.pipe.as_mut().filter(|_| left > 0) {
            match pipe.read(&mut block) {
                Ok(0) => self.pipe = None,
                Ok(count) => {
                    left = left.saturating_sub(count);
                    self.lines.take(&block[..count], |line| log.write(self.name, line));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.pipe = None,
            }
        }
    }

    /// Logs the rest: nobody is left who could write more.
    pub(crate) fn finish(&mut self, log: &Lineage<'_>) {
        self.read(log);
        self.lines.finish(|line| log.write(self.name, line));
    }
}

/// Whose lines they are.
pub(crate) struct Lineage<'a> {
    pub(crate) name: &'a str,
    /// If it has several.
    pub(crate) replica: Option<u16>,
}

impl Lineage<'_> {
    fn write(&self, stream: &str, line: &str) {
        logging::write_output(self.name, self.replica, stream, line);
    }
}
