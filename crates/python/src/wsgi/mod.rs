//! WSGI (PEP 3333): one call at a time in place, or several in a pool of threads.
//!
//! Threads that call applications avoid waiting for clients. Request bodies are stored before the call, in memory or in
//! a temporary file; responses are buffered up to `--wsgi-response-buffer`. In place the loop turns between the pieces
//! of an iterable. [`threads`] describes the requests that do wait.
//!
//! Files of `wsgi.file_wrapper` are sent from their descriptor, without Python, as static files are.
//!
//! | file | duty |
//! |---|---|
//! | `shared` | the application and what every request of it needs |
//! | `environ`, `names` | the environ dictionary |
//! | `call` | one request from its body to its response, in place or on a thread |
//! | `input` | the request's body: stored before the call, or read while the application runs |
//! | `start_response`, `head` | `start_response` and `write()`, and what PEP 3333 allows them to get |
//! | `iterable` | what the application returned, piece by piece |
//! | `file` | files of `wsgi.file_wrapper` |
//! | `closing` | `close()` of iterables |
//! | `facts` | what the log says of a request |
//! | `direct` | `write()` in place, past hyper |
//! | `pool` | threads that call the application, and their queue |
//! | `idle` | threads of the pool that end when they have nothing to do |
//! | `threads`, `gate` | threads for requests that wait for clients; one call at a time |
//! | `queued` | clients that disconnect while their request is in the queue |
//! | `response_sender`, `body_queue` | from a thread to hyper: the head, then the body |
//! | `body` | what hyper sends |
//! | `turn` | letting the loop turn |

mod body;
mod body_queue;
mod call;
mod closing;
mod direct;
mod environ;
mod facts;
mod file;
mod gate;
mod head;
mod idle;
mod input;
mod iterable;
mod names;
mod pool;
mod queued;
mod response_sender;
mod shared;
mod start_response;
mod threads;
mod turn;

pub(crate) use pool::Jobs;

use body::WsgiBody;
use environ::ConnectionEnviron;
use hostler_http::{Aborted, App, ConnectionInfo, FileBody, Link, RequestBody};
use hostler_settings::Wsgi;
use http_body::Body;
use hyper::{Request, Response};
use input::Stored;
use pool::Progress;
use pyo3::prelude::*;
use shared::Shared;
use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

/// A WSGI application and what every request of it needs.
pub(crate) struct WsgiApp(Rc<Shared>);

impl WsgiApp {
    pub(crate) fn new(
        app: Bound<'_, PyAny>,
        root_path: String,
        limits: Wsgi,
        stall_timeout: Option<Duration>,
        pool: Option<(Jobs, usize)>,
    ) -> PyResult<Self> {
        Ok(Self(Rc::new(Shared::new(app, root_path, limits, stall_timeout, pool))))
    }
}

impl App for WsgiApp {
    type Body = WsgiBody;
    type Connection = ConnectionEnviron;
    type ResponseFuture = ResponseFuture;

    fn connect(&self, info: ConnectionInfo, link: Link) -> ConnectionEnviron {
        self.0.start_closer();
        Python::attach(|py| ConnectionEnviron::new(py, &self.0, info, link))
    }

    fn queues(&self) -> bool {
        self.0.has_pool()
    }

    fn bypasses(&self) -> bool {
        !self.0.has_pool() && !self.0.uses_write()
    }

    fn call(&self, connection: &Rc<ConnectionEnviron>, request: Request<RequestBody>) -> ResponseFuture {
        let (shared, connection) = (Rc::clone(&self.0), Rc::clone(connection));
        let (progress, began) = (Progress::default(), connection.current());
        // Most requests have no body, so there is nothing to store.
        let future: Pin<Box<dyn Future<Output = _>>> =
            match (request.body().is_end_stream(), self.0.has_pool()) {
                (true, true) => {
                    Box::pin(call::in_pool(shared, connection, request.map(drop), began, progress.clone()))
                }
                (true, false) if !self.0.uses_write() => {
                    let empty = Stored::Memory(Vec::new());
                    Box::pin(call::in_place(shared, connection, request.map(drop), began, empty))
                }
                _ => Box::pin(call::with_body(shared, connection, request, began, progress.clone())),
            };
        ResponseFuture { future, progress }
    }

    /// WSGI cannot tell the application. A half-closed client still reads, unless it gave up waiting in the queue.
    fn client_half_closed(&self, connection: &Rc<ConnectionEnviron>) -> bool {
        connection.queued.is_served()
    }

    fn take_file(body: &mut WsgiBody) -> Option<Box<FileBody>> {
        body.take_file()
    }

    /// Best effort: a thread inside C code is interrupted when it returns from it.
    fn time_out(response: &mut ResponseFuture) {
        Python::attach(|py| response.progress.interrupt(py));
    }
}

/// A response under way.
pub(crate) struct ResponseFuture {
    future: Pin<Box<dyn Future<Output = Result<Response<WsgiBody>, Aborted>>>>,
    progress: Progress,
}

impl Future for ResponseFuture {
    type Output = Result<Response<WsgiBody>, Aborted>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().future.as_mut().poll(cx)
    }
}
