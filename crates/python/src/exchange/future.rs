//! The future of a response, which hyper polls inside the connection's task.

use super::{application::Application, call::HttpCall};
use crate::{
    logging::application_error,
    response::{ResponseBody, ResponseResult},
    websocket::{Handshake, Session, asks_for_websocket},
};
use hostler_http::{Aborted, RequestBody};
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

    /// Calls the application for a request.
    fn call_http(
        self: &Rc<Self>,
        py: Python<'_>,
        request: Request<RequestBody>,
    ) -> PyResult<Py<Self::Request>>;

    /// Calls the application for a WebSocket.
    fn call_websocket(
        self: &Rc<Self>,
        py: Python<'_>,
        request: Request<RequestBody>,
        handshake: Handshake,
    ) -> PyResult<Rc<Session>>;
}

/// A response in progress. Dropped before it is ready, it tells the application that the client is gone.
pub(crate) struct ResponseFuture<C: Connection>(Stage<C>);

enum Stage<C: Connection> {
    /// Not polled yet. The application is called at the first poll, because by then hyper has made available what it has
    /// already read of the request's body.
    New(Rc<C>, Request<RequestBody>),
    Called(Py<C::Request>),
    /// A handshake without a response so far.
    Handshake(Rc<Session>),
    Refused(Response<ResponseBody>),
    Over,
}

// Nothing in it is pinned.
impl<C: Connection> Unpin for ResponseFuture<C> {}

impl<C: Connection> ResponseFuture<C> {
    pub(crate) fn new(connection: Rc<C>, request: Request<RequestBody>) -> Self {
        Self(Stage::New(connection, request))
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
            let stage = match std::mem::replace(&mut this.0, Stage::Over) {
                Stage::New(connection, request) => match begin(py, &connection, request) {
                    Ok(stage) => stage,
                    Err(error) => {
                        let what = format!("cannot start an {} request", C::Request::INTERFACE);
                        application_error(py, &what, &error);
                        return Poll::Ready(Err(Aborted));
                    }
                },
                stage => stage,
            };
            let polled = match stage {
                Stage::Called(ref call) => call.get().poll_response(py, cx),
                Stage::Handshake(ref session) => session.poll_response(py, cx),
                Stage::Refused(refusal) => return Poll::Ready(Ok(refusal)),
                Stage::New(..) | Stage::Over => Poll::Pending,
            };
            if polled.is_pending() {
                this.0 = stage;
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
) -> PyResult<Stage<C>> {
    if !connection.application().sockets.are_served() || !asks_for_websocket(&request) {
        return connection.call_http(py, request).map(Stage::Called);
    }
    match Handshake::of(&request) {
        Ok(handshake) => connection.call_websocket(py, request, handshake).map(Stage::Handshake),
        Err(refusal) => Ok(Stage::Refused(refusal.response())),
    }
}
