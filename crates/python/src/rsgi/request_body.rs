//! A request's body as an RSGI application reads it: whole, or piece by piece.

use super::http_protocol::{HttpProtocol, ReadMode};
use crate::exchange::{BodyReader, Cut, HttpCall, pump};
use bytes::Bytes;
use hostler_eventloop::{Source, WaitQueue};
use pyo3::{exceptions::PyStopAsyncIteration, prelude::*, types::PyBytes};

/// `await protocol()`.
pub(super) struct Whole(pub(super) Py<HttpProtocol>);

/// `await anext(protocol)`.
pub(super) struct Pieces(pub(super) Py<HttpProtocol>);

impl Source for Whole {
    fn waiters(&self) -> &WaitQueue {
        &self.0.get().exchange.readers
    }

    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let protocol = self.0.get();
        if protocol.mode(py) == ReadMode::Taken {
            return Err(protocol.read_already(py));
        }
        let (looked, pieces, over) = protocol.exchange.with_body(py, |body| {
            let looked = body.look(true);
            (looked, body.take_all(), body.is_over())
        });
        match (looked, pieces) {
            (Err(Cut), _) => {
                protocol.body_cut(py);
                Err(protocol.unreadable(py))
            }
            (Ok(()), Some(pieces)) => {
                protocol.set_mode(py, ReadMode::Taken);
                protocol.drains(py);
                join(py, pieces.as_slices()).map(|body| Some(body.into_any()))
            }
            (Ok(()), None) if over => Err(protocol.unreadable(py)),
            (Ok(()), None) => Ok(None),
        }
    }

    fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.get().future(py)
    }

    fn request(&self, py: Python<'_>) -> PyResult<()> {
        pump(py, &self.0)
    }
}

impl Source for Pieces {
    fn waiters(&self) -> &WaitQueue {
        &self.0.get().exchange.readers
    }

    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let protocol = self.0.get();
        match protocol.exchange.with_body(py, next_piece) {
            Next::Piece(piece) => Ok(Some(PyBytes::new(py, &piece).into_any())),
            Next::Later => Ok(None),
            Next::End => {
                protocol.drains(py);
                Err(PyStopAsyncIteration::new_err(()))
            }
            Next::Closed => Err(protocol.unreadable(py)),
            Next::Cut => {
                protocol.body_cut(py);
                Err(protocol.unreadable(py))
            }
        }
    }

    fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.get().future(py)
    }

    fn request(&self, py: Python<'_>) -> PyResult<()> {
        pump(py, &self.0)
    }
}

enum Next {
    Piece(Bytes),
    Later,
    End,
    Closed,
    Cut,
}

/// The next piece that is not empty.
fn next_piece(reader: &mut BodyReader) -> Next {
    loop {
        if reader.look(false).is_err() {
            return Next::Cut;
        }
        match reader.take_piece() {
            Some((piece, _)) if piece.is_empty() => {}
            Some((piece, _)) => return Next::Piece(piece),
            None if reader.was_closed() => return Next::Closed,
            None if reader.is_over() => return Next::End,
            None => return Next::Later,
        }
    }
}

/// The pieces as one byte string.
fn join<'py>(py: Python<'py>, pieces: (&[Bytes], &[Bytes])) -> PyResult<Bound<'py, PyBytes>> {
    let pieces = || pieces.0.iter().chain(pieces.1);
    PyBytes::new_with(py, pieces().map(Bytes::len).sum(), |target| {
        let mut rest = target;
        for piece in pieces() {
            let (begin, end) = rest.split_at_mut(piece.len());
            begin.copy_from_slice(piece);
            rest = end;
        }
        Ok(())
    })
}
