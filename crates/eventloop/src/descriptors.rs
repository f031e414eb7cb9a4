//! The descriptors that a loop opens for itself, which the [observer](crate::Observer) is told.

use crate::observer::observer;
use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::{AsRawFd, RawFd},
    path::PathBuf,
};

/// Where the kernel lists a process's descriptors.
const DESCRIPTORS: &str = "/proc/self/fd";

/// Descriptors that a loop has opened, until they are closed.
#[derive(Default)]
pub(crate) struct Opened(Vec<RawFd>);

impl Opened {
    /// The epoll sets and eventfds that `make` opens. tokio does not tell its own, so the process's are compared.
    pub(crate) fn by<R>(make: impl FnOnce() -> io::Result<R>) -> io::Result<(R, Self)> {
        let before = pollers();
        let made = make()?;
        Ok((made, Self::of(pollers().difference(&before).copied().collect())))
    }

    /// One descriptor.
    pub(crate) fn one(descriptor: &impl AsRawFd) -> Self {
        Self::of(vec![descriptor.as_raw_fd()])
    }

    fn of(descriptors: Vec<RawFd>) -> Self {
        descriptors.iter().for_each(|descriptor| observer().opened(*descriptor));
        Self(descriptors)
    }

    /// The first that is an epoll set.
    pub(crate) fn epoll(&self) -> Option<RawFd> {
        self.0.iter().copied().find(|descriptor| {
            kind(*descriptor).is_some_and(|kind| kind.as_os_str() == "anon_inode:[eventpoll]")
        })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.iter().for_each(|descriptor| observer().closing(*descriptor));
    }
}

/// The epoll sets and eventfds of this process.
fn pollers() -> BTreeSet<RawFd> {
    let polls = |descriptor: &RawFd| {
        kind(*descriptor).is_some_and(|kind| {
            let kind = kind.to_string_lossy();
            kind.contains("[eventpoll]") || kind.contains("[eventfd")
        })
    };
    let Ok(entries) = fs::read_dir(DESCRIPTORS) else { return BTreeSet::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(polls).collect()
}

/// What a descriptor is, such as `anon_inode:[eventpoll]`.
fn kind(descriptor: RawFd) -> Option<PathBuf> {
    fs::read_link(format!("{DESCRIPTORS}/{descriptor}")).ok()
}
