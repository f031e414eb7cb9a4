//! Calling the application and following its iterable.

use super::{
    Shared,
    body::{Broken, WsgiBody},
    environ::ConnectionEnviron,
    exchange::{Exchange, piece},
    input,
    pool::{Job, Line, Running},
};
use crate::{
    logging::application_error,
    response::{FilePieces, Head, wrong_length},
};
use bytes::Bytes;
use hostler_http::{Aborted, RequestBody};
use hyper::{Method, Request, Response, StatusCode, header};
use pyo3::sync::PyOnceLock;
use pyo3::{
    exceptions::PyRuntimeError,
    intern,
    prelude::*,
    types::{PyDict, PyIterator, PyList, PyTuple},
};
use std::{os::fd::RawFd, rc::Rc};

/// Answers a request on this thread: reads the whole body, then calls.
pub(super) async fn in_place(
    shared: Rc<Shared>,
    connection: Rc<ConnectionEnviron>,
    request: Request<RequestBody>,
) -> Result<Response<WsgiBody>, Aborted> {
    let (head, body) = request.into_parts();
    let stored = input::store(body).await.map_err(|error| {
        tracing::debug!(%error, "the request's body did not arrive whole");
        Aborted
    })?;
    let request = Request::from_parts(head, ());
    Python::attach(|py| {
        let exchange = Exchange::new(request.method() == Method::HEAD, None);
        let begun = Bound::new(py, exchange).and_then(|exchange| {
            let environ = connection.of(py, &shared, &request, stored.into_python(py)?)?;
            begin(&exchange, shared.app.bind(py), &environ)
        });
        Ok(match begun {
            Ok(Begun::Whole(head, body)) => response(head, WsgiBody::Whole(body)),
            Ok(Begun::Stream(head, first, rest)) => {
                response(head, WsgiBody::Pulled { first: Some(first), rest: Some(rest) })
            }
            Ok(Begun::File(head, pieces, closing)) => {
                response(head, WsgiBody::File { pieces, _closing: closing })
            }
            Err(error) => {
                application_error(py, "the WSGI application raised before its response began", &error);
                internal_error()
            }
        })
    })
}

/// Answers a request on a thread of the pool.
pub(super) async fn in_pool(
    shared: Rc<Shared>,
    connection: Rc<ConnectionEnviron>,
    request: Request<RequestBody>,
    running: Running,
) -> Result<Response<WsgiBody>, Aborted> {
    let (head, body) = request.into_parts();
    let feed = input::feed(body);
    let request = Request::from_parts(head, ());
    let (line, answer) = Line::new();
    let queued = Python::attach(|py| {
        let exchange = Exchange::new(request.method() == Method::HEAD, Some(line));
        let exchange = Bound::new(py, exchange)?;
        let environ = connection.of(py, &shared, &request, feed.into_python(py)?)?;
        let job = Job::new(running, shared.app.clone_ref(py), environ.unbind(), exchange.unbind());
        match &shared.jobs {
            Some(jobs) => {
                jobs.queue(job);
                Ok(())
            }
            None => Err(PyRuntimeError::new_err("there is no pool")),
        }
    });
    if let Err(error) = queued {
        Python::attach(|py| application_error(py, "a WSGI request could not be begun", &error));
        return Ok(internal_error());
    }
    Ok(answer.await.unwrap_or_else(|_| internal_error()))
}

/// The answer as far as it is known after the first piece of its body.
pub(super) enum Begun {
    Whole(Head, Option<Bytes>),
    Stream(Head, Bytes, Rest),
    File(Head, FilePieces, Closing),
}

/// Calls the application and takes its iterable up to the first piece that is not empty.
pub(super) fn begin(
    exchange: &Bound<'_, Exchange>,
    app: &Bound<'_, PyAny>,
    environ: &Bound<'_, PyDict>,
) -> PyResult<Begun> {
    let py = exchange.py();
    let result = app.call1((environ, exchange))?;
    let mut closing = Closing(Some(result.clone().unbind()));
    if let Some(whole) = in_memory(&result)? {
        let body = concat(exchange.get().take_written(py), whole);
        let head = exchange.get().begin(py)?;
        return whole_answer(exchange, head, body);
    }
    if exchange.get().has_sent_nothing(py)
        && let Some(pieces) = file_of(&result)?
    {
        let head = exchange.get().begin(py)?;
        return file_answer(exchange, head, pieces, closing);
    }
    let iterator = result.try_iter()?;
    let mut first = exchange.get().take_written(py);
    while first.iter().all(Bytes::is_empty) {
        match iterator.clone().next() {
            Some(data) => first.push(piece(&data?)?),
            None => {
                let head = exchange.get().begin(py)?;
                return whole_answer(exchange, head, Bytes::new());
            }
        }
    }
    let head = exchange.get().begin(py)?;
    let mut rest = Rest::new(exchange, iterator, closing.0.take(), &head);
    let first = rest.admit(concat(first, Bytes::new()))?;
    Ok(Begun::Stream(head, first, rest))
}

/// The body of a list or tuple, which is all there already.
fn in_memory(result: &Bound<'_, PyAny>) -> PyResult<Option<Bytes>> {
    let pieces: Vec<Bytes> = if let Ok(list) = result.cast_exact::<PyList>() {
        list.iter().map(|data| piece(&data)).collect::<PyResult<_>>()?
    } else if let Ok(tuple) = result.cast_exact::<PyTuple>() {
        tuple.iter().map(|data| piece(&data)).collect::<PyResult<_>>()?
    } else {
        return Ok(None);
    };
    Ok(Some(concat(pieces, Bytes::new())))
}

/// The file of a `wsgi.file_wrapper`, if it is a regular file whose position is known (PEP 3333 §Optional
/// Platform-Specific File Handling).
fn file_of(result: &Bound<'_, PyAny>) -> PyResult<Option<FilePieces>> {
    let py = result.py();
    static WRAPPER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let wrapper = WRAPPER.import(py, "hostler._wsgi", "FileWrapper")?;
    if !result.get_type().is(wrapper) {
        return Ok(None);
    }
    let file = result.getattr(intern!(py, "filelike"))?;
    let place = || -> PyResult<(RawFd, u64)> {
        let descriptor = file.call_method0(intern!(py, "fileno"))?.extract()?;
        Ok((descriptor, file.call_method0(intern!(py, "tell"))?.extract()?))
    };
    let Ok((descriptor, start)) = place() else { return Ok(None) };
    Ok(FilePieces::of_number(descriptor, start)?)
}

fn file_answer(
    exchange: &Bound<'_, Exchange>,
    mut head: Head,
    mut pieces: FilePieces,
    closing: Closing,
) -> PyResult<Begun> {
    if head.is_bodiless(exchange.get().head_request) {
        head.headers.insert(header::CONTENT_LENGTH, pieces.left().into());
        return Ok(Begun::Whole(head, None));
    }
    match head.length {
        Some(length) if length > pieces.left() => return Err(wrong_length(pieces.left(), length)),
        Some(length) => pieces.limit(length),
        None => {}
    }
    Ok(Begun::File(head, pieces, closing))
}

fn concat(mut pieces: Vec<Bytes>, last: Bytes) -> Bytes {
    pieces.push(last);
    pieces.retain(|piece| !piece.is_empty());
    match pieces.len() {
        0 => Bytes::new(),
        1 => pieces.remove(0),
        _ => Bytes::from(pieces.concat()),
    }
}

fn whole_answer(exchange: &Bound<'_, Exchange>, head: Head, body: Bytes) -> PyResult<Begun> {
    let bodiless = head.is_bodiless(exchange.get().head_request);
    let size = exchange.get().sent(exchange.py()) + body.len() as u64;
    if let Some(length) = head.length.filter(|length| !bodiless && *length != size) {
        let text = format!("the response body has {size} bytes, but Content-Length says {length}");
        return Err(PyRuntimeError::new_err(text));
    }
    let body = if bodiless && head.length.is_some() { None } else { Some(body) };
    Ok(Begun::Whole(head, body))
}

/// The rest of an iterable, and the duty to close it.
pub(crate) struct Rest {
    iterator: Py<PyIterator>,
    exchange: Py<Exchange>,
    _closing: Closing,
    announced: Option<u64>,
    sent: u64,
    bodiless: bool,
}

impl Rest {
    fn new(
        exchange: &Bound<'_, Exchange>,
        iterator: Bound<'_, PyIterator>,
        result: Option<Py<PyAny>>,
        head: &Head,
    ) -> Self {
        Self {
            iterator: iterator.unbind(),
            exchange: exchange.clone().unbind(),
            _closing: Closing(result),
            announced: head.length,
            sent: exchange.get().sent(exchange.py()),
            bodiless: head.is_bodiless(exchange.get().head_request),
        }
    }

    /// The next piece that is not empty; failures are logged here.
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
        loop {
            let next = self.iterator.bind(py).clone().next().transpose()?;
            let mut pieces = self.exchange.get().take_written(py);
            let Some(next) = next else { return self.finish().map(|()| None) };
            pieces.push(piece(&next)?);
            let admitted = self.admit(concat(pieces, Bytes::new()))?;
            if !admitted.is_empty() {
                return Ok(Some(admitted));
            }
        }
    }

    /// Counts a piece against Content-Length; more than that is refused. Bodiless answers lose theirs.
    fn admit(&mut self, piece: Bytes) -> PyResult<Bytes> {
        if self.bodiless {
            return Ok(Bytes::new());
        }
        self.sent += piece.len() as u64;
        match self.announced {
            Some(announced) if self.sent > announced => Err(PyRuntimeError::new_err(format!(
                "the response body has {} bytes so far, but Content-Length says {announced}",
                self.sent
            ))),
            _ => Ok(piece),
        }
    }

    fn finish(&self) -> PyResult<()> {
        match self.announced {
            Some(announced) if !self.bodiless && self.sent < announced => {
                Err(PyRuntimeError::new_err(format!(
                    "the response body ended after {} bytes, but Content-Length says {announced}",
                    self.sent
                )))
            }
            _ => Ok(()),
        }
    }
}

/// Calls `close()` of the application's iterable when dropped, whatever happened before (PEP 3333).
pub(crate) struct Closing(Option<Py<PyAny>>);

impl Drop for Closing {
    fn drop(&mut self) {
        let Some(result) = self.0.take() else { return };
        Python::attach(|py| {
            let result = result.bind(py);
            let Ok(Some(close)) = result.getattr_opt(intern!(py, "close")) else { return };
            if let Err(error) = close.call0() {
                application_error(py, "close() of the WSGI application's iterable raised", &error);
            }
        });
    }
}

/// An answer as hyper wants it.
pub(super) fn response(head: Head, body: WsgiBody) -> Response<WsgiBody> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

pub(super) fn internal_error() -> Response<WsgiBody> {
    let mut answer = Response::new(WsgiBody::Whole(Some(Bytes::from_static(b"Internal Server Error"))));
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}
