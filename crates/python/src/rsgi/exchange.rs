//! A request as the application holds it: its protocol object.
//!
//! ```text
//! Open ──response_*──► Answered        (further answers are ignored, and logged)
//!   └──response_stream──► Streaming ──transport dropped──► Answered
//! any ──client gone──► Gone
//! ```

use super::{
    connection::Connection,
    request_body::{Cut, Next, RequestBody, Whole, poll_piece},
    stream::StreamTransport,
};
use crate::{
    awaitable::{Finished, reject, resolve},
    eventloop::spawn_local,
    gil::GilCell,
    logging::application_error,
    response::{
        FilePieces, Head, Owner, ResponseBody, Slot, Stream, Streaming, bytes_of, internal_error, plain,
        response,
    },
    task::task_error,
};
use bytes::Bytes;
use hostler_http::RequestBody as Incoming;
use hyper::{Response, StatusCode, header::CONTENT_LENGTH};
use pyo3::{
    exceptions::{PyStopAsyncIteration, PyValueError, asyncio::CancelledError},
    intern,
    prelude::*,
    types::{PyBytes, PyString},
};
use std::{
    future::poll_fn,
    path::{Path, PathBuf},
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// `protocol` of a request.
#[pyclass(frozen, name = "HTTPProtocol", module = "hostler.rsgi")]
pub(crate) struct Exchange {
    state: GilCell<State>,
    body: RequestBody,
    connection: GilCell<Rc<Connection>>,
}

struct State {
    phase: Phase,
    answer: Slot,
    /// A response to HEAD has the headers alone.
    head_request: bool,
    /// The application's task: asyncio itself keeps only a weak reference.
    task: Option<Py<PyAny>>,
}

enum Phase {
    Open,
    Streaming(Rc<Stream>),
    Answered,
    Gone,
}

impl Exchange {
    pub(super) fn new(connection: Rc<Connection>, body: Incoming, head_request: bool) -> Self {
        let state = State { phase: Phase::Open, answer: Slot::default(), head_request, task: None };
        let connection = GilCell::new(connection);
        Self { state: GilCell::new(state), body: RequestBody::new(body), connection }
    }

    /// The answer, once there is one; otherwise `cx` is woken for it.
    pub(super) fn poll_answer(&self, py: Python<'_>, cx: &Context<'_>) -> Poll<Response<ResponseBody>> {
        self.state.with(py, |state| state.answer.poll(cx))
    }

    pub(super) fn keep_task(&self, py: Python<'_>, task: Bound<'_, PyAny>) {
        self.state.with(py, |state| state.task = Some(task.unbind()));
    }

    pub(super) fn connection(&self, py: Python<'_>) -> Rc<Connection> {
        self.connection.with(py, |connection| Rc::clone(connection))
    }

    pub(super) fn is_streaming(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| matches!(state.phase, Phase::Streaming(_)))
    }

    /// The application returned (`None`) or raised.
    pub(super) fn application_ended(&self, py: Python<'_>, error: Option<PyErr>) {
        let task = self.state.with(py, |state| state.task.take());
        drop(task);
        let (place, stream) = self.state.with(py, |state| match &state.phase {
            Phase::Open => ("before it sent a response", None),
            Phase::Streaming(stream) => ("in the middle of its response", Some(Rc::clone(stream))),
            Phase::Answered => ("after its response was complete", None),
            Phase::Gone => ("after the client had gone", None),
        });
        if let Some(error) = &error
            && !self.is_expected(py, error)
        {
            application_error(py, &format!("the RSGI application raised {place}"), error);
        }
        let failed = error.is_some();
        if let Some(stream) = stream.filter(|_| failed) {
            stream.fail(py);
        }
        if self.state.with(py, |state| matches!(state.phase, Phase::Open)) {
            if !failed {
                tracing::error!("the RSGI application returned {place}");
            }
            self.put(py, internal_error(), Phase::Answered);
        }
    }

    /// What an application may well raise when its client is gone.
    fn is_expected(&self, py: Python<'_>, error: &PyErr) -> bool {
        let gone = self.state.with(py, |state| matches!(state.phase, Phase::Gone));
        let connection = self.connection(py);
        gone && (connection.shared.errors.is_gone(py, error) || error.is_instance_of::<CancelledError>(py))
    }

    /// hyper let go of the answer before it was complete: the client is gone.
    pub(super) fn client_gone(&self, py: Python<'_>) {
        let before = self.state.with(py, |state| std::mem::replace(&mut state.phase, Phase::Gone));
        if let Phase::Streaming(stream) = before {
            for writer in stream.abandon(py) {
                reject(writer.bind(py), self.connection(py).shared.errors.gone(py));
            }
        }
    }

    /// Cancels the application's task, whose client is answered otherwise.
    pub(super) fn cancel(&self, py: Python<'_>) {
        self.client_gone(py);
        let task = self.state.with(py, |state| state.task.as_ref().map(|task| task.clone_ref(py)));
        if let Some(task) = task
            && let Err(error) = task.bind(py).call_method0(intern!(py, "cancel"))
        {
            application_error(py, "a request's task could not be cancelled", &error);
        }
    }

    fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.connection(py).shared.tasks.future(py)
    }

    fn put(&self, py: Python<'_>, answer: Response<ResponseBody>, phase: Phase) {
        let waiting = self.state.with(py, |state| {
            state.phase = phase;
            state.answer.put(answer)
        });
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    /// Whether an answer is still wanted. The first one counts, as in Granian; a second is a mistake to know about.
    fn is_open(&self, py: Python<'_>) -> bool {
        let (open, mistake) = self.state.with(py, |state| match state.phase {
            Phase::Open => (true, false),
            Phase::Gone => (false, false),
            Phase::Streaming(_) | Phase::Answered => (false, true),
        });
        if mistake {
            tracing::warn!("the RSGI application answered a request twice: the second answer is ignored");
        }
        open
    }

    fn head_request(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.head_request)
    }

    fn whole(
        &self,
        py: Python<'_>,
        status: u16,
        headers: Option<&Bound<'_, PyAny>>,
        body: Bytes,
    ) -> PyResult<()> {
        if !self.is_open(py) {
            return Ok(());
        }
        let head = head(status, headers)?;
        let bodiless = head.is_bodiless(self.head_request(py));
        head.check_length(body.len() as u64, bodiless)?;
        // To HEAD, the length is that of the body that GET would get (RFC 9110 §9.3.2).
        let body = if bodiless && head.length.is_some() { None } else { Some(body) };
        self.put(py, response(head, ResponseBody::Whole(body)), Phase::Answered);
        Ok(())
    }

    fn file(
        &self,
        py: Python<'_>,
        status: u16,
        headers: Option<&Bound<'_, PyAny>>,
        path: &Path,
        range: (u64, u64),
    ) -> PyResult<()> {
        if !self.is_open(py) {
            return Ok(());
        }
        let mut head = head(status, headers)?;
        let (pieces, length) = match FilePieces::open_range(path, range.0, range.1) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a file of the RSGI application cannot be sent: 404");
                self.put(py, plain(StatusCode::NOT_FOUND, "Not Found"), Phase::Answered);
                return Ok(());
            }
        };
        if head.length.is_some_and(|announced| announced != length) {
            tracing::warn!(path = %path.display(), length, "Content-Length was corrected to what the file has");
        }
        head.headers.insert(CONTENT_LENGTH, length.into());
        let body = match head.is_bodiless(self.head_request(py)) {
            true => ResponseBody::Whole(None),
            false => ResponseBody::File(pieces),
        };
        self.put(py, response(head, body), Phase::Answered);
        Ok(())
    }

    /// Reads the next piece for whoever waits for it then, in a task of the runtime.
    async fn read_on(slf: Py<Self>, mut body: Incoming) {
        let piece = poll_fn(|cx| poll_piece(&mut body, cx)).await;
        Python::attach(|py| {
            let this = slf.get();
            let body = if matches!(piece, Some(Ok(_))) { Some(body) } else { None };
            let read = piece.as_ref().and_then(|piece| piece.as_ref().ok());
            let Some(future) = this.body.give_back(py, body, read) else { return };
            match piece {
                Some(Ok(piece)) => resolve(future.bind(py), PyBytes::new(py, &piece).into_any()),
                Some(Err(Cut)) => reject(future.bind(py), this.connection(py).shared.errors.gone(py)),
                None => reject(future.bind(py), PyStopAsyncIteration::new_err(())),
            }
        });
    }

    /// Reads the rest of a body for `future`, in a task of the runtime.
    async fn collect_for(slf: Py<Self>, mut whole: Whole, future: Py<PyAny>) {
        let arrived = whole.arrive().await;
        Python::attach(|py| {
            let future = future.bind(py);
            match arrived.map(|()| whole.join(py)) {
                Ok(Ok(body)) => resolve(future, body.into_any()),
                Ok(Err(error)) => reject(future, error),
                Err(Cut) => reject(future, slf.get().connection(py).shared.errors.gone(py)),
            }
        });
    }
}

fn head(status: u16, headers: Option<&Bound<'_, PyAny>>) -> PyResult<Head> {
    match headers {
        Some(headers) => Head::of_strings(status, headers),
        None => Head::of(status)
            .ok_or_else(|| PyValueError::new_err(format!("{status} is not the status of a final response"))),
    }
}

impl Owner for Py<Exchange> {
    fn let_go(&self, py: Python<'_>, complete: bool) {
        if !complete {
            self.get().client_gone(py);
        }
    }
}

#[pymethods]
impl Exchange {
    /// Awaits the whole body.
    fn __call__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let Some(mut whole) = this.body.take(py) else {
            let errors = &this.connection(py).shared.errors;
            return Err(errors.wrong(py, "the request's body was read already"));
        };
        match whole.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Finished::with(py, whole.join(py)?.into_any()),
            Poll::Ready(Err(Cut)) => Err(this.connection(py).shared.errors.gone(py)),
            Poll::Pending => {
                let future = this.future(py)?;
                let task = Self::collect_for(slf.clone().unbind(), whole, future.clone().unbind());
                spawn_local(task);
                Ok(future)
            }
        }
    }

    /// Iterates over the body's pieces as they arrive.
    fn __aiter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let (py, this) = (slf.py(), slf.get());
        match this.body.iterate(py) {
            true => Ok(slf.clone()),
            false => Err(this.connection(py).shared.errors.wrong(py, "the request's body was read already")),
        }
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        match this.body.next(py) {
            Next::Piece(piece) => Finished::with(py, PyBytes::new(py, &piece).into_any()),
            Next::End => Err(PyStopAsyncIteration::new_err(())),
            Next::Cut => Err(this.connection(py).shared.errors.gone(py)),
            Next::Later => {
                let future = this.future(py)?;
                if let Some(body) = this.body.lend(py, future.clone().unbind()) {
                    spawn_local(Self::read_on(slf.clone().unbind(), body));
                }
                Ok(future)
            }
            Next::Busy => {
                let future = this.future(py)?;
                if this.body.wait_instead(py, &future) {
                    return Ok(future);
                }
                let text = "the next piece of the request's body is awaited already";
                Err(this.connection(py).shared.errors.wrong(py, text))
            }
        }
    }

    /// A future that is finished when the client has disconnected.
    fn client_disconnect<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let future = this.future(py)?;
        if this.state.with(py, |state| matches!(state.phase, Phase::Gone)) {
            resolve(&future, py.None().into_bound(py));
            return Ok(future);
        }
        let connection = this.connection(py);
        let watchers = connection.watchers();
        watchers.add(py, &connection.shared, future.clone().unbind(), slf.clone().unbind());
        Ok(future)
    }

    #[pyo3(signature = (status = 200, headers = None))]
    fn response_empty(
        &self,
        py: Python<'_>,
        status: u16,
        headers: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.whole(py, status, headers, Bytes::new())
    }

    #[pyo3(signature = (status = 200, headers = None, body = None))]
    fn response_str(
        &self,
        py: Python<'_>,
        status: u16,
        headers: Option<&Bound<'_, PyAny>>,
        body: Option<&Bound<'_, PyString>>,
    ) -> PyResult<()> {
        let body = match body {
            Some(text) => Bytes::copy_from_slice(text.to_str()?.as_bytes()),
            None => Bytes::new(),
        };
        self.whole(py, status, headers, body)
    }

    #[pyo3(signature = (status = 200, headers = None, body = None))]
    fn response_bytes(
        &self,
        py: Python<'_>,
        status: u16,
        headers: Option<&Bound<'_, PyAny>>,
        body: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let body = body.map_or_else(|| Ok(Bytes::new()), bytes_of)?;
        self.whole(py, status, headers, body)
    }

    fn response_file(
        &self,
        py: Python<'_>,
        status: u16,
        headers: &Bound<'_, PyAny>,
        file: PathBuf,
    ) -> PyResult<()> {
        self.file(py, status, Some(headers), &file, (0, u64::MAX))
    }

    /// The bytes from `start` to before `end`.
    fn response_file_range(
        &self,
        py: Python<'_>,
        status: u16,
        headers: &Bound<'_, PyAny>,
        file: PathBuf,
        start: u64,
        end: u64,
    ) -> PyResult<()> {
        if start >= end {
            return Err(PyValueError::new_err(format!("a range from {start} to before {end} is empty")));
        }
        self.file(py, status, Some(headers), &file, (start, end))
    }

    #[pyo3(signature = (status = 200, headers = None))]
    fn response_stream<'py>(
        slf: &Bound<'py, Self>,
        status: u16,
        headers: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, StreamTransport>> {
        let (py, this) = (slf.py(), slf.get());
        let connection = this.connection(py);
        if !this.state.with(py, |state| matches!(state.phase, Phase::Open)) {
            return Err(connection.shared.errors.wrong(py, "the request was answered already"));
        }
        let head = head(status, headers)?;
        let bodiless = head.is_bodiless(this.head_request(py));
        let stream = Stream::new();
        let transport = StreamTransport::new(Rc::clone(&stream), slf.clone().unbind(), head.length, bodiless);
        let owner = Box::new(slf.clone().unbind());
        let body = ResponseBody::Stream(Streaming { stream: Rc::clone(&stream), owner });
        this.put(py, response(head, body), Phase::Streaming(stream));
        Bound::new(py, transport)
    }

    /// Called when the application's task is done, unless it was done at once.
    fn _task_done(&self, py: Python<'_>, task: &Bound<'_, PyAny>) {
        self.application_ended(py, task_error(task));
    }
}
