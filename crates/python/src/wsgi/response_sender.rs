//! From a pool thread to hyper: the head of the response, then pieces of its body.

use super::{
    body_queue::{self, body_queue},
    closing::Closing,
    gate::Gate,
};
use crate::response::{Broken, Head};
use bytes::Bytes;
use hostler_http::FileBody;
use pyo3::prelude::*;
use tokio::sync::oneshot;

/// A body that is complete.
pub(super) enum Whole {
    Bytes(Bytes),
    /// None, but its length is known from the head.
    Nothing,
    /// None, and its length is not known without a GET (HEAD).
    Unknown,
}

/// What a pool thread made of a request.
pub(super) enum Reply {
    Whole(Head, Whole),
    File(Head, FileBody, Closing),
    Stream(Head, body_queue::Receiver),
    /// The application failed before its response began.
    Failed,
}

/// A thread's channel to the task that waits for its response.
pub(super) struct ResponseSender {
    reply: Option<oneshot::Sender<Reply>>,
    pieces: Option<body_queue::Sender>,
    bodiless: bool,
    gate: Gate,
    /// How many bytes of a body may be buffered.
    limit: usize,
}

impl ResponseSender {
    pub(super) fn new(gate: Gate, limit: usize) -> (Self, oneshot::Receiver<Reply>) {
        let (reply, receiver) = oneshot::channel();
        (Self { reply: Some(reply), pieces: None, bodiless: false, gate, limit }, receiver)
    }

    pub(super) fn has_begun(&self) -> bool {
        self.reply.is_none()
    }

    /// Whether the response is still wanted: the client is connected, and was not sent a 504.
    pub(super) fn is_wanted(&self) -> bool {
        self.reply.as_ref().is_none_or(|reply| !reply.is_closed())
    }

    /// Begins a response whose body comes in pieces.
    pub(super) fn begin(&mut self, head: Head, head_request: bool) {
        let (sender, receiver) = body_queue(self.limit);
        self.bodiless = head.is_bodiless(head_request);
        self.pieces = Some(sender);
        self.reply(Reply::Stream(head, receiver));
    }

    /// Hands over the whole response, or its beginning.
    pub(super) fn reply(&mut self, reply: Reply) {
        if let Some(sender) = self.reply.take() {
            // The client may be gone.
            let _ = sender.send(reply);
        }
    }

    /// Sends a piece, waits while too much is buffered, and lets a waiting thread run.
    pub(super) fn send(&self, py: Python<'_>, piece: Bytes) -> Result<(), Broken> {
        let Some(pieces) = &self.pieces else { return Err(Broken) };
        if !self.bodiless {
            pieces.send(py, &self.gate, piece)?;
        }
        self.gate.yield_now(py);
        Ok(())
    }

    /// Ends the body.
    pub(super) fn complete(&self) {
        if let Some(pieces) = &self.pieces {
            pieces.complete();
        }
    }
}
