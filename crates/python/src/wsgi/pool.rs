//! The pool: persistent Python threads that call the application, one queue for all.

use super::{
    body::{Broken, WsgiBody},
    call::{Begun, begin, internal_error, response},
    exchange::Exchange,
};
use crate::{calls, logging::application_error, response::Head};
use bytes::Bytes;
use hyper::Response;
use pyo3::{prelude::*, types::PyDict};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use tokio::sync::{mpsc, oneshot};

/// How many pieces of an answer wait for hyper before the application's thread does.
const PIECES_AHEAD: usize = 4;

/// The queue of requests; `python/hostler/_wsgi.py` starts the threads that serve it.
#[pyclass(frozen, module = "hostler")]
#[derive(Clone)]
pub struct Jobs {
    sender: crossbeam_channel::Sender<Job>,
    receiver: crossbeam_channel::Receiver<Job>,
}

#[pymethods]
impl Jobs {
    #[new]
    fn new() -> Self {
        let (sender, receiver) = crossbeam_channel::unbounded();
        Self { sender, receiver }
    }

    /// Waits for a request without the GIL, and answers it.
    fn serve_one(&self, py: Python<'_>) {
        if let Ok(job) = py.detach(|| self.receiver.recv()) {
            job.run(py);
        }
    }
}

impl Jobs {
    pub(super) fn queue(&self, job: Job) {
        // The receiver lives as long as the sender: both are in `self`.
        let _ = self.sender.send(job);
    }
}

/// Which thread runs a request's application, while one does. Looked at and changed with the GIL only.
#[derive(Clone, Default)]
pub(super) struct Running(Arc<AtomicU64>);

impl Running {
    fn begin(&self) {
        self.0.store(calls::thread_ident(), Relaxed);
    }

    fn end(&self) {
        self.0.store(0, Relaxed);
    }

    /// Raises `hostler.RequestTimeout` in the thread, as soon as it runs Python code.
    pub(super) fn interrupt(&self, py: Python<'_>) {
        let thread = self.0.load(Relaxed);
        if thread == 0 {
            return;
        }
        match py.import("hostler").and_then(|module| module.getattr("RequestTimeout")) {
            Ok(exception) => calls::raise_in_thread(thread, &exception),
            Err(error) => tracing::warn!(%error, "a request that took too long goes on"),
        }
    }
}

/// A request for the pool.
pub(super) struct Job {
    running: Running,
    app: Py<PyAny>,
    environ: Py<PyDict>,
    exchange: Py<Exchange>,
}

impl Job {
    pub(super) fn new(running: Running, app: Py<PyAny>, environ: Py<PyDict>, exchange: Py<Exchange>) -> Self {
        Self { running, app, environ, exchange }
    }

    fn run(self, py: Python<'_>) {
        let exchange = self.exchange.bind(py);
        self.running.begin();
        let begun = begin(exchange, self.app.bind(py), self.environ.bind(py));
        self.running.end();
        let Some(mut line) = exchange.get().take_line(py) else { return };
        match begun {
            Ok(Begun::Whole(head, body)) if !line.has_begun() => {
                line.answer(response(head, WsgiBody::Whole(body)))
            }
            Ok(Begun::Whole(_, body)) => line.send_last(py, body),
            Ok(Begun::File(head, pieces, closing)) => {
                line.answer(response(head, WsgiBody::File { pieces, _closing: closing }));
            }
            Ok(Begun::Stream(head, first, mut rest)) => {
                if !line.has_begun() {
                    line.begin(head, exchange.get().head_request);
                }
                let mut next = Some(Ok(first));
                while let Some(piece) = next {
                    if line.send_result(py, piece).is_err() {
                        return;
                    }
                    next = rest.next(py);
                }
            }
            Err(error) => {
                if line.has_begun() {
                    application_error(
                        py,
                        "the WSGI application raised in the middle of its response",
                        &error,
                    );
                    let _ = line.send_result(py, Err(Broken));
                } else {
                    application_error(py, "the WSGI application raised before its response began", &error);
                    line.answer(internal_error());
                }
            }
        }
    }
}

/// From a thread of the pool to hyper: first the answer's head, then pieces of its body.
pub(super) struct Line {
    answer: Option<oneshot::Sender<Response<WsgiBody>>>,
    pieces: Option<mpsc::Sender<Result<Bytes, Broken>>>,
    bodiless: bool,
}

impl Line {
    pub(super) fn new() -> (Self, oneshot::Receiver<Response<WsgiBody>>) {
        let (answer, receiver) = oneshot::channel();
        (Self { answer: Some(answer), pieces: None, bodiless: false }, receiver)
    }

    pub(super) fn has_begun(&self) -> bool {
        self.answer.is_none()
    }

    /// Begins an answer whose body comes in pieces.
    pub(super) fn begin(&mut self, head: Head, head_request: bool) {
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        self.bodiless = head.is_bodiless(head_request);
        self.pieces = Some(sender);
        self.answer(response(head, WsgiBody::Sent(receiver)));
    }

    fn answer(&mut self, answer: Response<WsgiBody>) {
        if let Some(sender) = self.answer.take() {
            // A client that is gone gets no answer.
            let _ = sender.send(answer);
        }
    }

    /// Sends a piece, waiting for room without the GIL.
    pub(super) fn send(&self, py: Python<'_>, piece: Bytes) -> PyResult<()> {
        Ok(self.send_result(py, Ok(piece))?)
    }

    fn send_last(&self, py: Python<'_>, body: Option<Bytes>) {
        if let Some(body) = body {
            let _ = self.send_result(py, Ok(body));
        }
    }

    fn send_result(&self, py: Python<'_>, piece: Result<Bytes, Broken>) -> Result<(), Broken> {
        let Some(pieces) = &self.pieces else { return Err(Broken) };
        if self.bodiless || matches!(&piece, Ok(bytes) if bytes.is_empty()) {
            return Ok(());
        }
        py.detach(|| pieces.blocking_send(piece)).map_err(|_| Broken)
    }
}
