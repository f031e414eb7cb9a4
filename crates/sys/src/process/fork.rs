//! Forking, exiting, and what a process is to its parent and to the kernel.

use nix::unistd::ForkResult;
use std::io;

/// Which side of a fork this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The new process.
    Child,
    /// The old one, and the new one's id.
    Parent(i32),
}

/// Forks this process.
///
/// # Safety
/// The caller is the only thread. Otherwise a lock held by another thread (malloc's, a logger's) stays
/// locked in the child (fork(2)).
///
/// # Errors
/// The kernel's: too many processes, no memory.
pub unsafe fn fork() -> io::Result<Fork> {
    debug_assert_eq!(thread_count().ok(), Some(1), "fork() while other threads are alive");
    // SAFETY: our caller guarantees a single thread, so the child may do whatever its parent could.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => Ok(Fork::Child),
        ForkResult::Parent { child } => Ok(Fork::Parent(child.as_raw())),
    }
}

/// Exits at once: no destructors, no `atexit`, no second flush of the parent's buffers.
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
