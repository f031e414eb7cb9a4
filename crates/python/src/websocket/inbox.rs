//! Messages of the client that wait for the application.

use bytes::Bytes;
use std::collections::VecDeque;

/// So many bytes of messages wait for the application before the client has to; the last message may exceed it.
const MAX_INCOMING: usize = 64 * 1024;
/// What a waiting message takes beside its bytes, so that empty ones are limited, too.
const MESSAGE: usize = 64;
/// Waiting messages up to this size are copied, so that they do not keep the buffer they were read into.
const COPY_UP_TO: usize = 2048;

/// What the application is given by a `receive`.
pub(crate) enum Received<'a> {
    /// Valid UTF-8.
    Text(&'a [u8]),
    Binary(&'a [u8]),
    /// The end: the code and the reason (RFC 6455 §7.1.5, §7.1.6).
    Closed(u16, &'a str),
}

/// A message of the client that waits.
pub(super) enum Message {
    Text(Bytes),
    Binary(Bytes),
}

impl Message {
    pub(super) fn received(&self) -> Received<'_> {
        match self {
            Self::Text(text) => Received::Text(text),
            Self::Binary(data) => Received::Binary(data),
        }
    }

    /// What it counts for while it waits.
    fn weight(&self) -> usize {
        let (Self::Text(data) | Self::Binary(data)) = self;
        data.len() + MESSAGE
    }
}

impl Message {
    /// Without the buffer that it was read into, if that is worth a copy.
    pub(super) fn alone(self) -> Self {
        let copy = |data: Bytes| match data.len() {
            0..=COPY_UP_TO => Bytes::copy_from_slice(&data),
            _ => data,
        };
        match self {
            Self::Text(text) => Self::Text(copy(text)),
            Self::Binary(data) => Self::Binary(copy(data)),
        }
    }
}

/// The messages that wait, in their order.
#[derive(Default)]
pub(super) struct Inbox {
    messages: VecDeque<Message>,
    /// What they weigh together.
    weight: usize,
}

impl Inbox {
    /// Whether the client has to wait.
    pub(super) fn is_full(&self) -> bool {
        self.weight >= MAX_INCOMING
    }

    pub(super) fn put(&mut self, message: Message) {
        self.weight += message.weight();
        self.messages.push_back(message);
    }

    pub(super) fn take(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.weight -= message.weight();
        Some(message)
    }
}
