//! An application's task that is suspended, and the request that it works for.

use crate::logging::application_error;
use hostler_http::{BackgroundTask, BackgroundTasks, Began, Forwarded, RequestFacts, RequestId};
use hyper::{Method, Uri, http::Extensions};
use pyo3::{intern, prelude::*};
use std::net::SocketAddr;

/// A suspended task, until it ends.
pub(crate) struct ApplicationTask {
    /// asyncio itself keeps only a weak reference.
    task: Py<PyAny>,
    origin: Origin,
    /// It outlives the response and counts as in flight.
    background: Option<BackgroundTask>,
}

/// The request that a task works for.
pub(crate) struct Origin {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) background: BackgroundTasks,
    pub(crate) began: Began,
    /// The id in its header, if one is configured for ids.
    pub(crate) id: Option<RequestId>,
    /// The client, if a proxy has told of another than the connection's.
    pub(crate) client: Option<SocketAddr>,
}

impl Origin {
    pub(crate) fn of<B>(request: &hyper::Request<B>, background: &BackgroundTasks, began: Began) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            background: background.clone(),
            began,
            id: background.given_id(request.headers()),
            client: told_client(request.extensions()),
        }
    }

    /// For the log.
    pub(crate) fn facts(&self) -> RequestFacts {
        let client = self.client.or_else(|| self.background.client());
        RequestFacts::of(self.began, (&self.method, &self.uri), client, self.id.as_ref())
    }
}

/// The client that a proxy has told of.
pub(crate) fn told_client(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<Forwarded>().and_then(|forwarded| forwarded.client)
}

impl ApplicationTask {
    pub(crate) fn new(task: Bound<'_, PyAny>, origin: Origin) -> Self {
        Self { task: task.unbind(), origin, background: None }
    }

    /// The request that it works for.
    pub(crate) fn into_origin(self) -> Origin {
        self.origin
    }

    /// Cancels it, when the returned function is called.
    pub(crate) fn canceller(&self, py: Python<'_>) -> impl FnOnce() + use<> {
        let task = self.task.clone_ref(py);
        move || Python::attach(|py| cancel(task.bind(py)))
    }

    /// The request is over: if the task is not done, it counts as in flight from now on.
    pub(crate) fn outlives_request(&mut self, py: Python<'_>) {
        let done = self.task.bind(py).call_method0(intern!(py, "done")).and_then(|done| done.is_truthy());
        if self.background.is_some() || done.unwrap_or(true) {
            return;
        }
        let stop = Box::new(self.canceller(py));
        let Origin { method, uri, background, .. } = &self.origin;
        self.background = Some(background.begin(method, uri, stop));
    }
}

fn cancel(task: &Bound<'_, PyAny>) {
    if let Err(error) = task.call_method0(intern!(task.py(), "cancel")) {
        application_error(task.py(), "cannot cancel a request's task", &error);
    }
}
