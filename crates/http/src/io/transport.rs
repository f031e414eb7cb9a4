//! What a connection needs of its byte stream besides reading and writing.

use std::os::fd::{AsFd, BorrowedFd};

/// A byte stream over a socket.
pub(crate) trait Transport {
    /// Whether an idle connection can be continued by another worker that is given the socket and the unread bytes.
    /// Not so for a stream with state of its own in this process, such as the keys of TLS.
    const CAN_HAND_OVER: bool;

    /// The socket.
    fn socket(&self) -> BorrowedFd<'_>;
}

/// A plain socket.
impl<S: AsFd> Transport for hyper_util::rt::TokioIo<S> {
    const CAN_HAND_OVER: bool = true;

    fn socket(&self) -> BorrowedFd<'_> {
        self.inner().as_fd()
    }
}
