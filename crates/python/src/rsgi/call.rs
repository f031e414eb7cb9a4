//! Calls the application for a request or a WebSocket.

use super::{connection::Connection, http_protocol::HttpProtocol, scope::Scope, websocket::Socket};
use crate::{
    call::Origin,
    exchange::{self, Application},
    websocket::{Handshake, Session},
};
use hostler_http::{BackgroundTasks, Began, RequestBody};
use hyper::{Method, Request};
use pyo3::prelude::*;
use std::rc::Rc;

impl exchange::Connection for Connection {
    type Request = HttpProtocol;

    fn application(&self) -> &Application {
        &self.shared.application
    }

    fn background(&self) -> &BackgroundTasks {
        &self.link.background
    }

    fn call_http(
        self: &Rc<Self>,
        py: Python<'_>,
        request: Request<RequestBody>,
        began: Began,
    ) -> PyResult<Py<HttpProtocol>> {
        let (head, body) = request.into_parts();
        let head = Request::from_parts(head, ());
        let head_request = head.method() == Method::HEAD;
        let origin = Origin::of(&head, &self.link.background, began);
        let scope = Bound::new(py, Scope::new("http", head, Rc::clone(self)))?;
        let request = (scope.clone().unbind(), began, head_request);
        let protocol = Bound::new(py, HttpProtocol::new(Rc::clone(self), body, request))?;
        self.application().start(&protocol, [scope.as_any(), protocol.as_any()], || origin)?;
        if protocol.get().is_suspended(py) {
            HttpProtocol::listen(&protocol);
        }
        Ok(protocol.unbind())
    }

    fn call_websocket(
        self: &Rc<Self>,
        py: Python<'_>,
        request: Request<RequestBody>,
        began: Began,
        handshake: Handshake,
    ) -> PyResult<Rc<Session>> {
        let interface = Rc::clone(&self.shared);
        let session = Session::new(self.application().for_sockets(), interface, &self.link, handshake);
        self.handshake.set(&session);
        let head = request.map(drop);
        let origin = Origin::of(&head, &self.link.background, began);
        let scope = Bound::new(py, Scope::new("ws", head, Rc::clone(self)))?;
        let socket = Bound::new(py, Socket::new(Rc::clone(&session), Rc::clone(&self.shared)))?;
        self.application().start(&socket, [scope.as_any(), socket.as_any()], || origin)?;
        Ok(session)
    }
}
