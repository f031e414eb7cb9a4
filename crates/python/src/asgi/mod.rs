//! ASGI 3 over HTTP (spec 2.4, asgiref "HTTP & WebSocket ASGI Message Format").
//!
//! [`AsgiApp`] is the application as the server sees it; each request is a [`cycle::Cycle`], whose
//! `receive` and `send` the application gets, and an [`answer::Answer`], the future that hyper polls.
//! Most applications finish inside the answer's first poll, without a turn of the asyncio loop.
//!
//! WebSockets are [`websocket`]'s.

mod answer;
mod awaitable;
mod body;
mod callables;
mod cycle;
mod events;
mod headers;
mod names;
mod scope;
mod websocket;

use crate::eventloop::LoopCore;
use answer::Answer;
pub(crate) use headers::Head;

use body::AsgiBody;
use cycle::Cycle;
use hostler_http::{App, ConnectionInfo, Upgrades};
use hostler_wire::WebSocketSettings;
use hyper::{Request, body::Incoming};
use names::Names;
use pyo3::{
    prelude::*,
    types::{PyDict, PyTuple},
};
use scope::ConnectionScope;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};
use websocket::Session;

/// An ASGI application and what every request of it needs.
pub(crate) struct AsgiApp(Rc<Shared>);

pub(crate) struct Shared {
    app: Py<PyAny>,
    event_loop: Py<LoopCore>,
    /// The lifespan's state, copied for each request; `None` if the application has no lifespan.
    state: Option<Py<PyDict>>,
    root_path: String,
    names: Names,
    tasks: Tasks,
    /// Requests whose applications wait in `receive`, by the addresses of their cycles.
    waiting: RefCell<HashMap<usize, Py<Cycle>>>,
    /// Streams are told to end.
    ending: Cell<bool>,
    websocket: Option<WebSocketSettings>,
    /// Open WebSockets, by the addresses of their sessions.
    sessions: RefCell<HashMap<usize, Py<Session>>>,
}

/// How a request's task is made.
struct Tasks {
    /// `asyncio.Task`.
    class: Py<PyAny>,
    /// The names of its keyword arguments, for the fast call.
    keywords: Py<PyTuple>,
    /// `eager_start=` exists (CPython ≥ 3.12); before, the first step is run by hand.
    eager: bool,
}

impl AsgiApp {
    pub(crate) fn new(
        app: Bound<'_, PyAny>,
        event_loop: Bound<'_, LoopCore>,
        state: Option<Bound<'_, PyDict>>,
        root_path: String,
        websocket: Option<WebSocketSettings>,
    ) -> PyResult<Self> {
        let py = app.py();
        Ok(Self(Rc::new(Shared {
            app: app.unbind(),
            event_loop: event_loop.unbind(),
            state: state.map(Bound::unbind),
            root_path,
            names: Names::new(py)?,
            tasks: Tasks::new(py)?,
            waiting: RefCell::default(),
            ending: Cell::new(false),
            websocket,
            sessions: RefCell::default(),
        })))
    }
}

impl Tasks {
    fn new(py: Python<'_>) -> PyResult<Self> {
        let eager = py.version_info() >= (3, 12);
        let keywords = if eager { vec!["loop", "eager_start"] } else { vec!["loop"] };
        Ok(Self {
            class: py.import("asyncio")?.getattr("Task")?.unbind(),
            keywords: PyTuple::new(py, keywords.iter().map(|name| pyo3::types::PyString::intern(py, name)))?
                .unbind(),
            eager,
        })
    }
}

impl App for AsgiApp {
    type Body = AsgiBody;
    type Connection = ConnectionScope;
    type Answer = Answer;

    fn connect(&self, info: ConnectionInfo, upgrades: Upgrades) -> ConnectionScope {
        Python::attach(|py| ConnectionScope::new(py, &self.0, &info, upgrades))
    }

    fn call(&self, connection: &Rc<ConnectionScope>, request: Request<Incoming>) -> Answer {
        Answer::new(Rc::clone(&self.0), Rc::clone(connection), request)
    }

    fn time_out(answer: &mut Answer) {
        answer.cancel();
    }

    /// The application is told, and may answer all the same: a client that shut down its side still reads.
    fn client_finished(&self, connection: &Rc<ConnectionScope>) -> bool {
        Python::attach(|py| {
            if let Some(cycle) = connection.current(py) {
                cycle.get().client_finished(py);
            }
        });
        true
    }

    fn end_streams(&self) {
        self.0.ending.set(true);
        Python::attach(|py| {
            let waiting: Vec<Py<Cycle>> =
                self.0.waiting.borrow().values().map(|cycle| cycle.clone_ref(py)).collect();
            waiting.iter().for_each(|cycle| cycle.get().end_stream(py));
            let sessions: Vec<Py<Session>> =
                self.0.sessions.borrow().values().map(|session| session.clone_ref(py)).collect();
            sessions.iter().for_each(|session| session.get().restart(py));
        });
    }
}
