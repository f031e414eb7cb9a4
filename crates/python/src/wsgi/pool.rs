//! The pool: Python threads that call the application, with one queue. They persist, or end when they are idle ([`super::idle`]).

use super::{
    facts,
    gate::Gate,
    idle::Idle,
    iterable::{Step, begin},
    response_sender::{Reply, ResponseSender, Whole},
    start_response::StartResponse,
};
use crate::{capi, logging::request_error};
use hostler_http::Waiting;
use pyo3::{prelude::*, types::PyDict};
use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// The queue of requests; `python/hostler/_wsgi.py` starts the threads that serve it.
#[pyclass(frozen, module = "hostler")]
#[derive(Clone)]
pub struct Jobs {
    sender: crossbeam_channel::Sender<Job>,
    receiver: crossbeam_channel::Receiver<Job>,
    /// When threads end; `None`: never.
    idle: Option<Arc<Idle>>,
}

#[pymethods]
impl Jobs {
    /// The queue of so many threads.
    #[new]
    fn new(threads: usize, idle_timeout: Option<f64>) -> Self {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let idle = idle_timeout.map(|seconds| Arc::new(Idle::new(Duration::from_secs_f64(seconds), threads)));
        Self { sender, receiver, idle }
    }

    /// Waits for a request without the GIL, and serves it. False: the thread is to end.
    fn serve_one(&self, py: Python<'_>) -> bool {
        let Some(job) = py.detach(|| self.next()) else { return false };
        job.run(py);
        true
    }
}

impl Jobs {
    fn next(&self) -> Option<Job> {
        let Some(idle) = &self.idle else { return self.receiver.recv().ok() };
        idle.thread_waits();
        loop {
            match self.receiver.recv_timeout(idle.timeout) {
                Ok(job) => return Some(job),
                Err(_) if idle.may_end() => return None,
                Err(_) => {}
            }
        }
    }

    pub(super) fn queue(&self, py: Python<'_>, job: Job) {
        // The receiver lives as long as the sender: both are in `self`.
        let _ = self.sender.send(job);
        if let Some(idle) = &self.idle
            && idle.request_waits()
            && let Err(error) = self.start_thread(py)
        {
            idle.not_started();
            tracing::warn!(%error, "cannot start a thread for WSGI requests: they wait for another one");
        }
    }

    fn start_thread(&self, py: Python<'_>) -> PyResult<()> {
        let jobs = Bound::new(py, self.clone())?;
        py.import("hostler._wsgi")?.call_method1("start_thread", (jobs,)).map(drop)
    }
}

/// How far a request of the pool has come. Read and changed with the GIL only.
#[derive(Clone, Default)]
pub(super) struct Progress(Arc<ProgressState>);

#[derive(Default)]
struct ProgressState {
    /// The thread that runs the application; zero if none does.
    thread: AtomicU64,
    /// A thread has taken the request from the queue.
    taken: AtomicBool,
}

impl Progress {
    fn begin(&self) {
        self.0.taken.store(true, Relaxed);
        self.0.thread.store(capi::thread_ident(), Relaxed);
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
            Ok(exception) => capi::raise_in_thread(thread, &exception),
            Err(error) => tracing::warn!(%error, "cannot interrupt a request that took too long"),
        }
    }
}

/// A request for the pool.
pub(super) struct Job {
    pub(super) progress: Progress,
    pub(super) app: Py<PyAny>,
    pub(super) environ: Py<PyDict>,
    pub(super) start_response: Py<StartResponse>,
    pub(super) gate: Gate,
    /// Where the access log learns how long it was in the queue, if it asks for that.
    pub(super) waiting: Option<Waiting>,
    /// Released when the application has responded: the request's body, and the loan of the thread.
    pub(super) held: Option<Box<dyn Any + Send>>,
}

impl Job {
    fn run(self, py: Python<'_>) {
        let _entered = self.gate.enter_thread(py);
        let start_response = self.start_response.bind(py);
        // The client disconnected, or was sent a 504.
        if !start_response.get().is_wanted(py) {
            return;
        }
        self.progress.begin();
        if let Some(waiting) = &self.waiting {
            waiting.end();
        }
        let step = self.first_step(start_response);
        self.progress.end();
        let Some(mut sender) = start_response.get().take_sender(py) else { return };
        let facts = || facts::of(self.environ.bind(py), start_response.get().began);
        match step {
            Ok(Some(step)) => send(py, &mut sender, step, start_response.get().head_request),
            Ok(None) => {}
            Err(error) if sender.has_begun() => {
                request_error(
                    py,
                    "the WSGI application raised in the middle of its response",
                    &error,
                    &facts(),
                );
            }
            Err(error) => {
                request_error(py, "the WSGI application raised before its response began", &error, &facts());
                sender.reply(Reply::Failed);
            }
        }
        drop(self.held);
    }

    /// Calls the application and takes its iterable up to the first piece that is not empty; `None` if the client
    /// disconnected meanwhile.
    fn first_step(&self, start_response: &Bound<'_, StartResponse>) -> PyResult<Option<Step>> {
        let py = start_response.py();
        let mut step = begin(start_response, self.app.bind(py), self.environ.bind(py), None)?;
        while let Step::Empty(rest) = step {
            if !start_response.get().is_wanted(py) {
                return Ok(None);
            }
            self.gate.yield_now(py);
            step = rest.begin(py)?;
        }
        Ok(Some(step))
    }
}

/// Sends a response to its end, then closes the iterable.
fn send(py: Python<'_>, sender: &mut ResponseSender, step: Step, head_request: bool) {
    let mut rest = match step {
        Step::Whole(head, body, closing) => {
            match body {
                Whole::Bytes(bytes) if sender.has_begun() => drop(sender.send(py, bytes)),
                _ if sender.has_begun() => {}
                body => sender.reply(Reply::Whole(head, body)),
            }
            sender.complete();
            drop(closing);
            return;
        }
        Step::File(head, pieces, closing) => return sender.reply(Reply::File(head, pieces, closing)),
        Step::Stream(head, first, rest) => {
            if !sender.has_begun() {
                sender.begin(head, head_request);
            }
            if sender.send(py, first).is_err() {
                return;
            }
            rest
        }
        Step::Started(rest) | Step::Empty(rest) => rest,
        Step::Broken => return,
    };
    while let Some(piece) = rest.next(py) {
        let Ok(piece) = piece else { return };
        if sender.send(py, piece).is_err() {
            return;
        }
    }
    sender.complete();
}
