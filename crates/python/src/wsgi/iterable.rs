//! What an application returned, as a response: piece by piece (PEP 3333 §Specification Details).

use super::{
    closing::{Closer, Closing},
    facts,
    file::file_of,
    head::piece,
    response_sender::Whole,
    start_response::StartResponse,
};
use crate::{
    logging::request_error,
    response::{Broken, Head, WrongLength},
};
use bytes::Bytes;
use hostler_eventloop::forked::exit_if_forked;
use hostler_http::{FileBody, RequestFacts};
use pyo3::{
    prelude::*,
    types::{PyDict, PyIterator, PyList, PyTuple},
};
use std::sync::Arc;

/// How far a response has come.
pub(super) enum Step {
    /// The application has given nothing but empty pieces so far.
    Empty(ResponseIter),
    /// It is complete.
    Whole(Head, Whole, Closing),
    File(Head, FileBody, Closing),
    /// The first piece; more may follow.
    Stream(Head, Bytes, ResponseIter),
    /// `write()` has begun it.
    Started(ResponseIter),
    /// The application failed after `write()` had begun it in place.
    Broken,
}

/// Calls the application and looks at the first piece of what it returns.
pub(super) fn begin(
    start_response: &Bound<'_, StartResponse>,
    app: &Bound<'_, PyAny>,
    environ: &Bound<'_, PyDict>,
    later: Option<&Arc<Closer>>,
) -> PyResult<Step> {
    let (py, this) = (start_response.py(), start_response.get());
    let result = exit_if_forked(py, app.call1((environ, start_response)))?;
    let closing = Closing::of(&result, (environ, this.began), later);
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
    let mut rest = ResponseIter::new((start_response, environ), &result, closing)?;
    if head_sent {
        rest.follow(&this.begin(py)?, this);
        return Ok(Step::Started(rest));
    }
    rest.begin(py)
}

/// In place: what is to be done when the application failed after `write()` had sent the head, which is logged here.
pub(super) fn broken_if_begun(
    py: Python<'_>,
    start_response: &StartResponse,
    step: PyResult<Step>,
) -> PyResult<Step> {
    match step {
        Err(error) if start_response.is_begun(py) => {
            let facts = RequestFacts::in_flight(start_response.began);
            request_error(py, "the WSGI application raised in the middle of its response", &error, &facts);
            start_response.fail(py);
            Ok(Step::Broken)
        }
        step => step,
    }
}

/// The pieces of a list or tuple.
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

fn whole(start_response: &StartResponse, head: Head, body: Bytes, closing: Closing) -> PyResult<Step> {
    let bodiless = head.is_bodiless(start_response.head_request);
    head.check_length(body.len() as u64, bodiless)?;
    let body = if bodiless && head.length.is_some() { Whole::Nothing } else { Whole::Bytes(body) };
    Ok(Step::Whole(head, body, closing))
}

fn file(
    start_response: &StartResponse,
    mut head: Head,
    mut pieces: FileBody,
    closing: Closing,
) -> PyResult<Step> {
    if head.is_bodiless(start_response.head_request) {
        if head.length.is_none() {
            head.set_length(pieces.left());
        }
        head.in_place_of_file = true;
        return Ok(Step::Whole(head, Whole::Nothing, closing));
    }
    match head.length {
        Some(announced) if announced > pieces.left() => {
            return Err(WrongLength::TooShort { sent: pieces.left(), announced }.into());
        }
        Some(length) => pieces.limit(length),
        None => {}
    }
    Ok(Step::File(head, pieces, closing))
}

/// The rest of an iterable, which is closed when this is dropped.
pub(crate) struct ResponseIter {
    iterator: Py<PyIterator>,
    start_response: Py<StartResponse>,
    environ: Py<PyDict>,
    closing: Closing,
    bodiless: bool,
    /// All of it is there: asking for it has no effect.
    in_memory: bool,
}

impl ResponseIter {
    fn new(
        (start_response, environ): (&Bound<'_, StartResponse>, &Bound<'_, PyDict>),
        result: &Bound<'_, PyAny>,
        closing: Closing,
    ) -> PyResult<Self> {
        Ok(Self {
            iterator: result.try_iter()?.unbind(),
            start_response: start_response.clone().unbind(),
            environ: environ.clone().unbind(),
            closing,
            bodiless: false,
            in_memory: result.is_exact_instance_of::<PyList>() || result.is_exact_instance_of::<PyTuple>(),
        })
    }

    /// What the log says of the request.
    fn facts(&self, py: Python<'_>) -> RequestFacts {
        facts::of(self.environ.bind(py), self.start_response.get().began)
    }

    /// In place: asks for one more piece; a failure after `write()` has begun the response is logged.
    pub(super) fn begin_in_place(self, py: Python<'_>) -> PyResult<Step> {
        let start_response = self.start_response.clone_ref(py);
        broken_if_begun(py, start_response.get(), self.begin(py))
    }

    /// Asks for one more piece and begins the response with it, unless it is empty.
    pub(super) fn begin(mut self, py: Python<'_>) -> PyResult<Step> {
        let start_response = self.start_response.clone_ref(py);
        let start_response = start_response.get();
        let first = self.ask(py)?;
        if start_response.is_begun(py) {
            // The iterable has called `write()` before its first piece.
            self.follow(&start_response.begin(py)?, start_response);
            start_response.keep(py, first);
            return Ok(Step::Started(self));
        }
        let Some(first) = first else {
            return whole(start_response, start_response.begin(py)?, Bytes::new(), self.closing);
        };
        if first.is_empty() {
            return Ok(Step::Empty(self));
        }
        let head = start_response.begin(py)?;
        if head.is_bodiless(start_response.head_request) {
            let body = if head.length.is_some() { Whole::Nothing } else { Whole::Unknown };
            return Ok(Step::Whole(head, body, self.closing));
        }
        self.follow(&head, start_response);
        start_response.count(py, &first)?;
        if self.start_response.get().is_complete(py) {
            return Ok(Step::Whole(head, Whole::Bytes(first), self.closing));
        }
        Ok(Step::Stream(head, first, self))
    }

    /// Goes on after a head that `write()` may have sent with the beginning of the body.
    fn follow(&mut self, head: &Head, start_response: &StartResponse) {
        self.bodiless = head.is_bodiless(start_response.head_request);
    }

    /// Sends the next piece of a response that `write()` has begun in place; whether there may be more.
    pub(super) fn go_on(&mut self, py: Python<'_>) -> bool {
        match self.next(py) {
            Some(Ok(piece)) => self.start_response.get().go_on(py, Some(&piece)),
            None => self.start_response.get().go_on(py, None),
            Some(Err(Broken)) => {
                self.start_response.get().fail(py);
                false
            }
        }
    }

    /// The next piece, which may be empty; failures are logged here.
    pub(super) fn next(&mut self, py: Python<'_>) -> Option<Result<Bytes, Broken>> {
        match self.try_next(py) {
            Ok(piece) => piece.map(Ok),
            Err(error) => {
                let what = "the WSGI application failed in the middle of its response";
                request_error(py, what, &error, &self.facts(py));
                Some(Err(Broken))
            }
        }
    }

    fn try_next(&mut self, py: Python<'_>) -> PyResult<Option<Bytes>> {
        if self.bodiless {
            return Ok(None);
        }
        if self.start_response.get().is_complete(py) {
            self.check_excess(py);
            return Ok(None);
        }
        let Some(piece) = self.ask(py)? else {
            self.start_response.get().check_end(py)?;
            return Ok(None);
        };
        self.start_response.get().count(py, &piece)?;
        Ok(Some(piece))
    }

    /// As much was sent as was announced: logs that there is more, as far as that is known without asking the application, which
    /// is not to be iterated over any further (PEP 3333 §Handling the Content-Length Header).
    fn check_excess(&self, py: Python<'_>) {
        let this = self.start_response.get();
        let mut excess: usize = this.take_written(py).iter().map(Bytes::len).sum();
        if self.in_memory {
            let pieces = self.iterator.bind(py).clone().filter_map(|data| piece(&data.ok()?).ok());
            excess += pieces.map(|piece| piece.len()).sum::<usize>();
        }
        let Err(WrongLength::TooLong { sent, announced }) = this.check_more(py, excess as u64) else {
            return;
        };
        let RequestFacts { method, path, client, request_id, worker, pid } = self.facts(py);
        tracing::error!(
            sent,
            announced,
            method,
            path,
            client,
            request_id,
            worker,
            pid,
            "a response of the WSGI application is longer than its Content-Length: the rest is not sent"
        );
    }

    /// What `write()` got in place, else the iterable's next piece.
    fn ask(&mut self, py: Python<'_>) -> PyResult<Option<Bytes>> {
        let start_response = self.start_response.get();
        let written = start_response.take_written(py);
        if !written.is_empty() {
            return Ok(Some(concat(written, Vec::new())));
        }
        let next = self.iterator.bind(py).clone().next().transpose()?;
        let next = next.map(|data| piece(&data)).transpose()?;
        let written = start_response.take_written(py);
        if written.is_empty() {
            return Ok(next);
        }
        Ok(Some(concat(written, next.into_iter().collect())))
    }
}
