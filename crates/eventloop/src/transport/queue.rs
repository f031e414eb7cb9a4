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

    /// The next bytes to send, as many pieces as `parts` has room for; returns how many it filled.
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

#[cfg(test)]
mod tests {
    use super::{MAX_PARTS, Queue};
    use pyo3::{prelude::*, types::PyBytes};
    use std::io::IoSlice;

    fn waiting(py: Python<'_>, queue: &Queue) -> Vec<u8> {
        let mut parts = [IoSlice::new(&[]); MAX_PARTS];
        let filled = queue.fill(py, &mut parts);
        parts[..filled].iter().flat_map(|part| part.to_vec()).collect()
    }

    #[test]
    fn what_is_sent_in_part_continues_where_it_stopped() {
        Python::initialize();
        Python::attach(|py| {
            let mut queue = Queue::default();
            for piece in ["abc", "", "de", "f"] {
                queue.push(PyBytes::new(py, piece.as_bytes()), 0);
            }
            assert_eq!((queue.len(), waiting(py, &queue)), (6, b"abcdef".to_vec()));
            queue.advance(py, 4);
            assert_eq!((queue.len(), waiting(py, &queue)), (2, b"ef".to_vec()));
            queue.advance(py, 2);
            assert_eq!((queue.is_empty(), queue.len()), (true, 0));
        });
    }
}
