//! Keys, read from the terminal. crossterm's own reader reads the end of a terminal that hung up again and again, and never returns.

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::read,
};
use std::{
    fs::File,
    io::{self, IsTerminal},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

/// What a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Sort,
    Pause,
    Up,
    Down,
}

const ESCAPE: u8 = 0x1b;
const CONTROL_C: u8 = 3;

/// The terminal's input.
pub(super) struct Keys(OwnedFd);

impl Keys {
    /// Standard input, or the controlling terminal if that is something else.
    pub(super) fn open() -> io::Result<Self> {
        let input = io::stdin();
        match input.is_terminal() {
            true => input.as_fd().try_clone_to_owned().map(Self),
            false => File::open("/dev/tty").map(|terminal| Self(terminal.into())),
        }
    }

    /// Waits for keys, for so long at most; `None` once the terminal is gone.
    pub(super) fn wait(&self, limit: Duration) -> io::Result<Option<Vec<Key>>> {
        let mut asked = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO);
        match poll(&mut asked, timeout) {
            Ok(0) | Err(Errno::EINTR) => return Ok(Some(Vec::new())),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        if asked[0].revents().is_some_and(|found| found.intersects(gone)) {
            return Ok(None);
        }
        let mut bytes = [0; 64];
        match read(&self.0, &mut bytes) {
            Ok(0) | Err(Errno::EIO) => Ok(None),
            Ok(count) => Ok(Some(keys(&bytes[..count]))),
            Err(Errno::EINTR | Errno::EAGAIN) => Ok(Some(Vec::new())),
            Err(error) => Err(error.into()),
        }
    }
}

fn keys(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let Some((first, rest)) = bytes.split_first() {
        bytes = rest;
        keys.extend(match first {
            b'q' | &CONTROL_C => Some(Key::Quit),
            b's' => Some(Key::Sort),
            b'p' => Some(Key::Pause),
            b'j' => Some(Key::Down),
            b'k' => Some(Key::Up),
            &ESCAPE => escaped(&mut bytes),
            _ => None,
        });
    }
    keys
}

/// A key that sends several bytes: `ESC [ A`, or `ESC O A` (ECMA-48, xterm). Nothing follows the key Escape itself.
fn escaped(bytes: &mut &[u8]) -> Option<Key> {
    let Some((b'[' | b'O', rest)) = bytes.split_first() else {
        let alone = bytes.is_empty();
        *bytes = bytes.get(1..).unwrap_or_default();
        return alone.then_some(Key::Quit);
    };
    let end = rest.iter().position(|byte| (b'@'..=b'~').contains(byte));
    *bytes = end.map_or(&[], |end| &rest[end + 1..]);
    match end.map(|end| rest[end])? {
        b'A' => Some(Key::Up),
        b'B' => Some(Key::Down),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Key::*, keys};

    #[test]
    fn keys_are_told_apart() {
        assert_eq!(keys(b"sp"), [Sort, Pause]);
        assert_eq!(keys(b"\x1b[A\x1b[Bkj\x1bOA\x1bOB"), [Up, Down, Up, Down, Up, Down]);
        assert_eq!(keys(b"\x03"), [Quit]);
        assert_eq!(keys(b"\x1b"), [Quit]);
        // Delete, Alt-q, a mouse, the beginning of a sequence, what is no key.
        for nothing in [&b"\x1b[3~"[..], b"\x1bq", b"\x1b[<0;1;1M", b"\x1b[", b"\x1b[1;5", b"xyz\xff\0"] {
            assert_eq!(keys(nothing), [], "{nothing:?}");
        }
    }
}
