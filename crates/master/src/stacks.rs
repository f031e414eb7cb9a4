//! What workers write about themselves when they are stuck or crash.

use hostler_sys::{
    process::{self, WaitStatus},
    signal, stacks,
};
use std::{fs::File, io};

/// Has a worker write its stacks, for [`read`] to find, unless it did so by itself in this turn of its loop. Only one
/// that is about to be killed is asked: the signal ends system calls of the application's C code.
pub(crate) fn ask(pid: i32, turn: u64, file: &File) -> io::Result<()> {
    if stacks::of_turn(&stacks::read(file)).0 == Some(turn) {
        return Ok(());
    }
    stacks::clear(file)?;
    process::signal_raw(pid, signal::report())
}

/// What a worker wrote, and the line that holds it up.
pub(crate) fn read(file: &File) -> (Option<String>, String) {
    let written = stacks::read(file);
    match stacks::of_turn(&written).1.trim_end() {
        "" => (None, "(none could be obtained)".into()),
        text => (stacks::holdup(text), format!("\n{text}")),
    }
}

/// As [`read`], of a worker that ended in this way; nothing unless it crashed and wrote where.
pub(crate) fn of_crash(status: WaitStatus, file: &File) -> Option<(Option<String>, String)> {
    let WaitStatus::Signaled { signal, .. } = status else { return None };
    let written = stacks::read(file);
    // What it may have been asked for earlier stands before.
    let from = written.rfind("Fatal Python error")?;
    let text = written[from..].trim_end();
    signal::is_fault(signal).then(|| (stacks::holdup(text), format!("\n{text}")))
}
