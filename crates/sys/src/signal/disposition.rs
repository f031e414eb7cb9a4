//! The dispositions of signals in mold, workers and master.
//!
//! The master's signals (SIGHUP, SIGUSR1, …) often reach its children too: from a terminal, or from a script that signals
//! all processes of a name. They have no effect there, by a handler that does nothing: ignored signals stay ignored in
//! every program that the application starts (execve(2)), handlers are reset. The application may set handlers of its own
//! at any time.

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, sigprocmask};
use std::{io, mem, os::unix::process::CommandExt, process::Command, ptr};

/// Signals for the master only. SIGWINCH is one too; the system ignores it by default.
const MASTERS: [libc::c_int; 5] = [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2, libc::SIGTTIN, libc::SIGTTOU];
/// Signals for workers, but not for the mold.
const WORKERS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// For a mold, before any code of the application runs: default actions, and no effect of the master's signals.
pub fn for_mold() {
    crate::signal::default_actions();
    // As CPython has it: a file that grows too large is an error to be handled.
    crate::signal::ignore(libc::SIGXFSZ);
    MASTERS.into_iter().chain(WORKERS).for_each(set_no_effect);
    unblock();
}

/// For the observer: signals to all processes of the server have no effect, as it ends with the master's channel. It is to say
/// that the server stops as long as that does.
pub fn for_observer() {
    crate::signal::ignore(libc::SIGPIPE);
    MASTERS.into_iter().chain(WORKERS).for_each(set_no_effect);
    unblock();
}

/// For a worker that was just forked from a mold: the default actions of signals that stop it. Handlers of a preloaded
/// application stay.
pub fn for_worker() {
    for signal in WORKERS.into_iter().filter(|signal| has_no_effect(*signal)) {
        if let Ok(signal) = Signal::try_from(signal) {
            // SAFETY: the default action runs no code of ours.
            let _ = unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) };
        }
    }
    unblock();
}

/// Blocks these signals in the program that `command` starts, until it calls [`for_mold`]: they must not terminate it
/// while Python starts.
pub fn block_until_ready(command: &mut Command) {
    let hook = || {
        let all: SigSet =
            MASTERS.into_iter().chain(WORKERS).filter_map(|signal| Signal::try_from(signal).ok()).collect();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&all), None).map_err(io::Error::from)
    };
    // SAFETY: the hook runs between fork and exec; it sets bits in a local and makes one async-signal-safe call.
    unsafe { command.pre_exec(hook) };
}

/// Starts the program of `command` with the default action of what only the master ignores
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

/// For a program before it does anything else: nothing of what the process that started it had ignored or blocked. With
/// SIGCHLD ignored it could not wait for the programs that it starts. SIGHUP stays ignored, as nohup(1) means it, until it
/// has a handler.
pub fn for_program() {
    let hangup_ignored = action(libc::SIGHUP) == Some(libc::SIG_IGN);
    crate::signal::default_actions();
    if hangup_ignored {
        crate::signal::ignore(libc::SIGHUP);
    }
    unblock();
}

/// For the master: the file size limit and closed pipes are errors to be handled, and no signal is blocked. Handlers stay.
pub fn for_master() {
    crate::signal::ignore(libc::SIGPIPE);
    crate::signal::ignore(libc::SIGXFSZ);
    unblock();
}

fn unblock() {
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
}

fn set_no_effect(signal: libc::c_int) {
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    action.sa_flags = libc::SA_RESTART | libc::SA_SIGINFO;
    // SAFETY: `nothing` calls signal(2) at most, which is async-signal-safe; the action is a live value.
    unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
}

/// Whether a signal has the handler that does nothing.
fn has_no_effect(signal: libc::c_int) -> bool {
    action(signal) == Some(nothing as *const () as usize)
}

/// The address of a signal's handler, or what stands for the default action and for none.
fn action(signal: libc::c_int) -> Option<usize> {
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: the pointer is to a live value; nothing is changed.
    let asked = unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
    (asked == 0).then_some(action.sa_sigaction)
}

extern "C" fn nothing(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a valid pointer.
    let code = unsafe { info.as_ref() }.map_or(0, |info| info.si_code);
    // A terminal sends these two to background processes that use it, and the system call is restarted after the handler,
    // again and again. Ignored, it succeeds or fails.
    if code == libc::SI_KERNEL && matches!(signal, libc::SIGTTIN | libc::SIGTTOU) {
        // SAFETY: signal(2) is async-signal-safe (signal-safety(7)).
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

#[cfg(test)]
mod tests {
    use super::{MASTERS, has_no_effect, set_no_effect};

    #[test]
    fn a_signal_without_effect_is_known_by_its_handler() {
        assert!(!has_no_effect(libc::SIGUSR2));
        set_no_effect(libc::SIGUSR2);
        assert!(has_no_effect(libc::SIGUSR2));
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR2).unwrap();
        crate::signal::ignore(libc::SIGUSR2);
        assert!(!has_no_effect(libc::SIGUSR2));
        assert!(MASTERS.contains(&libc::SIGHUP));
    }
}
