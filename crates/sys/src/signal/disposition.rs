//! What a signal does to a mold or a worker that it was not meant for.
//!
//! The master's signals (SIGHUP, SIGUSR1, …) often reach its children too: from a terminal, from a script that signals
//! all processes of a name. They do nothing there. They have a handler that does nothing, instead of being ignored:
//! what is ignored stays so in every program that the application starts (execve(2)), a handler does not. The
//! application may set handlers of its own at any time.

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, sigprocmask};
use std::{io, mem, os::unix::process::CommandExt, process::Command, ptr};

/// Signals that mean something to the master alone. SIGWINCH belongs to them; the system ignores it already.
const MASTERS: [libc::c_int; 5] = [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2, libc::SIGTTIN, libc::SIGTTOU];
/// Signals that mean something to a worker, but nothing to the mold.
const WORKERS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// For a mold, before any code of the application runs: default actions, save for what it lets pass.
pub fn for_mold() {
    crate::signal::default_actions();
    // As CPython has it: a file that grows too large is an error to be handled.
    crate::signal::ignore(libc::SIGXFSZ);
    MASTERS.into_iter().chain(WORKERS).for_each(let_pass);
    unblock();
}

/// For a worker that was just forked from a mold: it may be told to stop. What a preloaded application has set stays.
pub fn for_worker() {
    for signal in WORKERS.into_iter().filter(|signal| passes(*signal)) {
        if let Ok(signal) = Signal::try_from(signal) {
            // SAFETY: the default action runs no code of ours.
            let _ = unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) };
        }
    }
    unblock();
}

/// Holds all these signals back in the program that `command` starts, until it calls [`for_mold`]: one that comes
/// while Python starts must not end it.
pub fn hold_back(command: &mut Command) {
    let hook = || {
        let all: SigSet =
            MASTERS.into_iter().chain(WORKERS).filter_map(|signal| Signal::try_from(signal).ok()).collect();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&all), None).map_err(io::Error::from)
    };
    // SAFETY: the hook runs between fork and exec; it sets bits in a local and makes one async-signal-safe call.
    unsafe { command.pre_exec(hook) };
}

/// Has the program that `command` starts begin with the default action for what only the master ignores
/// ([`for_master`]); the standard library sees to SIGPIPE.
pub fn not_ignored(command: &mut Command) {
    let hook = || {
        // SAFETY: the default action runs no code of ours.
        unsafe { nix::sys::signal::signal(Signal::SIGXFSZ, SigHandler::SigDfl) }?;
        Ok(())
    };
    // SAFETY: the hook runs between fork and exec and makes one async-signal-safe call (signal-safety(7)).
    unsafe { command.pre_exec(hook) };
}

/// What is not meant for the master: a file that grows too large, a reader that is gone are errors to be handled.
pub fn for_master() {
    crate::signal::ignore(libc::SIGPIPE);
    crate::signal::ignore(libc::SIGXFSZ);
}

fn unblock() {
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
}

fn let_pass(signal: libc::c_int) {
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    action.sa_flags = libc::SA_RESTART | libc::SA_SIGINFO;
    // SAFETY: `nothing` calls signal(2) at most, which is async-signal-safe; the action is a live value.
    unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
}

/// Whether a signal still has the handler that does nothing.
fn passes(signal: libc::c_int) -> bool {
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: the pointer is to a live value; nothing is changed.
    let asked = unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == nothing as *const () as usize
}

extern "C" fn nothing(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a valid pointer.
    let code = unsafe { info.as_ref() }.map_or(0, |info| info.si_code);
    // A terminal sends these two to background processes that use it, and the system call is tried again after the
    // handler, for ever. Ignored, it succeeds or fails.
    if code == libc::SI_KERNEL && matches!(signal, libc::SIGTTIN | libc::SIGTTOU) {
        // SAFETY: signal(2) is async-signal-safe (signal-safety(7)).
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

#[cfg(test)]
mod tests {
    use super::{MASTERS, let_pass, passes};

    #[test]
    fn what_passes_does_nothing_and_is_known_by_its_handler() {
        assert!(!passes(libc::SIGUSR2));
        let_pass(libc::SIGUSR2);
        assert!(passes(libc::SIGUSR2));
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR2).unwrap();
        crate::signal::ignore(libc::SIGUSR2);
        assert!(!passes(libc::SIGUSR2));
        assert!(MASTERS.contains(&libc::SIGHUP));
    }
}
