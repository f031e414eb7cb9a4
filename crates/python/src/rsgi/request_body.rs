//! A request's body as an RSGI application reads it: whole, or piece by piece.

use super::Exchange;
use crate::{
    awaitable::Source,
    intake::{Cut, Intake, Reader},
    line::Line,
};
use bytes::Bytes;
use pyo3::{exceptions::PyStopAsyncIteration, prelude::*, types::PyBytes};

/// How the application reads. Who was cancelled can go on, in the same way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Untouched,
    /// All of it was asked for.
    Whole,
    /// It is iterated over.
    Pieces,
    /// Whoever asked for all of it has it.
    Taken,
}

/// `await protocol()`.
pub(super) struct Whole(pub(super) Py<Exchange>);

/// `await anext(protocol)`.
pub(super) struct Pieces(pub(super) Py<Exchange>);

impl Source for Whole {
    fn line(&self) -> &Line {
        &self.0.get().readers
    }

    fn look<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let exchange = self.0.get();
        if exchange.mode(py) == Mode::Taken {
            return Err(exchange.read_already(py));
        }
        let (looked, pieces, over) = self.0.intake(py, |intake| {
            let looked = intake.look(true);
            (looked, intake.take_all(), intake.is_over())
        });
        match (looked, pieces) {
            (Err(Cut), _) => {
                exchange.body_cut(py);
                Err(exchange.unreadable(py))
            }
            (Ok(()), Some(pieces)) => {
                exchange.set_mode(py, Mode::Taken);
                join(py, pieces.as_slices()).map(|body| Some(body.into_any()))
            }
            (Ok(()), None) if over => Err(exchange.unreadable(py)),
            (Ok(()), None) => Ok(None),
        }
    }

    fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.get().future(py)
    }

    fn fetch(&self, py: Python<'_>) -> PyResult<()> {
        self.0.pump(py)
    }
}

impl Source for Pieces {
    fn line(&self) -> &Line {
        &self.0.get().readers
    }

    fn look<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let exchange = self.0.get();
        match self.0.intake(py, next_piece) {
            Next::Piece(piece) => Ok(Some(PyBytes::new(py, &piece).into_any())),
            Next::Later => Ok(None),
            Next::End => Err(PyStopAsyncIteration::new_err(())),
            Next::Closed => Err(exchange.unreadable(py)),
            Next::Cut => {
                exchange.body_cut(py);
                Err(exchange.unreadable(py))
            }
        }
    }

    fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.get().future(py)
    }

    fn fetch(&self, py: Python<'_>) -> PyResult<()> {
        self.0.pump(py)
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
fn next_piece(intake: &mut Intake) -> Next {
    loop {
        if intake.look(false).is_err() {
            return Next::Cut;
        }
        match intake.take_piece() {
            Some((piece, _)) if piece.is_empty() => {}
            Some((piece, _)) => return Next::Piece(piece),
            None if intake.was_closed() => return Next::Closed,
            None if intake.is_over() => return Next::End,
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

impl Reader for Py<Exchange> {
    fn intake<R>(&self, py: Python<'_>, work: impl FnOnce(&mut Intake) -> R) -> R {
        self.get().with_intake(py, work)
    }

    fn line(&self) -> &Line {
        &self.get().readers
    }

    fn wants_all(&self, py: Python<'_>) -> bool {
        self.get().mode(py) == Mode::Whole
    }

    fn cut(&self, py: Python<'_>) {
        self.get().body_cut(py);
    }

    fn duplicate(&self, py: Python<'_>) -> Self {
        self.clone_ref(py)
    }
}
