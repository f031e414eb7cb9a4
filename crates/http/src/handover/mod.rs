//! Handover: idle connections go from a worker that drains to one that serves, so that none is closed under a client
//! that is about to send.
//!
//! All workers hold both ends of one channel. A worker that drains sends sockets, with what it had read of the next
//! request; those that serve receive them like connections from an accept queue. A message ([`frame`]) is received in
//! one call, so siblings cannot receive a part of it each.
//!
//! Invariants
//! - A connection that cannot be sent stays with the worker that has it: [`HandoverChannel::send`] only borrows it.
//! - Nothing is received without room for its descriptors; the kernel would drop them.

mod frame;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use crate::io::watch::watch;
use bytes::Bytes;
use frame::Frame;
use hostler_sys::message;
use hostler_wire::ProxiedEnds;
use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
    time::Duration,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::sleep,
};

/// How many descriptors a message has at most: the connection, and a file of unread bytes.
const MAX_DESCRIPTORS: usize = 2;
/// How long to wait when the kernel takes no message for another reason than a full channel.
const PAUSE: Duration = Duration::from_millis(10);

/// This process's ends of the channel; cheap to clone, for one thread.
#[derive(Clone)]
pub struct HandoverChannel(Rc<Ends>);

struct Ends {
    sender: AsyncFd<OwnedFd>,
    receiver: AsyncFd<OwnedFd>,
    /// What the channel had no room for yet.
    queued: RefCell<VecDeque<(Frame<Vec<u8>>, OwnedFd)>>,
    /// Descriptors that are closed while a message is received, so that there is room for those that come with it.
    reserve: RefCell<Vec<OwnedFd>>,
}

/// A connection that was handed over.
#[derive(Debug)]
pub(crate) struct ReceivedConnection {
    pub(crate) socket: OwnedFd,
    /// The index of the listener, among the sender's, that it came from.
    pub(crate) listener: usize,
    /// What its PROXY header said.
    pub(crate) proxied: Option<ProxiedEnds>,
    /// What was read of the next request.
    pub(crate) unread: Bytes,
}

impl HandoverChannel {
    /// Registers both ends with the runtime of this thread.
    ///
    /// # Errors
    /// The kernel's, when a descriptor cannot be registered.
    pub fn new(receiver: OwnedFd, sender: OwnedFd) -> io::Result<Self> {
        for end in [&receiver, &sender] {
            message::set_nonblocking(end.as_fd())?;
        }
        Ok(Self(Rc::new(Ends {
            sender: watch(sender, Interest::WRITABLE)?,
            receiver: watch(receiver, Interest::READABLE)?,
            queued: RefCell::default(),
            reserve: RefCell::default(),
        })))
    }

    /// Sends a connection to a worker that serves. On success it is in the channel, with a descriptor of its own, and the
    /// caller closes its own. On failure it is the caller's as before, to be kept and offered again later.
    ///
    /// # Errors
    /// The kernel's: no descriptor left (EMFILE), too many in flight (ETOOMANYREFS), no memory; `InvalidInput` if
    /// there are more unread bytes than any request head may have.
    pub(crate) fn send(
        &self,
        listener: u16,
        proxied: Option<ProxiedEnds>,
        unread: &[u8],
        socket: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let frame = Frame::new(listener, proxied, unread)?;
        // Those that are queued go first.
        if self.queued() == 0 {
            match frame.send(&self.0.sender, socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return sent,
            }
        }
        let socket = socket.try_clone_to_owned()?;
        self.0.queued.borrow_mut().push_back((frame.into_owned(), socket));
        if self.queued() == 1 {
            let channel = self.clone();
            tokio::task::spawn_local(async move { channel.flushed().await });
        }
        Ok(())
    }

    /// Waits until every connection that was sent is in the channel.
    pub async fn flushed(&self) {
        while self.queued() > 0 {
            let Ok(mut ready) = self.0.sender.writable().await else { return };
            if let Ok(Err(error)) = ready.try_io(|_| self.send_queued()) {
                tracing::debug!(%error, "a connection cannot be handed over yet");
                sleep(PAUSE).await;
            }
        }
    }

    fn queued(&self) -> usize {
        self.0.queued.borrow().len()
    }

    fn send_queued(&self) -> io::Result<()> {
        let mut queued = self.0.queued.borrow_mut();
        while let Some((frame, socket)) = queued.front() {
            frame.send(&self.0.sender, socket.as_fd())?;
            queued.pop_front();
        }
        Ok(())
    }

    /// Waits until a connection can be received.
    pub(crate) async fn ready(&self) {
        if let Ok(mut ready) = self.0.receiver.readable().await {
            ready.retain_ready();
        }
    }

    /// Receives a connection.
    ///
    /// # Errors
    /// `WouldBlock` if a sibling was faster; the kernel's, if there is no room for another descriptor (EMFILE): then
    /// the connection stays in the channel; `InvalidData` for a message of another version.
    pub(crate) fn receive(&self) -> io::Result<ReceivedConnection> {
        self.make_room()?;
        let received = self.0.receiver.try_io(Interest::READABLE, |receiver| {
            self.0.reserve.borrow_mut().clear();
            frame::receive(receiver.as_fd())
        });
        // If there is no room for the reserve any more, the next call fails.
        let _ = self.make_room();
        received
    }

    fn make_room(&self) -> io::Result<()> {
        let mut reserve = self.0.reserve.borrow_mut();
        while reserve.len() < MAX_DESCRIPTORS {
            reserve.push(self.0.receiver.get_ref().try_clone()?);
        }
        Ok(())
    }
}
