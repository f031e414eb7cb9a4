//! Workers of a native service: forks of the master itself.

use hostler_sys::{
    bundle::Bundle,
    process::{self, Fork},
};
use hostler_wire::{Assignment, WorkerSettings};
use std::{
    io,
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What a freshly forked native worker is given.
pub struct NativeWorkerContext {
    /// Which worker it is.
    pub assignment: Assignment,
    /// What it is given: its channel, its file for stacks, the scoreboard to map its own page, and what its role shares.
    pub descriptors: Bundle<OwnedFd>,
    /// What to serve, and how.
    pub settings: WorkerSettings,
    /// The process at whose death the worker exits.
    pub master_pid: i32,
}

/// Forks; the child drops `baggage`, which is what of the master's it must not keep, and runs `main`.
///
/// Returns the child's process id, in the master only.
#[expect(unsafe_code, reason = "fork is unsafe; the contract is kept here")]
pub(crate) fn fork<B>(baggage: impl FnOnce() -> B, main: impl FnOnce() -> u8) -> io::Result<i32> {
    if process::thread_count()? != 1 {
        let text = "the master has more than one thread; start threads in the closure given to `serve`";
        return Err(io::Error::other(text));
    }
    // SAFETY: this is the only thread, as just counted.
    match unsafe { process::fork() }? {
        Fork::Parent(pid) => Ok(pid),
        Fork::Child => {
            // A panic must not unwind into the master's frames.
            let code = catch_unwind(AssertUnwindSafe(|| {
                drop(baggage());
                main()
            }));
            process::exit_now(code.unwrap_or(hostler_wire::ExitStatus::Failed.code()))
        }
    }
}
