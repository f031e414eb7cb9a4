//! The log of a server, line by line as it comes.

use crate::LIMIT;
use std::{
    io::BufRead,
    sync::{Condvar, Mutex},
};

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
    /// Reads it to its end.
    pub(crate) fn read(&self, stderr: impl BufRead) {
        for line in stderr.split(b'\n').map_while(Result::ok) {
            self.change(|state| state.lines.push(String::from_utf8_lossy(&line).into_owned()));
        }
        self.change(|state| state.ended = true);
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
