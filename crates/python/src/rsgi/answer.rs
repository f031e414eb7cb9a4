//! The future of one request's answer, polled by hyper inside the connection's task.

use super::{connection::Connection, exchange::Exchange, scope::Scope, websocket};
use crate::{
    logging::application_error,
    response::ResponseBody,
    running::Purpose,
    task::Started,
    websocket::{Session, asks_for_websocket},
};
use hostler_http::{Aborted, RequestBody};
use hyper::{Method, Request, Response};
use pyo3::{intern, prelude::*};
use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// An answer under way. Dropped unfinished, it tells the application that the client is gone.
pub(crate) struct Answer(Stage);

enum Stage {
    /// Not polled yet: by the first poll hyper has put what it has of the body where the application finds it.
    New(Rc<Connection>, Request<RequestBody>),
    Called(Py<Exchange>),
    /// A handshake whose application has not answered yet.
    Handshake(Rc<Session>),
    Refused(Response<ResponseBody>),
    Over,
}

impl Answer {
    pub(super) fn new(connection: Rc<Connection>, request: Request<RequestBody>) -> Self {
        Self(Stage::New(connection, request))
    }

    /// Cancels the application's task: nobody waits for its answer any more.
    pub(super) fn cancel(&mut self) {
        if let Stage::Called(exchange) = &self.0 {
            Python::attach(|py| exchange.get().cancel(py));
        }
    }
}

impl Future for Answer {
    type Output = Result<Response<ResponseBody>, Aborted>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        Python::attach(|py| {
            let stage = match std::mem::replace(&mut this.0, Stage::Over) {
                Stage::New(connection, request) => match begin(py, &connection, request) {
                    Ok(stage) => stage,
                    Err(error) => {
                        application_error(py, "an RSGI request could not be begun", &error);
                        return Poll::Ready(Err(Aborted));
                    }
                },
                stage => stage,
            };
            let polled = match stage {
                Stage::Called(ref exchange) => exchange.get().poll_answer(py, cx),
                Stage::Handshake(ref session) => session.poll_answer(py, cx),
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

impl Drop for Answer {
    fn drop(&mut self) {
        match &self.0 {
            Stage::Called(exchange) => Python::attach(|py| exchange.get().answer_dropped(py)),
            Stage::Handshake(session) => Python::attach(|py| session.abandoned(py)),
            Stage::New(..) | Stage::Refused(_) | Stage::Over => {}
        }
    }
}

/// Calls the application and runs it until its first real suspension.
fn begin(py: Python<'_>, connection: &Rc<Connection>, request: Request<RequestBody>) -> PyResult<Stage> {
    let shared = &connection.shared;
    let is_socket = shared.sockets.are_served() && asks_for_websocket(&request);
    let (head, body) = request.into_parts();
    let head = Request::from_parts(head, ());
    if is_socket {
        return websocket::begin(py, connection, head).map(|begun| match begun {
            Ok(session) => Stage::Handshake(session),
            Err(refusal) => Stage::Refused(refusal),
        });
    }
    let head_request = head.method() == Method::HEAD;
    let request = Purpose::of(&head, &connection.link.background);
    let scope = Bound::new(py, Scope::new("http", head, Rc::clone(connection)))?;
    let exchange = Bound::new(py, Exchange::new(Rc::clone(connection), body, head_request))?;
    let args = [scope.as_any(), exchange.as_any()];
    match shared.tasks.start(shared.app.bind(py), args, || exchange.getattr(intern!(py, "_task_done")))? {
        Started::Done(error) => exchange.get().application_ended(py, error),
        Started::Suspended(task) => exchange.get().runs(py, task, request),
    }
    Ok(Stage::Called(exchange.unbind()))
}
