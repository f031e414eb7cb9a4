//! From a thread of the pool to hyper: first the answer's head, then pieces of its body.

use super::{
    closing::Closing,
    gate::Gate,
    outflow::{self, outflow},
};
use crate::response::{Broken, FilePieces, Head};
use bytes::Bytes;
use pyo3::prelude::*;
use tokio::sync::oneshot;

/// A body that is there.
pub(super) enum Whole {
    Bytes(Bytes),
    /// None, but its length is known from the head.
    Nothing,
    /// None, and a GET would have told how long it is (HEAD).
    Unknown,
}

/// What a thread of the pool made of a request.
pub(super) enum Reply {
    Whole(Head, Whole),
    File(Head, FilePieces, Closing),
    Stream(Head, outflow::Receiver),
    /// It failed before there was anything to send.
    Failed,
}

/// A thread's way to the task that waits for its answer.
pub(super) struct ResponseSender {
    answer: Option<oneshot::Sender<Reply>>,
    pieces: Option<outflow::Sender>,
    bodiless: bool,
    gate: Gate,
    /// How much of a body may wait for the client.
    limit: usize,
}

impl ResponseSender {
    pub(super) fn new(gate: Gate, limit: usize) -> (Self, oneshot::Receiver<Reply>) {
        let (answer, receiver) = oneshot::channel();
        (Self { answer: Some(answer), pieces: None, bodiless: false, gate, limit }, receiver)
    }

    pub(super) fn has_begun(&self) -> bool {
        self.answer.is_none()
    }

    /// Whether somebody waits for the answer: the client is there, and was not answered 504.
    pub(super) fn is_wanted(&self) -> bool {
        self.answer.as_ref().is_none_or(|answer| !answer.is_closed())
    }

    /// Begins an answer whose body comes in pieces.
    pub(super) fn begin(&mut self, head: Head, head_request: bool) {
        let (sender, receiver) = outflow(self.limit);
        self.bodiless = head.is_bodiless(head_request);
        self.pieces = Some(sender);
        self.answer(Reply::Stream(head, receiver));
    }

    /// Gives the whole answer, or its beginning.
    pub(super) fn answer(&mut self, reply: Reply) {
        if let Some(sender) = self.answer.take() {
            // A client that is gone gets no answer.
            let _ = sender.send(reply);
        }
    }

    /// Sends a piece, and waits while too much is ahead of the client; lets others run who wait for their turn.
    pub(super) fn send(&self, py: Python<'_>, piece: Bytes) -> Result<(), Broken> {
        let Some(pieces) = &self.pieces else { return Err(Broken) };
        if !self.bodiless {
            pieces.send(py, &self.gate, piece)?;
        }
        self.gate.step_aside(py);
        Ok(())
    }

    /// The answer is all there.
    pub(super) fn complete(&self) {
        if let Some(pieces) = &self.pieces {
            pieces.complete();
        }
    }
}
