//! The future of one request's answer, polled by hyper inside the connection's task.

use super::{Shared, callables, cycle::Cycle, scope::ConnectionScope, websocket};
use crate::{
    logging::application_error,
    response::ResponseBody,
    running::Purpose,
    task::Started,
    websocket::{Session, asks_for_websocket},
};
use hostler_http::{Aborted, RequestBody};
use hyper::{Method, Request, Response, Version};
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
    /// Not polled yet. The application is called at the first poll and not before, because by then hyper
    /// has put what it already has of the request's body where `receive` finds it.
    New {
        shared: Rc<Shared>,
        connection: Rc<ConnectionScope>,
        request: Request<RequestBody>,
    },
    Called(Py<Cycle>),
    /// A handshake whose application has not answered yet.
    Handshake(Rc<Session>),
    Refused(Response<ResponseBody>),
    Over,
}

impl Answer {
    pub(super) fn new(
        shared: Rc<Shared>,
        connection: Rc<ConnectionScope>,
        request: Request<RequestBody>,
    ) -> Self {
        Self(Stage::New { shared, connection, request })
    }

    /// Cancels the application's task: nobody waits for its answer any more.
    pub(super) fn cancel(&mut self) {
        if let Stage::Called(cycle) = &self.0 {
            Python::attach(|py| cycle.get().cancel(py));
        }
    }
}

impl Future for Answer {
    type Output = Result<Response<ResponseBody>, Aborted>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        Python::attach(|py| {
            let stage = match std::mem::replace(&mut this.0, Stage::Over) {
                Stage::New { shared, connection, request } => {
                    match begin(py, &shared, &connection, request) {
                        Ok(stage) => stage,
                        Err(error) => {
                            application_error(py, "an ASGI request could not be begun", &error);
                            return Poll::Ready(Err(Aborted));
                        }
                    }
                }
                stage => stage,
            };
            let polled = match stage {
                Stage::Called(ref cycle) => cycle.get().poll_answer(py, cx),
                Stage::Handshake(ref session) => session.poll_answer(py, cx),
                Stage::Refused(refusal) => return Poll::Ready(Ok(refusal)),
                Stage::New { .. } | Stage::Over => Poll::Pending,
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
            Stage::Called(cycle) => Python::attach(|py| cycle.get().answer_dropped(py)),
            Stage::Handshake(session) => Python::attach(|py| session.abandoned(py)),
            Stage::New { .. } | Stage::Refused(_) | Stage::Over => {}
        }
    }
}

/// Calls the application and runs it until its first real suspension.
fn begin(
    py: Python<'_>,
    shared: &Rc<Shared>,
    connection: &ConnectionScope,
    request: Request<RequestBody>,
) -> PyResult<Stage> {
    if shared.sockets.are_served() && asks_for_websocket(&request) {
        return websocket::begin(py, shared, connection, &request).map(|begun| match begun {
            Ok(session) => Stage::Handshake(session),
            Err(refusal) => Stage::Refused(refusal),
        });
    }
    let scope = connection.of(py, shared, &request)?;
    let head_request = request.method() == Method::HEAD;
    let interim = (request.version() == Version::HTTP_11).then(|| connection.link().interim.clone());
    let (head, body) = request.into_parts();
    let cycle = Cycle::new(Rc::clone(shared), body, head_request, interim);
    let cycle = Bound::new(py, cycle)?;
    let (receive, send) = (callables::receive(&cycle)?, callables::send(&cycle)?);
    let args = [scope.as_any(), &receive, &send];
    match shared.tasks.start(shared.app.bind(py), args, || cycle.getattr(intern!(py, "_task_done")))? {
        Started::Done(error) => cycle.get().application_ended(py, error),
        Started::Suspended(task) => {
            let background = connection.link().background.clone();
            cycle.get().runs(py, task, Purpose { method: head.method, uri: head.uri, background });
            connection.set_current(py, Some(cycle.clone().unbind()));
        }
    }
    Ok(Stage::Called(cycle.unbind()))
}
