//! WSGI (PEP 3333): one call at a time in place, or several in a pool of persistent threads.
//!
//! In place, the request's body is read before the call, in memory or in a temporary file, because the
//! thread that would read it is the one that the application blocks. With threads, bodies stream both ways.
//!
//! Files of `wsgi.file_wrapper` go from the descriptor to the connection without Python. Not with sendfile(2): hyper
//! writes memory, so they are read in blocks.

mod body;
mod call;
mod environ;
mod exchange;
mod input;
mod pool;

pub(crate) use pool::Jobs;

use body::WsgiBody;
use environ::ConnectionEnviron;
use hostler_http::{Aborted, App, ConnectionInfo, Link, RequestBody};
use hyper::{Request, Response};
use pool::Running;
use pyo3::prelude::*;
use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// A WSGI application and what every request of it needs.
pub(crate) struct WsgiApp(Rc<Shared>);

pub(crate) struct Shared {
    app: Py<PyAny>,
    names: environ::Names,
    root_path: String,
    /// The pool's queue; `None` calls in place.
    jobs: Option<Jobs>,
}

impl WsgiApp {
    pub(crate) fn new(app: Bound<'_, PyAny>, root_path: String, jobs: Option<Jobs>) -> PyResult<Self> {
        let names = environ::Names::new(app.py())?;
        Ok(Self(Rc::new(Shared { app: app.unbind(), names, root_path, jobs })))
    }
}

impl App for WsgiApp {
    type Body = WsgiBody;
    type Connection = ConnectionEnviron;
    type Answer = Answer;

    fn connect(&self, info: ConnectionInfo, link: Link) -> ConnectionEnviron {
        Python::attach(|py| ConnectionEnviron::new(py, &self.0, &info, link.interim))
    }

    fn call(&self, connection: &Rc<ConnectionEnviron>, request: Request<RequestBody>) -> Self::Answer {
        let (shared, connection) = (Rc::clone(&self.0), Rc::clone(connection));
        let running = Running::default();
        let future: Pin<Box<dyn Future<Output = _>>> = match &self.0.jobs {
            None => Box::pin(call::in_place(shared, connection, request)),
            Some(_) => Box::pin(call::in_pool(shared, connection, request, running.clone())),
        };
        Answer { future, running }
    }

    /// WSGI has no word for it; a client that shut down its side still reads.
    fn client_finished(&self, _connection: &Rc<ConnectionEnviron>) -> bool {
        true
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
