//! The open descriptors and signal handlers of this process.

use std::{
    fs,
    os::fd::{BorrowedFd, RawFd},
    path::PathBuf,
    ptr,
};

/// Where the kernel shows a process's descriptors.
const DESCRIPTORS: &str = "/proc/self/fd";

pub(super) fn open_descriptors() -> Vec<RawFd> {
    let numbers = |entries: fs::ReadDir| -> Vec<RawFd> {
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    };
    // The directory's own descriptor was among them, and is closed by now.
    let mut open = fs::read_dir(DESCRIPTORS).map_or_else(|_| (0..4096).collect(), numbers);
    open.retain(|number| *number > 2 && identity(*number).is_some());
    open
}

pub(super) fn identity(number: RawFd) -> Option<(u64, u64)> {
    // SAFETY: fstat(2) reports a number that is not open; the reference ends here.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    nix::sys::stat::fstat(descriptor).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

/// What an anonymous inode is, such as `anon_inode:[eventpoll]`.
pub(super) fn anonymous(number: RawFd) -> Option<PathBuf> {
    let kind = fs::read_link(format!("{DESCRIPTORS}/{number}")).ok()?;
    kind.to_str()?.starts_with("anon_inode:").then_some(kind)
}

/// The address of a signal's handler; `None` for the default action.
pub(super) fn handler(number: i32) -> Option<usize> {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: sigaction(2) only reads the present action, into a live value; a number that is none is an error.
    let read = unsafe { libc::sigaction(number, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: it is all zeroes at least, which is a valid value.
    let action = unsafe { action.assume_init() };
    (read == 0 && action.sa_sigaction != libc::SIG_DFL).then_some(action.sa_sigaction)
}
