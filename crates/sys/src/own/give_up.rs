//! Giving up what is the server's, in a process that the application forked.

use super::{
    FORKED, Own,
    inspect::{anonymous, handler, identity, open_descriptors},
};
use nix::{
    sys::{
        mman::{MapFlags, ProtFlags, mmap_anonymous},
        signal::{SigHandler, Signal, signal},
    },
    unistd::close,
};
use socket2::{SockAddr, SockRef, Type};
use std::{
    net::{IpAddr, SocketAddr},
    num::NonZero,
    os::fd::{BorrowedFd, RawFd},
    sync::atomic::Ordering::Relaxed,
};

/// Closes, unmaps and resets all that is claimed, in a process that the application forked. The parent is unaffected.
pub fn give_up() {
    FORKED.store(true, Relaxed);
    let own = super::own();
    own.mappings.iter().for_each(|(start, length)| replace_mapping(*start, *length));
    close_own(&own);
    let reset = own.handlers.iter().filter(|(number, ours)| handler(*number) == Some(*ours));
    reset.for_each(|(number, _)| set_default(*number));
}

/// Replaces shared memory by private zeroes.
fn replace_mapping(start: usize, length: usize) {
    let (Some(address), Some(length)) = (NonZero::new(start), NonZero::new(length)) else { return };
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED | MapFlags::MAP_NORESERVE;
    // SAFETY: the range is a mapping of ours that is never unmapped; references to it see zeroes then, which are as valid
    // as what was there before.
    let _ = unsafe { mmap_anonymous(Some(address), length, access, flags) };
}

fn close_own(own: &Own) {
    let open = open_descriptors();
    let is_listed = |number: RawFd| {
        identity(number).is_some_and(|identity| own.files.contains(&identity))
            || own.numbered.get(&number).is_some_and(|kind| anonymous(number).as_ref() == Some(kind))
    };
    let (ours, others): (Vec<RawFd>, Vec<RawFd>) = open.into_iter().partition(|number| is_listed(*number));
    let listeners: Vec<SockAddr> = ours.iter().filter_map(|number| listening_on(*number)).collect();
    let clients = others.into_iter().filter(|number| is_client(*number, &listeners));
    for number in ours.iter().copied().chain(clients.collect::<Vec<_>>()) {
        // It was open a moment ago, and this process has one thread.
        let _ = close(number);
    }
}

fn listening_on(number: RawFd) -> Option<SockAddr> {
    with_socket(number, |socket| if socket.is_listener().ok()? { socket.local_addr().ok() } else { None })
}

/// Whether this is a connection that was accepted from one of these listeners.
fn is_client(number: RawFd, listeners: &[SockAddr]) -> bool {
    let local = with_socket(number, |socket| match socket.r#type().ok()? {
        Type::STREAM => socket.local_addr().ok(),
        _ => None,
    });
    local.is_some_and(|local| listeners.iter().any(|listener| is_at(&local, listener)))
}

pub(super) fn is_at(local: &SockAddr, listener: &SockAddr) -> bool {
    match (local.as_socket(), listener.as_socket()) {
        (Some(local), Some(listener)) => {
            let ip = |address: SocketAddr| -> IpAddr { address.ip().to_canonical() };
            let same = ip(listener).is_unspecified() || ip(listener) == ip(local);
            local.port() == listener.port() && same
        }
        _ => !local.is_unnamed() && local == listener,
    }
}

fn with_socket<R>(number: RawFd, look: impl FnOnce(SockRef<'_>) -> Option<R>) -> Option<R> {
    // SAFETY: it was found open, this process has one thread, and the reference ends with this function.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    look(SockRef::from(&descriptor))
}

fn set_default(number: i32) {
    if let Ok(known) = Signal::try_from(number) {
        // SAFETY: the default action runs no code of ours.
        let _ = unsafe { signal(known, SigHandler::SigDfl) };
        return;
    }
    // SAFETY: as above; the real-time signals have no name.
    unsafe { libc::signal(number, libc::SIG_DFL) };
}
