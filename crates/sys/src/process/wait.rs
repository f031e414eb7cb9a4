//! Waiting for children, and signalling them.

use nix::unistd::Pid;
use std::{
    fmt, io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitStatus {
    /// It exited with this code.
    Exited(i32),
    /// A signal terminated it.
    Signaled {
        /// The signal's number.
        signal: i32,
        /// Whether a core file was written.
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
    /// From the status of waitpid(2); `None` for a process that did not end.
    fn of(word: i32) -> Option<Self> {
        if libc::WIFEXITED(word) {
            return Some(Self::Exited(libc::WEXITSTATUS(word)));
        }
        let ended = libc::WIFSIGNALED(word);
        ended.then(|| Self::Signaled { signal: libc::WTERMSIG(word), core: libc::WCOREDUMP(word) })
    }
}

/// Reaps any child that has exited; `None` if there is none.
///
/// # Errors
/// The kernel's, but for "no children", which is `None`.
pub fn wait_any() -> io::Result<Option<(i32, WaitStatus)>> {
    wait(-1, libc::WNOHANG)
}

/// Waits for a child to exit, and reaps it; `None` if there is no such child.
///
/// # Errors
/// The kernel's.
pub fn wait_for(pid: i32) -> io::Result<Option<WaitStatus>> {
    Ok(wait(pid, 0)?.map(|(_, status)| status))
}

/// Not nix's `waitpid`, which reaps a process that a real-time signal terminated, and then fails.
fn wait(pid: i32, flags: i32) -> io::Result<Option<(i32, WaitStatus)>> {
    loop {
        let mut word = 0;
        // SAFETY: waitpid(2) with integers and a live place for the status.
        let ended = unsafe { libc::waitpid(pid, &raw mut word, flags) };
        if ended > 0 {
            match WaitStatus::of(word) {
                Some(status) => return Ok(Some((ended, status))),
                // Stops and continuations are not requested.
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

/// Sends a signal; it is no error if the process does not exist.
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

/// Sends a signal to all processes of a group; it is no error if there is none.
///
/// # Errors
/// The kernel's: not permitted for any of them.
pub fn signal_group(group: i32, signal: i32) -> io::Result<()> {
    let signal = nix::sys::signal::Signal::try_from(signal)?;
    match nix::sys::signal::killpg(Pid::from_raw(group), signal) {
        Err(nix::Error::ESRCH) => Ok(()),
        sent => Ok(sent?),
    }
}

/// Sends a signal by its number, also a real-time one; it is no error if the process does not exist.
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

/// A descriptor of a process, which is readable when that has exited.
///
/// # Errors
/// The kernel's (pidfd_open(2)).
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) with integers.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let number =
        RawFd::try_from(opened).ok().filter(|number| *number >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made it, and it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
