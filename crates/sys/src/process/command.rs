//! What a program is started with: descriptors, a session, the death of its parent.

use std::{
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
};

/// Makes `descriptor` appear as `number` in the program that `command` starts.
pub fn pass_descriptor(command: &mut Command, descriptor: OwnedFd, number: i32) {
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

/// Makes descriptors appear in the program that `command` starts from the number 3 on, in their order.
///
/// # Errors
/// The kernel's: too many descriptors.
pub fn pass_descriptors(command: &mut Command, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    // Out of the way first: a number that one is to have may be another's.
    let room = i32::try_from(descriptors.len()).unwrap_or(i32::MAX).saturating_add(3);
    for (descriptor, number) in descriptors.iter().zip(3..) {
        let copy = nix::fcntl::fcntl(*descriptor, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(room))?;
        // SAFETY: it is new and has no other owner.
        pass_descriptor(command, unsafe { OwnedFd::from_raw_fd(copy) }, number);
    }
    Ok(())
}

/// Sets by how much the priority of the program that `command` starts is lower (nice(2)).
pub fn lower_priority(command: &mut Command, by: i32) {
    let hook = move || {
        // SAFETY: getpriority(2) with integers; −1 is a value, too, and as one it is right.
        let own = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        // SAFETY: setpriority(2) with integers.
        let set = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, (own + by).clamp(-20, 19)) };
        if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: the hook runs between fork and exec and makes two system calls on integers.
    unsafe { command.pre_exec(hook) };
}

/// Has the program that `command` starts begin a session, without a terminal (setsid(2)).
pub fn own_session(command: &mut Command) {
    let hook = || Ok(nix::unistd::setsid().map(drop)?);
    // SAFETY: the hook runs between fork and exec and makes one async-signal-safe call (signal-safety(7)).
    unsafe { command.pre_exec(hook) };
}

/// Has the kernel kill the program that `command` starts when this process dies, even if it is stopped then
/// (PR_SET_PDEATHSIG, prctl(2)). The program may choose otherwise.
pub fn die_with_parent(command: &mut Command) {
    die_with_process(command, std::process::id().cast_signed());
}

/// As [`die_with_parent`], where `parent` is the process that will be the program's parent.
pub fn die_with_process(command: &mut Command, parent: i32) {
    let hook = move || {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        // The parent died before the kernel was told.
        if super::parent_id() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: the hook runs between fork and exec and makes two async-signal-safe calls (signal-safety(7)).
    unsafe { command.pre_exec(hook) };
}

/// As [`die_with_parent`], of this process, which `parent` has just forked.
///
/// # Errors
/// The kernel's; `BrokenPipe` if the parent is gone.
pub fn die_with(parent: i32) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    if super::parent_id() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

/// Takes over a descriptor that the parent opened for this program.
///
/// # Errors
/// `NotFound` if it is not open; the kernel's.
pub fn take_descriptor(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: fcntl(2) with integers.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::ErrorKind::NotFound.into());
    }
    // SAFETY: it is open, as just seen, and the caller says that it is ours.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
