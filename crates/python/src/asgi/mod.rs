//! ASGI 3 (spec 2.5, asgiref "HTTP & WebSocket ASGI Message Format").
//!
//! [`AsgiApp`] is the application as the server sees it; each request is a [`request::HttpRequest`], whose `receive`
//! and `send` the application gets. Most applications finish inside the first poll of the response's future
//! (`crate::exchange`), without a turn of the asyncio loop. A WebSocket is a [`websocket::Socket`] over a session of
//! `crate::websocket`.
//!
//! | file | duty |
//! |---|---|
//! | `shared` | the application and what every request of it needs |
//! | `connection` | what the requests of a connection have in common; calls the application |
//! | `scope`, `capabilities`, `names` | the scope dictionary |
//! | `request` | a request's state |
//! | `receive` | what the application receives |
//! | `send` | what it sends: reads events of Python, and performs what they do |
//! | `phase` | how far a response has come, and what an event does to it: a pure state machine |
//! | `events` | event dictionaries, and the exception of `send` |
//! | `websocket` | the same for a WebSocket |
//! | `denial` | the application's own response to a handshake |

mod capabilities;
mod connection;
mod denial;
mod events;
mod names;
mod phase;
mod receive;
mod request;
mod scope;
mod send;
mod shared;
mod websocket;

use crate::{
    exchange::{Application, ResponseFuture},
    response::ResponseBody,
    websocket::Sockets,
};
use connection::Connection;
use hostler_http::{App, ConnectionInfo, FileBody, Link, RequestBody, Streams};
use hostler_settings::WebSocket;
use hyper::Request;
use pyo3::{prelude::*, types::PyDict};
use shared::Shared;
use std::rc::Rc;

/// An ASGI application as the server calls it.
pub(crate) struct AsgiApp(Rc<Shared>);

impl AsgiApp {
    pub(crate) fn new(
        app: Bound<'_, PyAny>,
        event_loop: &Bound<'_, PyAny>,
        state: Option<Bound<'_, PyDict>>,
        root_path: String,
        websocket: WebSocket,
    ) -> PyResult<Self> {
        let py = app.py();
        let application = Application::new(app, event_loop, Sockets::new(websocket))?;
        Ok(Self(Rc::new(Shared::new(py, application, state, root_path))))
    }
}

impl App for AsgiApp {
    type Body = ResponseBody;
    type Connection = Connection;
    type ResponseFuture = ResponseFuture<Connection>;

    fn connect(&self, info: ConnectionInfo, link: Link) -> Connection {
        Python::attach(|py| Connection::new(py, Rc::clone(&self.0), info, link))
    }

    fn call(&self, connection: &Rc<Connection>, request: Request<RequestBody>) -> ResponseFuture<Connection> {
        ResponseFuture::new(Rc::clone(connection), request)
    }

    fn take_file(body: &mut ResponseBody) -> Option<Box<FileBody>> {
        body.take_file()
    }

    fn time_out(response: &mut ResponseFuture<Connection>) {
        response.cancel();
    }

    /// `receive` gives a disconnect; the application may still respond: a half-closed client still reads. A handshake is
    /// given up.
    fn client_half_closed(&self, connection: &Rc<Connection>) -> bool {
        Python::attach(|py| connection.client_half_closed(py))
    }

    fn serves_websocket(&self) -> bool {
        self.0.application.sockets.are_served()
    }

    fn end_streams(&self, which: Streams) {
        Python::attach(|py| self.0.application.end_streams(py, which));
    }
}
