//! The log of a server, line by line as it comes.

use crate::LIMIT;
use std::{
    io::{ErrorKind, Read},
    sync::{Condvar, Mutex},
};

/// What Linux keeps in a pipe (pipe(7)), in bytes.
const PIPE_CAPACITY: usize = 64 * 1024;

#[derive(Default)]
pub(crate) struct Log {
    state: Mutex<State>,
    grew: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    /// No process has it open any more.
    ended: bool,
}

impl Log {
    /// Reads it to its end. The lines of an event, which a server writes at once, come at once.
    pub(crate) fn read(&self, mut stderr: impl Read) {
        let mut read = vec![0; PIPE_CAPACITY];
        let mut unfinished = Vec::new();
        loop {
            let count = match stderr.read(&mut read) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => panic!("the server's log cannot be read: {error}"),
            };
            unfinished.extend_from_slice(&read[..count]);
            let whole = unfinished.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let lines: Vec<u8> = unfinished.drain(..whole).collect();
            self.change(|state| {
                state.lines.extend(String::from_utf8_lossy(&lines).lines().map(str::to_owned))
            });
        }
        self.change(|state| {
            state.lines.extend(String::from_utf8_lossy(&unfinished).lines().map(str::to_owned));
            state.ended = true;
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().expect("no reader panics"));
        self.grew.notify_all();
    }

    /// What `look` makes of the lines so far.
    pub(crate) fn lines<T>(&self, look: impl FnOnce(&[String]) -> T) -> T {
        look(&self.state.lock().expect("no reader panics").lines)
    }

    /// Waits for `count` lines with `text`, or the log's end; whether they have come.
    pub(crate) fn wait(&self, text: &str, count: usize) -> bool {
        self.wait_for(|lines| lines.iter().filter(|line| line.contains(text)).count() >= count)
    }

    /// Waits until no process has it open any more.
    pub(crate) fn wait_end(&self) {
        self.wait_for(|_| false);
    }

    fn wait_for(&self, done: impl Fn(&[String]) -> bool) -> bool {
        let state = self.state.lock().expect("no reader panics");
        let waiting = |state: &mut State| !done(&state.lines) && !state.ended;
        let (state, _) = self.grew.wait_timeout_while(state, LIMIT, waiting).expect("no reader panics");
        done(&state.lines)
    }
}
