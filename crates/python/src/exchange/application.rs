//! The application of an asynchronous interface, and starting it.

use super::call::{Call, TaskDone};
use crate::{
    call::{ApplicationTask, Listeners, Notice, Origin, bind},
    response::Stream,
    websocket::Sockets,
};
use hostler_eventloop::{Started, Tasks};
use hostler_http::Streams;
use pyo3::prelude::*;
use std::{cell::Cell, rc::Rc};

/// An application, how its tasks are made, the WebSockets that it has open, and its suspended requests.
pub(crate) struct Application {
    app: Py<PyAny>,
    pub(crate) tasks: Rc<Tasks>,
    pub(crate) sockets: Rc<Sockets>,
    pub(crate) requests: Listeners,
    /// The streams that are to end.
    ending: Cell<Option<Streams>>,
}

impl Application {
    pub(crate) fn new(
        app: Bound<'_, PyAny>,
        event_loop: &Bound<'_, PyAny>,
        sockets: Sockets,
    ) -> PyResult<Self> {
        Ok(Self {
            app: app.unbind(),
            tasks: Rc::new(Tasks::new(event_loop)?),
            sockets: Rc::new(sockets),
            requests: Listeners::default(),
            ending: Cell::new(None),
        })
    }

    /// The worker drains: these streams are told to end.
    pub(crate) fn end_streams(&self, py: Python<'_>, which: Streams) {
        self.ending.set(self.ending.get().max(Some(which)));
        self.requests.notify(py, Notice::Draining);
        self.sockets.restart(py);
    }

    /// Whether this stream is to end, once the body of its request was read.
    pub(crate) fn ends(&self, stream: &Stream) -> bool {
        self.ending.get().is_some_and(|which| which == Streams::All || stream.is_endless())
    }

    /// What its WebSockets need.
    pub(crate) fn for_sockets(&self) -> (&Rc<Tasks>, &Rc<Sockets>) {
        (&self.tasks, &self.sockets)
    }

    /// Calls the application for `call` and runs it until its first real suspension.
    pub(crate) fn start<'py, T: Call, const N: usize>(
        &self,
        call: &Bound<'py, T>,
        args: [&Bound<'py, PyAny>; N],
        origin: impl FnOnce() -> Origin,
    ) -> PyResult<()> {
        let app = self.app.bind(call.py());
        match self.tasks.start(app, args, || bind::<T, TaskDone>(call))? {
            Started::Done(error) => T::application_ended(call, error, || Some(origin())),
            Started::Suspended(task) => T::suspended(call, ApplicationTask::new(task, origin())),
        }
        Ok(())
    }
}
