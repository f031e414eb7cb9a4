//! An application's task that is suspended, and the request that it background for.

use crate::logging::application_error;
use hostler_http::{BackgroundTask, BackgroundTasks};
use hyper::{Method, Uri};
use pyo3::{intern, prelude::*};

/// A suspended task, until it ends.
pub(crate) struct Running {
    /// asyncio itself keeps only a weak reference.
    task: Py<PyAny>,
    request: Purpose,
    /// It goes on, though the request is answered.
    work: Option<BackgroundTask>,
}

/// What a task is for.
pub(crate) struct Purpose {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) background: BackgroundTasks,
}

impl Purpose {
    /// The method and the target of a request.
    pub(crate) fn of<B>(request: &hyper::Request<B>, background: &BackgroundTasks) -> Self {
        Self { method: request.method().clone(), uri: request.uri().clone(), background: background.clone() }
    }
}

impl Running {
    pub(crate) fn new(task: Bound<'_, PyAny>, request: Purpose) -> Self {
        Self { task: task.unbind(), request, work: None }
    }

    pub(crate) fn task(&self, py: Python<'_>) -> Py<PyAny> {
        self.task.clone_ref(py)
    }

    /// The request is over; whether the task goes on, and counts as work from now on.
    pub(crate) fn goes_on(&mut self, py: Python<'_>) {
        let done = self.task.bind(py).call_method0(intern!(py, "done")).and_then(|done| done.is_truthy());
        if self.work.is_some() || done.unwrap_or(true) {
            return;
        }
        let task = self.task(py);
        let stop = Box::new(move || Python::attach(|py| cancel(task.bind(py))));
        self.work = Some(self.request.background.begin(&self.request.method, &self.request.uri, stop));
    }
}

/// Cancels a request's task.
pub(crate) fn cancel(task: &Bound<'_, PyAny>) {
    if let Err(error) = task.call_method0(intern!(task.py(), "cancel")) {
        application_error(task.py(), "a request's task could not be cancelled", &error);
    }
}
