//! What the application receives of its request: `receive`.

use super::{
    events,
    request::{HttpRequest, Receivable},
};
use crate::{
    call::{Function, Method},
    exchange::{Cut, HttpCall, pump},
};
use hostler_eventloop::{Source, WaitQueue, Waiting};
use pyo3::prelude::*;
use std::ffi::CStr;

/// ASGI's `receive`.
pub(super) struct Receive;

impl Function for Receive {
    const NAME: &'static CStr = c"receive";
    const DOC: &'static CStr = c"Awaits the next event.";
    const TAKES_ARGUMENT: bool = false;
}

impl Method<HttpRequest> for Receive {
    fn call<'py>(
        of: &Bound<'py, HttpRequest>,
        _none: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Waiting::on(of.py(), Events(of.clone().unbind()))
    }
}

/// The request's events, as what `receive` waits for.
struct Events(Py<HttpRequest>);

impl Source for Events {
    fn waiters(&self) -> &WaitQueue {
        &self.0.get().exchange.readers
    }

    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let request = self.0.get();
        if let Receivable::Disconnect = request.receivable(py) {
            return events::disconnect(py).map(Some);
        }
        let looked = request.exchange.with_body(py, |body| {
            body.look(false)?;
            Ok(body.take_piece())
        });
        match looked {
            Ok(Some((piece, more))) => events::request(py, &piece, more).map(Some),
            Ok(None) => Ok(None),
            Err(Cut) => {
                request.body_cut(py);
                events::disconnect(py).map(Some)
            }
        }
    }

    fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.get().shared(py).application.tasks.future(py)
    }

    fn request(&self, py: Python<'_>) -> PyResult<()> {
        pump(py, &self.0)
    }
}
