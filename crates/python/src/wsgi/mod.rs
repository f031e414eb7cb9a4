//! WSGI (PEP 3333): one call at a time in place, or several in a pool of persistent threads.
//!
//! No thread that calls applications waits for a client if that can be helped. Bodies are stored before the call, in
//! memory or in a temporary file; answers are taken off the thread as far as `--wsgi-answer-buffer`. In place the
//! loop turns between the pieces of an iterable. [`aside`] tells of the requests that do wait.
//!
//! Files of `wsgi.file_wrapper` go from the descriptor to the connection without Python. Not with sendfile(2): hyper
//! writes memory, so they are read in blocks.

mod answer;
mod aside;
mod body;
mod call;
mod closing;
mod direct;
mod environ;
mod exchange;
mod file;
mod gate;
mod input;
mod line;
mod outflow;
mod pool;
mod queued;
mod turn;

pub(crate) use pool::Jobs;

use aside::Threads;
use body::WsgiBody;
use closing::Closer;
use environ::ConnectionEnviron;
use gate::{Entered, Gate};
use hostler_http::{Aborted, App, ConnectionInfo, Link, RequestBody};
use hostler_wire::WsgiSettings;
use http_body::Body;
use hyper::{Request, Response};
use input::Stored;
use pool::Running;
use pyo3::prelude::*;
use std::{
    cell::{Cell, OnceCell},
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

/// A WSGI application and what every request of it needs.
pub(crate) struct WsgiApp(Rc<Shared>);

pub(crate) struct Shared {
    app: Py<PyAny>,
    names: environ::Names,
    root_path: String,
    limits: WsgiSettings,
    stall_timeout: Option<Duration>,
    /// The pool; `None` calls in place.
    pool: Option<Threads>,
    /// In place: threads for the few requests that may wait for their clients, once there was one.
    beside: OnceCell<Option<Threads>>,
    /// In place: the application has used `write()`, whose bytes cannot be sent while its thread is the loop's.
    writes: Arc<AtomicBool>,
    closer: Arc<Closer>,
    closing: Cell<bool>,
}

impl Shared {
    /// The right to run application code on the loop's thread.
    fn gate(&self) -> Gate {
        match self.beside.get() {
            Some(Some(threads)) => threads.gate.clone(),
            _ => Gate::default(),
        }
    }

    /// Waits for that right.
    async fn enter(&self) -> Entered {
        let gate = self.gate();
        match gate.try_enter() {
            Some(entered) => entered,
            None => Box::pin(gate.enter()).await,
        }
    }

    /// Threads on which requests may wait for their clients.
    fn threads_for_waiting(&self) -> Option<&Threads> {
        if let Some(pool) = &self.pool {
            return Some(pool);
        }
        let begin = || match Python::attach(Threads::beside) {
            Ok(threads) => {
                if let Some(limit) = self.stall_timeout {
                    tokio::task::spawn_local(threads.gate.clone().stand_still_with_threads(limit));
                }
                Some(threads)
            }
            Err(error) => {
                tracing::error!(%error, "no thread could be started for a WSGI request");
                None
            }
        };
        self.beside.get_or_init(begin).as_ref()
    }

    /// Threads that call the application; `None` calls it in place.
    fn threads_for_calls(&self) -> Option<&Threads> {
        if self.pool.is_some() || self.writes.load(Relaxed) { self.threads_for_waiting() } else { None }
    }

    /// Starts the task that closes iterables, when there is a runtime.
    fn start_closer(self: &Rc<Self>) {
        if !self.closing.replace(true) {
            let (closer, shared) = (Arc::clone(&self.closer), Rc::downgrade(self));
            let gate = move || shared.upgrade().map(|shared| shared.gate()).unwrap_or_default();
            tokio::task::spawn_local(closer.run(gate));
        }
    }
}

impl WsgiApp {
    pub(crate) fn new(
        app: Bound<'_, PyAny>,
        root_path: String,
        limits: WsgiSettings,
        stall_timeout: Option<Duration>,
        pool: Option<(Jobs, usize)>,
    ) -> PyResult<Self> {
        let names = environ::Names::new(app.py())?;
        Ok(Self(Rc::new(Shared {
            app: app.unbind(),
            names,
            root_path,
            limits,
            stall_timeout,
            pool: pool.map(|(jobs, count)| Threads::pool(jobs, count)),
            beside: OnceCell::new(),
            writes: Arc::default(),
            closer: Arc::default(),
            closing: Cell::new(false),
        })))
    }
}

impl App for WsgiApp {
    type Body = WsgiBody;
    type Connection = ConnectionEnviron;
    type ResponseFuture = Answer;

    fn connect(&self, info: ConnectionInfo, link: Link) -> ConnectionEnviron {
        self.0.start_closer();
        Python::attach(|py| ConnectionEnviron::new(py, &self.0, &info, link.interim))
    }

    fn call(
        &self,
        connection: &Rc<ConnectionEnviron>,
        request: Request<RequestBody>,
    ) -> Self::ResponseFuture {
        let (shared, connection) = (Rc::clone(&self.0), Rc::clone(connection));
        let running = Running::default();
        // Most requests have no body, and nothing is to be stored.
        let future: Pin<Box<dyn Future<Output = _>>> = match (request.body().is_end_stream(), &self.0.pool) {
            (true, Some(_)) => {
                Box::pin(call::in_pool(shared, connection, request.map(drop), running.clone()))
            }
            (true, None) if !self.0.writes.load(Relaxed) => {
                let empty = Stored::Memory(Vec::new());
                Box::pin(call::in_place(shared, connection, request.map(drop), empty))
            }
            _ => Box::pin(call::answer(shared, connection, request, running.clone())),
        };
        Answer { future, running }
    }

    /// WSGI has no word for it; a client that shut down its side still reads, unless it was tired of waiting.
    fn client_half_closed(&self, connection: &Rc<ConnectionEnviron>) -> bool {
        connection.queued.is_served()
    }

    /// Best effort: a thread that is inside C code goes on until it leaves it.
    fn time_out(answer: &mut Answer) {
        Python::attach(|py| answer.running.interrupt(py));
    }
}

/// An answer under way.
pub(crate) struct Answer {
    future: Pin<Box<dyn Future<Output = Result<Response<WsgiBody>, Aborted>>>>,
    running: Running,
}

impl Future for Answer {
    type Output = Result<Response<WsgiBody>, Aborted>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().future.as_mut().poll(cx)
    }
}
