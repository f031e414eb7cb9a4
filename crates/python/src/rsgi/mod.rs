//! RSGI 1.6, the interface of Granian (docs/spec/RSGI.md of its repository): one call for each request, with a scope
//! object and a protocol object instead of events.
//!
//! [`RsgiApp`] is the application as the server sees it. A request is an [`exchange::Exchange`], which the
//! application gets as its protocol; a WebSocket is a [`websocket::Socket`] over a session of `crate::websocket`.

mod answer;
mod connection;
mod exchange;
mod protocol;
mod request_body;
mod scope;
mod stream;
mod websocket;

pub(crate) use exchange::Exchange;
pub(crate) use scope::{Headers, Scope};
pub(crate) use stream::StreamTransport;
pub(crate) use websocket::{Message, Socket, Transport};

use crate::{logging::comes_of, response::ResponseBody, task::Tasks, websocket::Sockets};
use answer::Answer;
use connection::{Alive, Connection};
use hostler_http::{App, ConnectionInfo, Link, RequestBody};
use hostler_wire::WebSocketSettings;
use hyper::Request;
use pyo3::{exceptions::asyncio::CancelledError, prelude::*};
use std::{cell::RefCell, collections::HashMap, rc::Rc};

/// An RSGI application and what every request of it needs.
pub(crate) struct RsgiApp(Rc<Shared>);

pub(crate) struct Shared {
    app: Py<PyAny>,
    tasks: Rc<Tasks>,
    sockets: Rc<Sockets>,
    errors: Errors,
    /// Connections whose applications watch for their clients' departure, by their addresses.
    watched: RefCell<HashMap<usize, Rc<connection::Watchers>>>,
}

/// The exceptions that the application knows.
pub(crate) struct Errors {
    /// The application did something at the wrong time.
    protocol: Py<PyAny>,
    /// The client is gone.
    closed: Py<PyAny>,
}

impl Errors {
    pub(crate) fn new(protocol: Bound<'_, PyAny>, closed: Bound<'_, PyAny>) -> Self {
        Self { protocol: protocol.unbind(), closed: closed.unbind() }
    }

    fn wrong(&self, py: Python<'_>, text: &str) -> PyErr {
        self.protocol.bind(py).call1((text,)).map_or_else(|error| error, PyErr::from_value)
    }

    fn gone(&self, py: Python<'_>) -> PyErr {
        let error = self.closed.bind(py).call1(("the client has disconnected",));
        error.map_or_else(|error| error, PyErr::from_value)
    }

    /// Whether an application may well raise this when nobody waits for it any more: our own error, one that it made
    /// of that, or its cancellation.
    fn is_departure(&self, py: Python<'_>, error: &PyErr) -> bool {
        error.is_instance_of::<CancelledError>(py) || comes_of(py, error, self.closed.bind(py))
    }
}

impl RsgiApp {
    pub(crate) fn new(
        app: Bound<'_, PyAny>,
        event_loop: &Bound<'_, PyAny>,
        errors: Errors,
        websocket: Option<WebSocketSettings>,
    ) -> PyResult<Self> {
        Ok(Self(Rc::new(Shared {
            app: app.unbind(),
            tasks: Rc::new(Tasks::new(event_loop)?),
            sockets: Rc::new(Sockets::new(websocket)),
            errors,
            watched: RefCell::default(),
        })))
    }
}

impl App for RsgiApp {
    type Body = ResponseBody;
    type Connection = Alive;
    type ResponseFuture = Answer;

    fn connect(&self, info: ConnectionInfo, link: Link) -> Alive {
        Alive(Rc::new(Connection::new(Rc::clone(&self.0), &info, link)))
    }

    fn call(&self, connection: &Rc<Alive>, request: Request<RequestBody>) -> Answer {
        Answer::new(Rc::clone(&connection.0), request)
    }

    fn time_out(answer: &mut Answer) {
        answer.cancel();
    }

    /// Whoever watches is told, and may answer all the same: a client that shut down its side still reads.
    fn client_half_closed(&self, connection: &Rc<Alive>) -> bool {
        Python::attach(|py| connection.0.watchers().tell_all(py));
        true
    }

    fn end_streams(&self) {
        Python::attach(|py| {
            let watched: Vec<_> = self.0.watched.borrow().values().cloned().collect();
            watched.iter().for_each(|watchers| watchers.tell_streams(py));
            self.0.sockets.restart(py);
        });
    }
}
