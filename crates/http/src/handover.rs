//! Idle connections that go from a worker that drains to one that serves, so that none is closed under a
//! client that is about to send.
//!
//! All workers hold both ends of one line. The one that drains sends sockets, with what it had read of the
//! next request; whoever serves takes them like connections from an accept queue.

use crate::watch::watch;
use hostler_sys::channel::Channel;
use hostler_wire::Handover;
use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
};
use tokio::io::{Interest, unix::AsyncFd};

/// This process's ends of the line; cheap to clone, for one thread.
#[derive(Clone)]
pub struct Line(Rc<Ends>);

struct Ends {
    sender: AsyncFd<Channel>,
    receiver: AsyncFd<Channel>,
    /// What the line had no room for yet.
    waiting: RefCell<VecDeque<(Handover, OwnedFd)>>,
}

impl Line {
    /// Registers both ends with the runtime of this thread.
    ///
    /// # Errors
    /// The kernel's, when a descriptor cannot be watched.
    pub fn new(receiver: OwnedFd, sender: OwnedFd) -> io::Result<Self> {
        let (receiver, sender) = (Channel::from(receiver), Channel::from(sender));
        receiver.set_nonblocking(true)?;
        sender.set_nonblocking(true)?;
        Ok(Self(Rc::new(Ends {
            sender: watch(sender, Interest::WRITABLE)?,
            receiver: watch(receiver, Interest::READABLE)?,
            waiting: RefCell::default(),
        })))
    }

    /// Sends a connection to whoever serves.
    pub(crate) fn offer(&self, handover: Handover, socket: OwnedFd) {
        self.0.waiting.borrow_mut().push_back((handover, socket));
        let sent = self.send_all();
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            && self.0.waiting.borrow().len() == 1
        {
            let line = self.clone();
            tokio::task::spawn_local(async move { line.emptied().await });
        }
    }

    /// Waits until every connection that was offered is on its way.
    pub async fn emptied(&self) {
        while self.waiting() > 0 {
            let Ok(mut ready) = self.0.sender.writable().await else { return };
            let _ = ready.try_io(|_| self.send_all());
        }
    }

    fn waiting(&self) -> usize {
        self.0.waiting.borrow().len()
    }

    fn send_all(&self) -> io::Result<()> {
        let mut waiting = self.0.waiting.borrow_mut();
        while let Some((handover, socket)) = waiting.front() {
            match self.0.sender.get_ref().send(handover, &[socket.as_fd()]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(error) => tracing::warn!(%error, "a connection could not be handed over and is closed"),
                Ok(()) => {}
            }
            waiting.pop_front();
        }
        Ok(())
    }

    /// Waits until somebody hands over a connection.
    pub(crate) async fn ready(&self) {
        if let Ok(mut ready) = self.0.receiver.readable().await {
            ready.retain_ready();
        }
    }

    /// Takes a connection that somebody handed over, unless a sibling was faster.
    pub(crate) fn take(&self) -> Option<(Handover, OwnedFd)> {
        let received = self.0.receiver.try_io(Interest::READABLE, |channel| channel.recv::<Handover>());
        match received {
            Ok(Some((handover, mut sockets))) => Some((handover, sockets.pop()?)),
            Ok(None) => None,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    tracing::warn!(%error, "a connection that was handed over could not be taken");
                }
                None
            }
        }
    }
}

/// A stream whose descriptor can be copied.
pub(crate) trait Descriptor {
    fn descriptor(&self) -> BorrowedFd<'_>;
}

impl<S: AsFd> Descriptor for hyper_util::rt::TokioIo<S> {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.inner().as_fd()
    }
}
