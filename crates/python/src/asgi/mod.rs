//! ASGI 3 (spec 2.5, asgiref "HTTP & WebSocket ASGI Message Format").
//!
//! [`AsgiApp`] is the application as the server sees it; each request is a [`cycle::Cycle`], whose
//! `receive` and `send` the application gets, and an [`answer::Answer`], the future that hyper polls.
//! Most applications finish inside the answer's first poll, without a turn of the asyncio loop.
//! A WebSocket is a [`websocket::Socket`] over a session of `crate::websocket`.

mod abilities;
mod answer;
mod callables;
mod cycle;
mod events;
mod names;
mod receive;
mod scope;
mod send;
mod websocket;

use crate::{response::ResponseBody, task::Tasks, websocket::Sockets};
use abilities::Abilities;
use answer::Answer;
use cycle::Cycle;
use hostler_http::{App, ConnectionInfo, Link, RequestBody};
use hostler_wire::WebSocketSettings;
use hyper::Request;
use names::Names;
use pyo3::{prelude::*, types::PyDict};
use scope::ConnectionScope;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

/// An ASGI application and what every request of it needs.
pub(crate) struct AsgiApp(Rc<Shared>);

pub(crate) struct Shared {
    app: Py<PyAny>,
    /// The lifespan's state, copied for each request; `None` if the application has no lifespan.
    state: Option<Py<PyDict>>,
    root_path: String,
    names: Names,
    abilities: Abilities,
    tasks: Rc<Tasks>,
    /// Requests whose applications wait in `receive`, by the addresses of their cycles.
    waiting: RefCell<HashMap<usize, Py<Cycle>>>,
    /// Streams are told to end.
    ending: Cell<bool>,
    sockets: Rc<Sockets>,
}

impl AsgiApp {
    pub(crate) fn new(
        app: Bound<'_, PyAny>,
        event_loop: &Bound<'_, PyAny>,
        state: Option<Bound<'_, PyDict>>,
        root_path: String,
        websocket: Option<WebSocketSettings>,
    ) -> PyResult<Self> {
        let py = app.py();
        Ok(Self(Rc::new(Shared {
            app: app.unbind(),
            state: state.map(Bound::unbind),
            root_path,
            names: Names::new(py)?,
            abilities: Abilities::new(py),
            tasks: Rc::new(Tasks::new(event_loop)?),
            waiting: RefCell::default(),
            ending: Cell::new(false),
            sockets: Rc::new(Sockets::new(websocket)),
        })))
    }
}

impl App for AsgiApp {
    type Body = ResponseBody;
    type Connection = ConnectionScope;
    type ResponseFuture = Answer;

    fn connect(&self, info: ConnectionInfo, link: Link) -> ConnectionScope {
        Python::attach(|py| ConnectionScope::new(py, &self.0, &info, link))
    }

    fn call(&self, connection: &Rc<ConnectionScope>, request: Request<RequestBody>) -> Answer {
        Answer::new(Rc::clone(&self.0), Rc::clone(connection), request)
    }

    fn time_out(answer: &mut Answer) {
        answer.cancel();
    }

    /// The application is told, and may answer all the same: a client that shut down its side still reads.
    fn client_half_closed(&self, connection: &Rc<ConnectionScope>) -> bool {
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
            self.0.sockets.restart(py);
        });
    }
}
