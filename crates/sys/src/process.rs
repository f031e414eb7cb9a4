//! Processes: forking, waiting, leaving.

use nix::unistd::{ForkResult, Pid};
use std::{
    fmt, io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

/// Which side of a fork this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The new process.
    Child,
    /// The old one, and the new one's id.
    Parent(i32),
}

/// Splits the process in two.
///
/// # Safety
/// The caller is the only thread. Otherwise a lock held by another thread (malloc's, a logger's) stays
/// locked in the child for ever (fork(2)).
///
/// # Errors
/// The kernel's: too many processes, no memory.
pub unsafe fn fork() -> io::Result<Fork> {
    debug_assert_eq!(thread_count().ok(), Some(1), "fork() while other threads are alive");
    // SAFETY: our caller vouches for a single thread, so the child may do whatever its parent could.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => Ok(Fork::Child),
        ForkResult::Parent { child } => Ok(Fork::Parent(child.as_raw())),
    }
}

/// Leaves at once: no destructors, no `atexit`, nothing of the parent's is flushed twice.
pub fn exit_now(code: u8) -> ! {
    // SAFETY: _exit(2) has no precondition and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Makes orphaned descendants children of this process (PR_SET_CHILD_SUBREAPER, prctl(2)).
///
/// # Errors
/// The kernel's, on systems without it.
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Has the kernel use small pages for this process and those that it forks (PR_SET_THP_DISABLE, prctl(2)): a
/// huge page that is shared is copied whole when one byte of it is written.
///
/// # Errors
/// The kernel's, on systems without huge pages.
pub fn use_small_pages() -> io::Result<()> {
    let (on, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: prctl(2) with integer arguments only.
    match unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, on, none, none, none) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The parent's process id.
#[must_use]
pub fn parent_id() -> i32 {
    nix::unistd::getppid().as_raw()
}

/// How many threads this process has.
///
/// # Errors
/// Those of reading `/proc/self/task`.
pub fn thread_count() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
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

/// Takes over a descriptor that the parent opened for this program.
///
/// # Errors
/// `NotFound` if it is not open; the kernel's.
pub fn take_descriptor(number: i32) -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::{FromRawFd, OwnedFd};
    // SAFETY: fcntl(2) with integers.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::ErrorKind::NotFound.into());
    }
    // SAFETY: it is open, as just seen, and the caller says that it is ours.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

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

/// Makes `descriptor` appear as `number` in the program that `command` starts.
pub fn pass_descriptor(command: &mut std::process::Command, descriptor: std::os::fd::OwnedFd, number: i32) {
    use std::os::{fd::AsRawFd, unix::process::CommandExt};
    let hook = move || {
        let from = descriptor.as_raw_fd();
        let result = if from == number {
            // SAFETY: fcntl(2) with integers; the copy made by dup2 below would not close on exec either.
            unsafe { libc::fcntl(from, libc::F_SETFD, 0) }
        } else {
            // SAFETY: dup2(2) with integers.
            unsafe { libc::dup2(from, number) }
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: the hook runs between fork and exec and makes one async-signal-safe call (signal-safety(7)).
    unsafe { command.pre_exec(hook) };
}

/// Has the program that `command` starts begin a session, without a terminal (setsid(2)).
pub fn own_session(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let hook = || Ok(nix::unistd::setsid().map(drop)?);
    // SAFETY: the hook runs between fork and exec and makes one async-signal-safe call (signal-safety(7)).
    unsafe { command.pre_exec(hook) };
}

/// Has the kernel kill the program that `command` starts when this process dies, even if it is stopped then
/// (PR_SET_PDEATHSIG, prctl(2)). The program may choose otherwise.
pub fn die_with_parent(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let parent = std::process::id().cast_signed();
    let hook = move || {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        // It died before the kernel was told.
        if parent_id() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: the hook runs between fork and exec and makes two async-signal-safe calls (signal-safety(7)).
    unsafe { command.pre_exec(hook) };
}

/// As much as is kept of what a program says.
const MOST_SAID: usize = 64 << 10;
/// How often to look whether a program has ended that says nothing.
const LOOK_FOR_END: Duration = Duration::from_millis(5);

/// Runs a program that says little, and waits for its end, but not for long; nor for the end of processes that it
/// leaves behind, which may have its pipes. What it says beyond some KiB is not kept.
///
/// # Errors
/// Those of starting it; `TimedOut` if it took longer, and was killed.
pub fn output_within(
    command: &mut std::process::Command,
    limit: Duration,
) -> io::Result<std::process::Output> {
    use std::process::Stdio;
    die_with_parent(command);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let limit = Instant::now() + limit;
    let (mut stdout, mut stderr) = (Said::new(child.stdout.take()), Said::new(child.stderr.take()));
    let ended = loop {
        let heard = stdout.hear().and_then(|()| stderr.hear());
        match heard.and_then(|()| child.try_wait()) {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if Instant::now() < limit => await_word(&stdout, &stderr),
            Ok(None) => break Err(io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time")),
            Err(error) => break Err(error),
        }
    };
    match ended {
        Ok(status) => {
            // What it said last.
            stdout.hear()?;
            stderr.hear()?;
            Ok(std::process::Output { status, stdout: stdout.text, stderr: stderr.text })
        }
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

/// What a program says on a pipe, until that ends.
struct Said<P> {
    pipe: Option<P>,
    text: Vec<u8>,
}

impl<P: io::Read + AsFd> Said<P> {
    fn new(pipe: Option<P>) -> Self {
        Self { pipe, text: Vec::new() }
    }

    /// Takes what there is, or a part of it if there is more and more.
    fn hear(&mut self) -> io::Result<()> {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        for _ in 0..64 {
            let Some(pipe) = &mut self.pipe else { return Ok(()) };
            match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) {
                Ok(0) | Err(nix::Error::EINTR) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            let mut block = [0; 4096];
            match pipe.read(&mut block)? {
                0 => self.pipe = None,
                count => {
                    let room = MOST_SAID.saturating_sub(self.text.len());
                    self.text.extend_from_slice(&block[..count.min(room)]);
                }
            }
        }
        Ok(())
    }
}

/// Waits until one of two pipes has something, but not for long: the end of a process is no event here.
fn await_word<P: AsFd, Q: AsFd>(one: &Said<P>, other: &Said<Q>) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let descriptors = one.pipe.iter().map(AsFd::as_fd).chain(other.pipe.iter().map(AsFd::as_fd));
    let mut watched: Vec<_> = descriptors.map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)).collect();
    // Failing or interrupted, it is called again.
    let _ = poll(&mut watched, PollTimeout::try_from(LOOK_FOR_END).unwrap_or(PollTimeout::ZERO));
}

#[cfg(test)]
mod tests {
    use super::output_within;
    use std::{io::ErrorKind, process::Command, time::Duration};

    #[test]
    fn a_program_that_says_nothing_is_not_waited_for() {
        let limit = Duration::from_secs(20);
        let said =
            output_within(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]), limit).unwrap();
        assert_eq!(
            (said.stdout, said.stderr, said.status.code()),
            (b"out\n".into(), b"err\n".into(), Some(3))
        );
        let error = output_within(Command::new("sleep").arg("1000"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
    /// A wrapper of Python may start what lasts, and say much: the master waits for neither.
    #[test]
    fn what_a_program_leaves_behind_is_not_waited_for() {
        let limit = Duration::from_secs(60);
        let begun = std::time::Instant::now();
        for rest in ["sleep 1000 >&2 &", "sleep 1000 >/dev/null &", "sleep 1000 2>/dev/null &"] {
            let script = format!("{rest} echo out; echo $!");
            let said = output_within(Command::new("sh").args(["-c", &script]), limit).unwrap();
            let text = String::from_utf8(said.stdout).unwrap();
            let (out, left) = text.trim().split_once('\n').unwrap();
            super::signal(left.parse().unwrap(), libc::SIGKILL).unwrap();
            assert_eq!(out, "out");
        }
        let much = "head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero";
        let said = output_within(Command::new("sh").args(["-c", much]), limit).unwrap();
        assert_eq!((said.stdout.len(), said.stderr.len()), (super::MOST_SAID, super::MOST_SAID));
        assert!(begun.elapsed() < limit, "{:?}", begun.elapsed());
    }
}
