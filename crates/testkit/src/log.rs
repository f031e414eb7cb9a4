//! The log of a server, line by line as it comes.

use crate::LIMIT;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    fs::File,
    io::{ErrorKind, Read},
    os::fd::{AsFd, OwnedFd},
    process::ChildStderr,
    sync::{Condvar, Mutex, MutexGuard},
    time::Duration,
};

/// How long the last line of a start is waited for where the level may not show it.
const LAST_LINE_LIMIT: Duration = Duration::from_secs(1);
/// What Linux keeps in a pipe (pipe(7)), in bytes.
const PIPE_CAPACITY: usize = 64 * 1024;

pub(crate) struct Log {
    stderr: File,
    state: Mutex<State>,
    grew: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    /// What has come of a line whose end has not.
    unfinished: Vec<u8>,
    /// No process has it open any more.
    ended: bool,
}

impl Log {
    pub(crate) fn new(stderr: ChildStderr) -> Self {
        Self { stderr: OwnedFd::from(stderr).into(), state: Mutex::default(), grew: Condvar::new() }
    }

    /// Reads it to its end.
    pub(crate) fn read(&self) {
        while !self.state().ended {
            self.is_readable(PollTimeout::NONE);
        }
    }

    /// What has come. A server writes before it answers, so that what it wrote of a request is there with the answer,
    /// whenever the thread that reads has its turn.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().expect("no reader panics");
        while !state.ended && self.is_readable(PollTimeout::ZERO) {
            self.take_in(&mut state);
        }
        state
    }

    fn is_readable(&self, timeout: PollTimeout) -> bool {
        poll(&mut [PollFd::new(self.stderr.as_fd(), PollFlags::POLLIN)], timeout).is_ok_and(|ready| ready > 0)
    }

    /// Reads what is there. The lines of an event, which a server writes at once, come at once.
    fn take_in(&self, state: &mut State) {
        let mut read = [0; PIPE_CAPACITY];
        match (&self.stderr).read(&mut read) {
            Ok(0) => state.ended = true,
            Ok(count) => state.unfinished.extend_from_slice(&read[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("the server's log cannot be read: {error}"),
        }
        let whole = match state.unfinished.iter().rposition(|byte| *byte == b'\n') {
            _ if state.ended => state.unfinished.len(),
            last => last.map_or(0, |end| end + 1),
        };
        let lines: Vec<u8> = state.unfinished.drain(..whole).collect();
        state.lines.extend(String::from_utf8_lossy(&lines).lines().map(str::to_owned));
        self.grew.notify_all();
    }

    /// What `look` makes of the lines so far.
    pub(crate) fn lines<T>(&self, look: impl FnOnce(&[String]) -> T) -> T {
        look(&self.state().lines)
    }

    /// Waits for `count` lines with `text`, or the log's end; whether they have come.
    pub(crate) fn wait(&self, text: &str, count: usize) -> bool {
        self.wait_for(LIMIT, |lines| lines.iter().filter(|line| line.contains(text)).count() >= count)
    }

    /// Waits until so many workers are ready, or all serve; whether they do.
    pub(crate) fn wait_ready(&self, workers: usize) -> bool {
        let serves = |lines: &[String]| {
            lines
                .iter()
                .any(|line| line.contains(" serving url=") || line.contains("\"message\":\"serving\""))
        };
        let is_ready = self.wait_for(LIMIT, |lines| {
            let ready = lines.iter().filter(|line| line.contains("worker ready")).count();
            ready >= workers || serves(lines)
        });
        // What the master says last would cut through the first line of an application. Not every level shows it.
        if is_ready {
            self.wait_for(LAST_LINE_LIMIT, serves);
        }
        is_ready
    }

    /// Waits until no process has it open any more.
    pub(crate) fn wait_end(&self) {
        self.wait_for(LIMIT, |_| false);
    }

    fn wait_for(&self, limit: Duration, done: impl Fn(&[String]) -> bool) -> bool {
        let state = self.state();
        let waiting = |state: &mut State| !done(&state.lines) && !state.ended;
        let (state, _) = self.grew.wait_timeout_while(state, limit, waiting).expect("no reader panics");
        done(&state.lines)
    }
}
