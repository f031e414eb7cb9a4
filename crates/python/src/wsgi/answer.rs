//! From what an application returned to an answer, piece by piece (PEP 3333 §Specification Details).

use super::{
    body::Broken,
    closing::{Closer, Closing},
    exchange::{Exchange, piece},
    file::file_of,
};
use crate::{
    logging::application_error,
    response::{FilePieces, Head, wrong_length},
};
use bytes::Bytes;
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{PyDict, PyIterator, PyList, PyTuple},
};
use std::sync::Arc;

/// How far an answer has got.
pub(super) enum Step {
    /// The application has given nothing but empty pieces so far.
    Empty(Rest),
    /// All of it is there; no body is one whose length is not known.
    Whole(Head, Whole, Closing),
    File(Head, FilePieces, Closing),
    /// The first piece; more may follow.
    Stream(Head, Bytes, Rest),
    /// `write()` has begun it already.
    Begun(Rest),
    /// It failed after `write()` had begun it in place.
    Broken,
}

/// A body that is there.
pub(super) enum Whole {
    Bytes(Bytes),
    /// None, but its length is known from the head.
    Nothing,
    /// None, and a GET would have told how long it is (HEAD).
    Unknown,
}

/// Calls the application and looks at the first piece of what it returns.
pub(super) fn begin(
    exchange: &Bound<'_, Exchange>,
    app: &Bound<'_, PyAny>,
    environ: &Bound<'_, PyDict>,
    later: Option<&Arc<Closer>>,
) -> PyResult<Step> {
    let (py, this) = (exchange.py(), exchange.get());
    let result = crate::host::stay_out(py, app.call1((environ, exchange)))?;
    let closing = Closing::of(&result, later);
    let head_sent = this.is_begun(py);
    if !head_sent && let Some(pieces) = in_memory(&result)? {
        let body = concat(this.take_written(py), pieces);
        return whole(this, this.begin(py)?, body, closing);
    }
    if this.has_sent_nothing(py)
        && let Some(pieces) = file_of(&result)?
    {
        return file(this, this.begin(py)?, pieces, closing);
    }
    let mut rest = Rest::new(exchange, result.try_iter()?, closing);
    if head_sent {
        rest.follow(&this.begin(py)?, this);
        return Ok(Step::Begun(rest));
    }
    rest.begin(py)
}

/// The pieces of a list or tuple, which are all there already.
fn in_memory(result: &Bound<'_, PyAny>) -> PyResult<Option<Vec<Bytes>>> {
    if let Ok(list) = result.cast_exact::<PyList>() {
        return list.iter().map(|data| piece(&data)).collect::<PyResult<_>>().map(Some);
    }
    if let Ok(tuple) = result.cast_exact::<PyTuple>() {
        return tuple.iter().map(|data| piece(&data)).collect::<PyResult<_>>().map(Some);
    }
    Ok(None)
}

fn concat(mut before: Vec<Bytes>, mut pieces: Vec<Bytes>) -> Bytes {
    before.append(&mut pieces);
    before.retain(|piece| !piece.is_empty());
    match before.len() {
        0 => Bytes::new(),
        1 => before.remove(0),
        _ => Bytes::from(before.concat()),
    }
}

fn whole(exchange: &Exchange, head: Head, body: Bytes, closing: Closing) -> PyResult<Step> {
    let bodiless = head.is_bodiless(exchange.head_request);
    if let Some(length) = head.length.filter(|length| !bodiless && *length != body.len() as u64) {
        let size = body.len();
        let text = format!("the response body has {size} bytes, but Content-Length says {length}");
        return Err(PyRuntimeError::new_err(text));
    }
    let body = if bodiless && head.length.is_some() { Whole::Nothing } else { Whole::Bytes(body) };
    Ok(Step::Whole(head, body, closing))
}

fn file(exchange: &Exchange, mut head: Head, mut pieces: FilePieces, closing: Closing) -> PyResult<Step> {
    if head.is_bodiless(exchange.head_request) {
        head.set_length(pieces.left());
        return Ok(Step::Whole(head, Whole::Nothing, closing));
    }
    match head.length {
        Some(length) if length > pieces.left() => return Err(wrong_length(pieces.left(), length)),
        Some(length) => pieces.limit(length),
        None => {}
    }
    Ok(Step::File(head, pieces, closing))
}

/// The rest of an iterable, and the duty to close it.
pub(crate) struct Rest {
    iterator: Py<PyIterator>,
    exchange: Py<Exchange>,
    closing: Closing,
    announced: Option<u64>,
    /// Of the iterable's pieces; the exchange knows what `write()` sent.
    sent: u64,
    bodiless: bool,
}

impl Rest {
    fn new(exchange: &Bound<'_, Exchange>, iterator: Bound<'_, PyIterator>, closing: Closing) -> Self {
        let exchange = exchange.clone().unbind();
        Self { iterator: iterator.unbind(), exchange, closing, announced: None, sent: 0, bodiless: false }
    }

    /// Asks for one more piece and begins the answer with it, unless it is empty.
    pub(super) fn begin(mut self, py: Python<'_>) -> PyResult<Step> {
        let exchange = self.exchange.clone_ref(py);
        let exchange = exchange.get();
        let Some(first) = self.ask(py)? else {
            return whole(exchange, exchange.begin(py)?, Bytes::new(), self.closing);
        };
        if first.is_empty() {
            return Ok(Step::Empty(self));
        }
        let head = exchange.begin(py)?;
        if head.is_bodiless(exchange.head_request) {
            let body = if head.length.is_some() { Whole::Nothing } else { Whole::Unknown };
            return Ok(Step::Whole(head, body, self.closing));
        }
        self.follow(&head, exchange);
        self.count(py, &first)?;
        if self.is_all(py) {
            return Ok(Step::Whole(head, Whole::Bytes(first), self.closing));
        }
        Ok(Step::Stream(head, first, self))
    }

    /// Keeps to what a head says, which `write()` may have sent with the beginning of the body.
    fn follow(&mut self, head: &Head, exchange: &Exchange) {
        self.announced = head.length;
        self.bodiless = head.is_bodiless(exchange.head_request);
    }

    /// Sends the next piece of an answer that `write()` has begun in place; whether there may be more.
    pub(super) fn go_on(&mut self, py: Python<'_>) -> bool {
        match self.next(py) {
            Some(Ok(piece)) => self.exchange.get().go_on(py, Some(&piece)),
            None => self.exchange.get().go_on(py, None),
            Some(Err(Broken)) => false,
        }
    }

    /// The next piece, which may be empty; failures are logged here.
    pub(super) fn next(&mut self, py: Python<'_>) -> Option<Result<Bytes, Broken>> {
        match self.try_next(py) {
            Ok(piece) => piece.map(Ok),
            Err(error) => {
                application_error(py, "the WSGI application failed in the middle of its response", &error);
                Some(Err(Broken))
            }
        }
    }

    fn try_next(&mut self, py: Python<'_>) -> PyResult<Option<Bytes>> {
        if self.bodiless || self.is_all(py) {
            return Ok(None);
        }
        match self.ask(py)? {
            Some(piece) => self.count(py, &piece).map(|()| Some(piece)),
            None => self.finish(py).map(|()| None),
        }
    }

    /// What `write()` got in place, else the iterable's next piece.
    fn ask(&mut self, py: Python<'_>) -> PyResult<Option<Bytes>> {
        let exchange = self.exchange.get();
        let written = exchange.take_written(py);
        if !written.is_empty() {
            return Ok(Some(concat(written, Vec::new())));
        }
        let next = self.iterator.bind(py).clone().next().transpose()?;
        let next = next.map(|data| piece(&data)).transpose()?;
        let written = exchange.take_written(py);
        if written.is_empty() {
            return Ok(next);
        }
        Ok(Some(concat(written, next.into_iter().collect())))
    }

    /// Counts a piece against Content-Length; more than that is refused.
    fn count(&mut self, py: Python<'_>, piece: &Bytes) -> PyResult<()> {
        self.sent += piece.len() as u64;
        match self.announced {
            Some(announced) if self.total(py) > announced => Err(wrong_length(self.total(py), announced)),
            _ => Ok(()),
        }
    }

    fn total(&self, py: Python<'_>) -> u64 {
        self.sent + self.exchange.get().sent(py)
    }

    /// Whether as much was sent as was announced: no more is asked for then.
    fn is_all(&self, py: Python<'_>) -> bool {
        self.announced == Some(self.total(py))
    }

    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        let sent = self.total(py);
        match self.announced {
            Some(announced) if sent < announced => Err(PyRuntimeError::new_err(format!(
                "the response body ended after {sent} bytes, but Content-Length says {announced}"
            ))),
            _ => Ok(()),
        }
    }
}
