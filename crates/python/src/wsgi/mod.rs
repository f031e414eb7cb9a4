//! WSGI (PEP 3333): one call at a time in place, or several in a pool of persistent threads.
//!
//! No thread that calls applications waits for a client if that can be helped. Bodies are stored before the call, in
//! memory or in a temporary file; answers are taken off the thread as far as `--wsgi-answer-buffer`. In place the
//! loop turns between the pieces of an iterable. [`aside`] tells of the requests that do wait.
//!
//! Files of `wsgi.file_wrapper` go from the descriptor to the connection without Python. Not with sendfile(2): hyper
//! writes memory, so they are read in blocks.

mod aside;
mod body;
mod call;
mod closing;
mod direct;
mod environ;
mod file;
mod gate;
mod head;
mod input;
mod iterable;
mod names;
mod outflow;
mod pool;
mod queued;
mod response_sender;
mod shared;
mod start_response;
mod turn;

pub(crate) use pool::Jobs;

use body::WsgiBody;
use environ::ConnectionEnviron;
use hostler_http::{Aborted, App, ConnectionInfo, Link, RequestBody};
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
        Python::attach(|py| ConnectionEnviron::new(py, &self.0, info, link.interim))
    }

    fn call(&self, connection: &Rc<ConnectionEnviron>, request: Request<RequestBody>) -> ResponseFuture {
        let (shared, connection) = (Rc::clone(&self.0), Rc::clone(connection));
        let progress = Progress::default();
        // Most requests have no body, and nothing is to be stored.
        let future: Pin<Box<dyn Future<Output = _>>> =
            match (request.body().is_end_stream(), self.0.has_pool()) {
                (true, true) => {
                    Box::pin(call::in_pool(shared, connection, request.map(drop), progress.clone()))
                }
                (true, false) if !self.0.uses_write() => {
                    let empty = Stored::Memory(Vec::new());
                    Box::pin(call::in_place(shared, connection, request.map(drop), empty))
                }
                _ => Box::pin(call::answer(shared, connection, request, progress.clone())),
            };
        ResponseFuture { future, progress }
    }

    /// WSGI has no word for it; a client that shut down its side still reads, unless it was tired of waiting.
    fn client_half_closed(&self, connection: &Rc<ConnectionEnviron>) -> bool {
        connection.queued.is_served()
    }

    /// Best effort: a thread that is inside C code goes on until it leaves it.
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
