//! The form of a connection in the handover channel: one message with its socket, and what was read of the next request.

use super::{MAX_DESCRIPTORS, ReceivedConnection};
use bytes::Bytes;
use hostler_sys::message;
use hostler_wire::{HANDOVER_HEAD, HANDOVER_INLINE, HandoverHead, ProxiedEnds};
use std::{
    fs::File,
    io::{self, IoSlice},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt,
    },
};
use tokio::io::unix::AsyncFd;

/// A connection in the form in which it is sent, but for its socket.
pub(super) struct Frame<B> {
    head: [u8; HANDOVER_HEAD],
    /// Unread bytes, if they fit.
    inline: B,
    /// Unread bytes, if they do not.
    file: Option<File>,
}

impl<'a> Frame<&'a [u8]> {
    pub(super) fn new(listener: u16, proxied: Option<ProxiedEnds>, unread: &'a [u8]) -> io::Result<Self> {
        let parsed = HandoverHead { listener, unread: unread.len(), proxied };
        let head = parsed.encode().ok_or(io::ErrorKind::InvalidInput)?;
        let has_file = parsed.has_file();
        let file = if has_file { Some(message::file_with(unread)?) } else { None };
        Ok(Self { head, inline: if has_file { &[] } else { unread }, file })
    }

    #[cfg(test)]
    pub(super) fn head_and_inline(&self) -> Vec<u8> {
        [&self.head, self.inline].concat()
    }

    pub(super) fn into_owned(self) -> Frame<Vec<u8>> {
        Frame { head: self.head, inline: self.inline.to_vec(), file: self.file }
    }
}

impl<B: AsRef<[u8]>> Frame<B> {
    pub(super) fn send(&self, channel: &AsyncFd<OwnedFd>, socket: BorrowedFd<'_>) -> io::Result<()> {
        let parts = [IoSlice::new(&self.head), IoSlice::new(self.inline.as_ref())];
        let channel = channel.get_ref().as_fd();
        match &self.file {
            Some(file) => message::send(channel, &parts, &[socket, file.as_fd()]),
            None => message::send(channel, &parts, &[socket]),
        }
    }
}

pub(super) fn receive(channel: BorrowedFd<'_>) -> io::Result<ReceivedConnection> {
    let invalid =
        || io::Error::new(io::ErrorKind::InvalidData, "the message is no handover of a known version");
    let mut frame = [0; HANDOVER_HEAD + HANDOVER_INLINE];
    let received = message::receive(channel, &mut frame, MAX_DESCRIPTORS)?;
    let mut descriptors = received.descriptors.into_iter();
    let (head, inline) = HandoverHead::decode(&frame[..received.length]).ok_or_else(invalid)?;
    let socket = descriptors.next().ok_or_else(invalid)?;
    let unread = if head.has_file() {
        let file = File::from(descriptors.next().ok_or_else(invalid)?);
        // Otherwise the sender's number would decide how much memory is allocated.
        if file.metadata()?.len() != head.unread as u64 {
            return Err(invalid());
        }
        let mut unread = vec![0; head.unread];
        file.read_exact_at(&mut unread, 0)?;
        unread.into()
    } else {
        Bytes::copy_from_slice(inline)
    };
    Ok(ReceivedConnection { socket, listener: usize::from(head.listener), proxied: head.proxied, unread })
}
