//! The application of an asynchronous interface, and starting it.

use super::call::{Call, TaskDone};
use crate::{
    call::{ApplicationTask, Origin, bind},
    websocket::Sockets,
};
use hostler_eventloop::{Started, Tasks};
use pyo3::prelude::*;
use std::rc::Rc;

/// An application, how its tasks are made, and the WebSockets that it has open.
pub(crate) struct Application {
    app: Py<PyAny>,
    pub(crate) tasks: Rc<Tasks>,
    pub(crate) sockets: Rc<Sockets>,
}

impl Application {
    pub(crate) fn new(
        app: Bound<'_, PyAny>,
        event_loop: &Bound<'_, PyAny>,
        sockets: Sockets,
    ) -> PyResult<Self> {
        Ok(Self { app: app.unbind(), tasks: Rc::new(Tasks::new(event_loop)?), sockets: Rc::new(sockets) })
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
            Started::Done(error) => T::application_ended(call, error),
            Started::Suspended(task) => T::suspended(call, ApplicationTask::new(task, origin())),
        }
        Ok(())
    }
}
