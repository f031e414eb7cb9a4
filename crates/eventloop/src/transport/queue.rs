//! What was written and not sent yet.

use pyo3::{prelude::*, types::PyBytes};
use std::{collections::VecDeque, io::IoSlice};

/// How many pieces one system call sends at most.
pub(super) const MAX_PARTS: usize = 64;

/// Byte strings in the order in which they were written; the first may have been sent in part.
#[derive(Default)]
pub(super) struct Queue {
    pieces: VecDeque<Py<PyBytes>>,
    /// How much of the first piece was sent.
    sent: usize,
    /// The bytes not sent, of all pieces.
    length: usize,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Appends a piece, of which the first `sent` bytes (less than all) were sent.
    pub(super) fn push(&mut self, piece: Bound<'_, PyBytes>, sent: usize) {
        let length = piece.as_bytes().len();
        if length == 0 {
            return;
        }
        debug_assert!(sent == 0 || self.pieces.is_empty(), "only the first piece is sent in part");
        if self.pieces.is_empty() {
            self.sent = sent;
        }
        self.length += length - sent;
        self.pieces.push_back(piece.unbind());
    }

    /// The next bytes to send, as many pieces as `parts` has room for; tells how many it filled.
    pub(super) fn fill<'a>(&'a self, py: Python<'_>, parts: &mut [IoSlice<'a>; MAX_PARTS]) -> usize {
        let mut skip = self.sent;
        let mut filled = 0;
        for (part, piece) in parts.iter_mut().zip(&self.pieces) {
            *part = IoSlice::new(&piece.as_bytes(py)[skip..]);
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// Forgets `count` bytes, which were sent.
    pub(super) fn advance(&mut self, py: Python<'_>, count: usize) {
        self.length -= count;
        self.sent += count;
        while let Some(first) = self.pieces.front() {
            let length = first.as_bytes(py).len();
            if self.sent < length {
                return;
            }
            self.sent -= length;
            // A byte string has no finalizer: dropping it runs no Python code.
            self.pieces.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
