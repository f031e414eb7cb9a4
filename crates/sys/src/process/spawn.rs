//! A program that is started by a fork of this process, for what its parent cannot know: its own process id.

use super::fork::{Fork, exit_now, fork, thread_count};
use std::io::{self, Read as _, Write as _};

/// The exit code of a process that could not become the program, as shells have it.
const NOT_STARTED: u8 = 127;

/// Forks this process, which has one thread; the child calls `execute`, which returns only if it cannot execute the program. The
/// child's process id.
///
/// # Errors
/// The kernel's; what `execute` returned.
pub fn spawn_by_fork(execute: impl FnOnce() -> io::Error) -> io::Result<i32> {
    if thread_count()? != 1 {
        return Err(io::Error::other("the process has more than one thread"));
    }
    // Closed when the program is executed.
    let (mut reader, mut writer) = io::pipe()?;
    // SAFETY: this is the only thread, as just counted.
    match unsafe { fork() }? {
        Fork::Child => {
            drop(reader);
            let code = execute().raw_os_error().unwrap_or(libc::EIO);
            let _ = writer.write_all(&code.to_ne_bytes());
            exit_now(NOT_STARTED)
        }
        Fork::Parent(pid) => {
            drop(writer);
            let mut code = [0; 4];
            match reader.read_exact(&mut code) {
                Ok(()) => {
                    super::wait_for(pid)?;
                    Err(io::Error::from_raw_os_error(i32::from_ne_bytes(code)))
                }
                Err(_) => Ok(pid),
            }
        }
    }
}
