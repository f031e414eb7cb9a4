//! The future of one request's answer, polled by hyper inside the connection's task.

use super::{
    Shared,
    body::AsgiBody,
    callables,
    cycle::{Cycle, task_error},
    scope::ConnectionScope,
    websocket::{Handshake, Session, asks_for_websocket},
};
use crate::{calls::call_with_names, eventloop::LoopCore, logging::application_error};
use hostler_http::Aborted;
use hyper::{Method, Request, Response, body::Incoming};
use pyo3::{intern, prelude::*};
use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// An answer under way. Dropped unfinished, it tells the application that the client is gone.
pub(crate) struct Answer(Stage);

#[expect(
    clippy::large_enum_variant,
    reason = "it lives in hyper's connection; a box would cost an allocation"
)]
enum Stage {
    /// Not polled yet. The application is called at the first poll and not before, because by then hyper
    /// has put what it already has of the request's body where `receive` finds it.
    New {
        shared: Rc<Shared>,
        connection: Rc<ConnectionScope>,
        request: Request<Incoming>,
    },
    Called(Py<Cycle>),
    /// A handshake whose application has not answered yet.
    Handshake(Py<Session>),
    Over,
}

impl Answer {
    pub(super) fn new(
        shared: Rc<Shared>,
        connection: Rc<ConnectionScope>,
        request: Request<Incoming>,
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
    type Output = Result<Response<AsgiBody>, Aborted>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        Python::attach(|py| {
            let cycle = match std::mem::replace(&mut this.0, Stage::Over) {
                Stage::Called(cycle) => cycle,
                Stage::Handshake(session) => return this.poll_handshake(py, session, cx),
                Stage::New { shared, connection, request }
                    if shared.websocket.is_some() && asks_for_websocket(&request) =>
                {
                    return match shake_hands(py, &shared, &connection, &request) {
                        Ok(Ok(session)) => this.poll_handshake(py, session, cx),
                        Ok(Err(refusal)) => Poll::Ready(Ok(refusal)),
                        Err(error) => {
                            application_error(py, "a WebSocket could not be begun", &error);
                            Poll::Ready(Err(Aborted))
                        }
                    };
                }
                Stage::New { shared, connection, request } => match call(py, &shared, &connection, request) {
                    Ok(cycle) => cycle,
                    Err(error) => {
                        application_error(py, "an ASGI request could not be begun", &error);
                        return Poll::Ready(Err(Aborted));
                    }
                },
                Stage::Over => return Poll::Pending,
            };
            let polled = cycle.get().poll_answer(py, cx);
            if polled.is_pending() {
                this.0 = Stage::Called(cycle);
            }
            polled.map(Ok)
        })
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        match &self.0 {
            Stage::Called(cycle) => Python::attach(|py| cycle.bind(py).get().answer_dropped(py, false)),
            Stage::Handshake(session) => Python::attach(|py| session.bind(py).get().abandoned(py)),
            Stage::New { .. } | Stage::Over => {}
        }
    }
}

impl Answer {
    fn poll_handshake(
        &mut self,
        py: Python<'_>,
        session: Py<Session>,
        cx: &Context<'_>,
    ) -> Poll<Result<Response<AsgiBody>, Aborted>> {
        let polled = session.get().poll_answer(py, cx);
        if polled.is_pending() {
            self.0 = Stage::Handshake(session);
        }
        polled.map(Ok)
    }
}

/// Calls the application for a WebSocket; the refusal if the handshake is wrong.
fn shake_hands(
    py: Python<'_>,
    shared: &Rc<Shared>,
    connection: &ConnectionScope,
    request: &Request<Incoming>,
) -> PyResult<Result<Py<Session>, Response<AsgiBody>>> {
    let handshake = match Handshake::of(request) {
        Ok(handshake) => handshake,
        Err((status, text)) => {
            let mut refusal = Response::new(AsgiBody::Whole(Some(text.into())));
            *refusal.status_mut() = status;
            let version = hyper::header::HeaderValue::from_static("13");
            refusal.headers_mut().insert(hyper::header::SEC_WEBSOCKET_VERSION, version);
            return Ok(Err(refusal));
        }
    };
    let session = Bound::new(py, Session::new(Rc::clone(shared), handshake, connection.upgrades()))?;
    let subprotocols = session.get().subprotocols(py);
    let scope = connection.of_websocket(py, shared, request, subprotocols)?;
    let (receive, send) = (session.getattr(intern!(py, "receive"))?, session.getattr(intern!(py, "send"))?);
    let started =
        shared.app.bind(py).call1((scope, receive, send)).and_then(|coroutine| start(py, shared, &coroutine));
    match started {
        Ok(task) if task.call_method0(intern!(py, "done"))?.is_truthy()? => {
            session.get().application_ended(py, task_error(&task));
        }
        Ok(task) => {
            let done = session.getattr(intern!(py, "_task_done"))?;
            task.call_method1(intern!(py, "add_done_callback"), (done,))?;
            session.get().keep_task(py, task);
        }
        Err(error) => session.get().application_ended(py, Some(error)),
    }
    Ok(Ok(session.unbind()))
}

/// Calls the application and runs it until its first real suspension.
fn call(
    py: Python<'_>,
    shared: &Rc<Shared>,
    connection: &ConnectionScope,
    request: Request<Incoming>,
) -> PyResult<Py<Cycle>> {
    let scope = connection.of(py, shared, &request)?;
    let head_request = request.method() == Method::HEAD;
    let cycle = Bound::new(py, Cycle::new(Rc::clone(shared), request.into_body(), head_request))?;
    let (receive, send) = (callables::receive(&cycle)?, callables::send(&cycle)?);
    let started =
        shared.app.bind(py).call1((scope, receive, send)).and_then(|coroutine| start(py, shared, &coroutine));
    match started {
        Ok(task) if task.call_method0(intern!(py, "done"))?.is_truthy()? => {
            cycle.get().application_ended(py, task_error(&task));
        }
        Ok(task) => {
            task.call_method1(
                intern!(py, "add_done_callback"),
                (cycle.getattr(intern!(py, "_task_done"))?,),
            )?;
            cycle.get().keep_task(py, task);
            connection.set_current(py, Some(cycle.clone().unbind()));
        }
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(py) => {
            cycle.get().application_ended(py, Some(error));
        }
        // SystemExit and KeyboardInterrupt end the worker, as they end a script.
        Err(error) => {
            shared.event_loop.get().fail(py, error.clone_ref(py));
            cycle.get().application_ended(py, Some(error));
        }
    }
    Ok(cycle.unbind())
}

/// Makes the application's coroutine a task and runs its first step here and now.
fn start<'py>(
    py: Python<'py>,
    shared: &Shared,
    coroutine: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let (class, names) = (shared.tasks.class.bind(py), shared.tasks.keywords.bind(py));
    let event_loop = shared.event_loop.bind(py);
    if shared.tasks.eager {
        let eager = pyo3::types::PyBool::new(py, true);
        return call_with_names(class, [coroutine, event_loop.as_any(), eager.as_any()], names);
    }
    let task = call_with_names(class, [coroutine, event_loop.as_any()], names)?;
    // The task has just asked the loop to run its first step soon; that is now.
    if let Some(step) = shared.event_loop.get().take_last(py) {
        LoopCore::run_handle(event_loop, step.bind(py));
    }
    Ok(task)
}
