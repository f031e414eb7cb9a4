//! RSGI 1.6, the interface of Granian (docs/spec/RSGI.md of its repository): one call for each request, with a scope
//! object and a protocol object instead of events.
//!
//! [`RsgiApp`] is the application as the server sees it. A request is an [`http_protocol::HttpProtocol`], which the
//! application gets as its protocol; a WebSocket is a [`websocket::Socket`] over a session of `crate::websocket`.
//!
//! | file | duty |
//! |---|---|
//! | `shared` | the application and what every request of it needs; its exceptions |
//! | `connection` | what the requests of a connection have in common |
//! | `call` | calls the application for a request or a WebSocket |
//! | `scope` | the scope object and its headers |
//! | `http_protocol` | a request's state |
//! | `methods` | methods of the protocol object |
//! | `request_body` | reading the body, whole or in pieces |
//! | `stream` | the transport of a streamed response |
//! | `websocket` | protocol, transport and messages of a WebSocket |

mod call;
mod connection;
mod http_protocol;
mod methods;
mod request_body;
mod scope;
mod shared;
mod stream;
mod websocket;

pub(crate) use http_protocol::HttpProtocol;
pub(crate) use scope::{Headers, Scope};
pub(crate) use shared::Errors;
pub(crate) use stream::StreamTransport;
pub(crate) use websocket::{Message, Socket, Transport};

use crate::{
    exchange::{Application, ResponseFuture},
    response::ResponseBody,
    websocket::Sockets,
};
use connection::{Connection, OpenConnection};
use hostler_http::{App, ConnectionInfo, FileBody, Link, RequestBody, Streams};
use hostler_settings::WebSocket;
use hyper::Request;
use pyo3::prelude::*;
use shared::Shared;
use std::rc::Rc;

/// An RSGI application as the server calls it.
pub(crate) struct RsgiApp(Rc<Shared>);

impl RsgiApp {
    pub(crate) fn new(
        app: Bound<'_, PyAny>,
        event_loop: &Bound<'_, PyAny>,
        errors: Errors,
        websocket: WebSocket,
    ) -> PyResult<Self> {
        let application = Application::new(app, event_loop, Sockets::new(websocket))?;
        Ok(Self(Rc::new(Shared::new(application, errors))))
    }
}

impl App for RsgiApp {
    type Body = ResponseBody;
    type Connection = OpenConnection;
    type ResponseFuture = ResponseFuture<Connection>;

    fn connect(&self, info: ConnectionInfo, link: Link) -> OpenConnection {
        OpenConnection(Rc::new(Connection::new(Rc::clone(&self.0), info, link)))
    }

    fn call(
        &self,
        connection: &Rc<OpenConnection>,
        request: Request<RequestBody>,
    ) -> ResponseFuture<Connection> {
        ResponseFuture::new(Rc::clone(&connection.0), request)
    }

    fn take_file(body: &mut ResponseBody) -> Option<Box<FileBody>> {
        body.take_file()
    }

    fn time_out(response: &mut ResponseFuture<Connection>) {
        response.cancel();
    }

    /// `client_disconnect()` is finished; the application may still respond: a half-closed client still reads.
    /// A handshake is given up.
    fn client_half_closed(&self, connection: &Rc<OpenConnection>) -> bool {
        Python::attach(|py| connection.0.client_half_closed(py))
    }

    fn serves_websocket(&self) -> bool {
        self.0.application.sockets.are_served()
    }

    fn end_streams(&self, which: Streams) {
        Python::attach(|py| self.0.application.end_streams(py, which));
    }
}
