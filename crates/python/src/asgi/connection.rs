//! A connection of an ASGI application, and calling the application for its requests.

use super::{
    receive::Receive, request::HttpRequest, scope::ScopeTemplate, send::Send, shared::Shared, websocket,
};
use crate::{
    call::{Listeners, Notice, Origin, bind, told_client},
    exchange::{self, Application},
    request::RequestMeta,
    websocket::{Handshake, Pending, Session},
};
use hostler_http::{BackgroundTasks, Began, ConnectionInfo, Link, RequestBody};
use hyper::{Method, Request, Version};
use pyo3::prelude::*;
use std::rc::Rc;

/// What the requests of a connection have in common.
pub(crate) struct Connection {
    shared: Rc<Shared>,
    link: Link,
    scopes: ScopeTemplate,
    /// Its suspended requests.
    requests: Listeners,
    handshake: Pending,
}

impl Connection {
    pub(super) fn new(py: Python<'_>, shared: Rc<Shared>, info: ConnectionInfo, link: Link) -> Self {
        let scopes = ScopeTemplate::new(py, &shared, &RequestMeta::of(info));
        Self { shared, link, scopes, requests: Listeners::default(), handshake: Pending::default() }
    }

    /// The client sends no more. Whether its request is to be handled all the same.
    pub(super) fn client_half_closed(&self, py: Python<'_>) -> bool {
        self.notify(py, Notice::ClientHalfClosed);
        !self.handshake.is_pending(py)
    }

    /// Tells its suspended requests.
    fn notify(&self, py: Python<'_>, notice: Notice) {
        self.requests.notify(py, notice);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        Python::attach(|py| self.notify(py, Notice::ConnectionClosed));
    }
}

impl exchange::Connection for Connection {
    type Request = HttpRequest;

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
    ) -> PyResult<Py<HttpRequest>> {
        let scope = self.scopes.http(py, &self.shared, &request)?;
        let interim = (request.version() == Version::HTTP_11).then(|| self.link.interim.clone());
        let (head, body) = request.into_parts();
        let head_request = head.method == Method::HEAD;
        let request = HttpRequest::new(Rc::clone(&self.shared), body, head_request, interim);
        let request = Bound::new(py, request)?;
        let (receive, send) = (bind::<_, Receive>(&request)?, bind::<_, Send>(&request)?);
        let args = [scope.as_any(), &receive, &send];
        let background = &self.link.background;
        let origin = || Origin {
            method: head.method,
            uri: head.uri,
            background: background.clone(),
            began,
            id: background.given_id(&head.headers),
            client: told_client(&head.extensions),
        };
        self.shared.application.start(&request, args, origin)?;
        request.get().listen(&request, &self.requests);
        Ok(request.unbind())
    }

    fn call_websocket(
        self: &Rc<Self>,
        py: Python<'_>,
        request: Request<RequestBody>,
        began: Began,
        handshake: Handshake,
    ) -> PyResult<Rc<Session>> {
        let interface: Rc<Shared> = Rc::clone(&self.shared);
        let session = Session::new(self.application().for_sockets(), interface, &self.link, handshake);
        let scope = self.scopes.websocket(py, &self.shared, &request, session.subprotocols())?;
        let socket = Bound::new(py, websocket::Socket::new(Rc::clone(&session)))?;
        let (receive, send) = (bind::<_, Receive>(&socket)?, bind::<_, Send>(&socket)?);
        let args = [scope.as_any(), &receive, &send];
        let origin = || Origin::of(&request, &self.link.background, began);
        self.handshake.set(&session);
        self.shared.application.start(&socket, args, origin)?;
        Ok(session)
    }
}
