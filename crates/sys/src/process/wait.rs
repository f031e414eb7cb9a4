//! Waiting for children, and signalling them.

use nix::unistd::Pid;
use std::{fmt, io};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitStatus {
    /// It left with this code.
    Exited(i32),
    /// A signal ended it.
    Signaled {
        /// The signal's number.
        signal: i32,
        /// Whether it left a core file.
        core: bool,
    },
}

impl fmt::Display for WaitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Signaled { signal, core } => {
                match nix::sys::signal::Signal::try_from(signal) {
                    Ok(known) => write!(f, "killed by {known}")?,
                    // The real-time ones have no names.
                    Err(_) => write!(f, "killed by signal {signal}")?,
                }
                f.write_str(if core { " (core dumped)" } else { "" })
            }
        }
    }
}

impl WaitStatus {
    /// From waitpid(2)'s word; `None` of a process that did not end.
    fn of(word: i32) -> Option<Self> {
        if libc::WIFEXITED(word) {
            return Some(Self::Exited(libc::WEXITSTATUS(word)));
        }
        let ended = libc::WIFSIGNALED(word);
        ended.then(|| Self::Signaled { signal: libc::WTERMSIG(word), core: libc::WCOREDUMP(word) })
    }
}

/// Takes one ended child, whoever it was; `None` if no child has ended.
///
/// # Errors
/// The kernel's, but for "no children", which is `None`.
pub fn wait_any() -> io::Result<Option<(i32, WaitStatus)>> {
    wait(-1, libc::WNOHANG)
}

/// Waits for the end of a child; `None` if there is none of this number.
///
/// # Errors
/// The kernel's.
pub fn wait_for(pid: i32) -> io::Result<Option<WaitStatus>> {
    Ok(wait(pid, 0)?.map(|(_, status)| status))
}

/// Not nix's `waitpid`: it takes the status of a process that a real-time signal ended, and fails then.
fn wait(pid: i32, flags: i32) -> io::Result<Option<(i32, WaitStatus)>> {
    loop {
        let mut word = 0;
        // SAFETY: waitpid(2) with integers and a live place for the status.
        let ended = unsafe { libc::waitpid(pid, &raw mut word, flags) };
        if ended > 0 {
            match WaitStatus::of(word) {
                Some(status) => return Ok(Some((ended, status))),
                // Stops and continuations are not asked for.
                None => continue,
            }
        }
        if ended == 0 {
            return Ok(None);
        }
        match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
            error if error.kind() == io::ErrorKind::Interrupted => {}
            error => return Err(error),
        }
    }
}

/// Sends a signal; a process that is gone already is no error.
///
/// # Errors
/// The kernel's: not permitted.
pub fn signal(pid: i32, signal: i32) -> io::Result<()> {
    let signal = nix::sys::signal::Signal::try_from(signal)?;
    match nix::sys::signal::kill(Pid::from_raw(pid), signal) {
        Err(nix::Error::ESRCH) => Ok(()),
        sent => Ok(sent?),
    }
}

/// Sends a signal by its number, also a real-time one; a process that is gone already is no error.
///
/// # Errors
/// The kernel's: not permitted.
pub fn signal_raw(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill(2) with integers.
    if unsafe { libc::kill(pid, signal) } == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        error => Err(error),
    }
}
