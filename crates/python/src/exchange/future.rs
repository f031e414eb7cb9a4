//! The future of a response, which hyper polls inside the connection's task.

use super::{application::Application, call::HttpCall};
use crate::{
    logging::request_error,
    response::{ResponseBody, ResponseResult},
    websocket::{Handshake, Session, asks_for_websocket},
};
use hostler_http::{Aborted, BackgroundTasks, Began, RequestBody, RequestFacts};
use hyper::{Request, Response};
use pyo3::prelude::*;
use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// A connection of an asynchronous interface.
pub(crate) trait Connection: Sized + 'static {
    /// The request as the application holds it.
    type Request: HttpCall;

    fn application(&self) -> &Application;

    /// What its requests have in common with those of other connections.
    fn background(&self) -> &BackgroundTasks;

    /// Calls the application for a request.
    fn call_http(
        self: &Rc<Self>,
        py: Python<'_>,
        request: Request<RequestBody>,
        began: Began,
    ) -> PyResult<Py<Self::Request>>;

    /// Calls the application for a WebSocket.
    fn call_websocket(
        self: &Rc<Self>,
        py: Python<'_>,
        request: Request<RequestBody>,
        began: Began,
        handshake: Handshake,
    ) -> PyResult<Rc<Session>>;
}

/// A response in progress. Dropped before it is ready, it tells the application that the client is gone.
pub(crate) struct ResponseFuture<C: Connection>(Stage<C>);

enum Stage<C: Connection> {
    /// Not polled yet. The application is called at the first poll, because by then hyper has made available what it has
    /// already read of the request's body.
    New(Rc<C>, Box<Request<RequestBody>>, Began),
    Called(Py<C::Request>),
    /// A handshake without a response so far.
    Handshake(Rc<Session>),
    Refused(Box<Response<ResponseBody>>),
    Over,
}

// Nothing in it is pinned.
impl<C: Connection> Unpin for ResponseFuture<C> {}

impl<C: Connection> ResponseFuture<C> {
    pub(crate) fn new(connection: Rc<C>, request: Request<RequestBody>) -> Self {
        let began = connection.background().current();
        // Boxed: hyper moves this future, and a request is large.
        Self(Stage::New(connection, Box::new(request), began))
    }

    /// Calls the application, unless it was called before.
    fn start(&mut self, py: Python<'_>) -> Result<(), Aborted> {
        if !matches!(self.0, Stage::New(..)) {
            return Ok(());
        }
        let Stage::New(connection, request, began) = std::mem::replace(&mut self.0, Stage::Over) else {
            return Ok(());
        };
        self.0 = begin(py, &connection, *request, began).map_err(|error| {
            let what = format!("cannot start an {} request", C::Request::INTERFACE);
            request_error(py, &what, &error, &RequestFacts::in_flight(began));
            Aborted
        })?;
        Ok(())
    }

    /// The response to a handshake that is wrong.
    #[cold]
    fn refuse(&mut self) -> Poll<ResponseResult> {
        match std::mem::replace(&mut self.0, Stage::Over) {
            Stage::Refused(refusal) => Poll::Ready(Ok(*refusal)),
            _ => Poll::Pending,
        }
    }

    /// Cancels the application's task; the server responds in its place.
    pub(crate) fn cancel(&mut self) {
        match &self.0 {
            Stage::Called(call) => Python::attach(|py| call.get().cancel(py)),
            Stage::Handshake(session) => Python::attach(|py| session.cancel(py)),
            Stage::New(..) | Stage::Refused(_) | Stage::Over => {}
        }
    }
}

impl<C: Connection> Future for ResponseFuture<C> {
    type Output = ResponseResult;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ResponseResult> {
        let this = self.get_mut();
        Python::attach(|py| {
            this.start(py)?;
            let polled = match &this.0 {
                Stage::Called(call) => call.get().poll_response(py, cx),
                Stage::Handshake(session) => session.poll_response(py, cx),
                Stage::Refused(_) => this.refuse(),
                Stage::New(..) | Stage::Over => Poll::Pending,
            };
            if polled.is_ready() {
                this.0 = Stage::Over;
            }
            polled
        })
    }
}

impl<C: Connection> Drop for ResponseFuture<C> {
    fn drop(&mut self) {
        match &self.0 {
            Stage::Called(call) => Python::attach(|py| call.get().response_dropped(py)),
            Stage::Handshake(session) => Python::attach(|py| session.abandoned(py)),
            Stage::New(..) | Stage::Refused(_) | Stage::Over => {}
        }
    }
}

/// Calls the application and runs it until its first real suspension.
fn begin<C: Connection>(
    py: Python<'_>,
    connection: &Rc<C>,
    request: Request<RequestBody>,
    began: Began,
) -> PyResult<Stage<C>> {
    if !connection.application().sockets.are_served() || !asks_for_websocket(&request) {
        return connection.call_http(py, request, began).map(Stage::Called);
    }
    match Handshake::of(&request) {
        Ok(handshake) => connection.call_websocket(py, request, began, handshake).map(Stage::Handshake),
        Err(refusal) => Ok(Stage::Refused(Box::new(refusal.response()))),
    }
}
