//! The pool: persistent Python threads that call the application, one queue for all.

use super::{
    answer::{Step, Whole, begin},
    exchange::Exchange,
    gate::Gate,
    line::{Line, Reply},
};
use crate::{calls, logging::application_error};
use pyo3::{prelude::*, types::PyDict};
use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

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

/// How far a request of the pool has got. Looked at and changed with the GIL only.
#[derive(Clone, Default)]
pub(super) struct Running(Arc<Progress>);

#[derive(Default)]
struct Progress {
    /// Which thread runs the application, while one does.
    thread: AtomicU64,
    /// A thread has taken the request from the queue.
    taken: AtomicBool,
}

impl Running {
    fn begin(&self) {
        self.0.taken.store(true, Relaxed);
        self.0.thread.store(calls::thread_ident(), Relaxed);
    }

    fn end(&self) {
        self.0.thread.store(0, Relaxed);
    }

    /// Whether a thread has taken the request from the queue.
    pub(super) fn is_taken(&self) -> bool {
        self.0.taken.load(Relaxed)
    }

    /// Raises `hostler.RequestTimeout` in the thread, as soon as it runs Python code.
    pub(super) fn interrupt(&self, py: Python<'_>) {
        let thread = self.0.thread.load(Relaxed);
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
    pub(super) running: Running,
    pub(super) app: Py<PyAny>,
    pub(super) environ: Py<PyDict>,
    pub(super) exchange: Py<Exchange>,
    pub(super) gate: Gate,
    /// What is to be given up when the application has answered: the request's body, and the right to wait for it.
    pub(super) held: Option<Box<dyn Any + Send>>,
}

impl Job {
    fn run(self, py: Python<'_>) {
        let _entered = self.gate.enter_thread(py);
        let exchange = self.exchange.bind(py);
        // Nobody waits for it any more: the client left, or was answered 504.
        if !exchange.get().is_wanted(py) {
            return;
        }
        self.running.begin();
        let step = self.first_step(exchange);
        self.running.end();
        let Some(mut line) = exchange.get().take_line(py) else { return };
        match step {
            Ok(Some(step)) => send(py, &mut line, step, exchange.get().head_request),
            Ok(None) => {}
            Err(error) if line.has_begun() => {
                application_error(py, "the WSGI application raised in the middle of its response", &error);
            }
            Err(error) => {
                application_error(py, "the WSGI application raised before its response began", &error);
                line.answer(Reply::Failed);
            }
        }
        drop(self.held);
    }

    /// Calls the application and takes its iterable up to the first piece that is not empty; `None` if the client
    /// left meanwhile.
    fn first_step(&self, exchange: &Bound<'_, Exchange>) -> PyResult<Option<Step>> {
        let py = exchange.py();
        let mut step = begin(exchange, self.app.bind(py), self.environ.bind(py), None)?;
        while let Step::Empty(rest) = step {
            if !exchange.get().is_wanted(py) {
                return Ok(None);
            }
            self.gate.step_aside(py);
            step = rest.begin(py)?;
        }
        Ok(Some(step))
    }
}

/// Sends an answer to its end. What has to be closed is, once the end is on its way.
fn send(py: Python<'_>, line: &mut Line, step: Step, head_request: bool) {
    let mut rest = match step {
        Step::Whole(head, body, closing) => {
            match body {
                Whole::Bytes(bytes) if line.has_begun() => drop(line.send(py, bytes)),
                _ if line.has_begun() => {}
                body => line.answer(Reply::Whole(head, body)),
            }
            line.complete();
            drop(closing);
            return;
        }
        Step::File(head, pieces, closing) => return line.answer(Reply::File(head, pieces, closing)),
        Step::Stream(head, first, rest) => {
            if !line.has_begun() {
                line.begin(head, head_request);
            }
            if line.send(py, first).is_err() {
                return;
            }
            rest
        }
        Step::Begun(rest) | Step::Empty(rest) => rest,
        Step::Broken => return,
    };
    while let Some(piece) = rest.next(py) {
        let Ok(piece) = piece else { return };
        if line.send(py, piece).is_err() {
            return;
        }
    }
    line.complete();
}
