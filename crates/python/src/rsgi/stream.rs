//! The transport of a streamed response; the response ends with it.

use super::Exchange;
use crate::{
    awaitable::{Finished, Waiting},
    gil::GilCell,
    response::{HIGH_WATER, Stream, bytes_of},
};
use bytes::Bytes;
use pyo3::{prelude::*, types::PyString};
use std::rc::Rc;

/// What `response_stream` returns.
#[pyclass(frozen, name = "HTTPStreamTransport", module = "hostler.rsgi")]
pub(crate) struct StreamTransport {
    state: GilCell<State>,
    exchange: Py<Exchange>,
}

struct State {
    stream: Rc<Stream>,
    sent: u64,
    announced: Option<u64>,
    bodiless: bool,
}

impl StreamTransport {
    pub(super) fn new(
        stream: Rc<Stream>,
        exchange: Py<Exchange>,
        announced: Option<u64>,
        bodiless: bool,
    ) -> Self {
        Self { state: GilCell::new(State { stream, sent: 0, announced, bodiless }), exchange }
    }

    /// Sends a piece; an awaitable that is finished once there is room for more.
    fn send<'py>(&self, py: Python<'py>, piece: Bytes) -> PyResult<Bound<'py, PyAny>> {
        let connection = self.exchange.get().connection(py);
        let errors = &connection.shared.errors;
        if !self.exchange.get().takes_pieces(py) {
            return Err(errors.gone(py));
        }
        let (stream, bodiless, announced, blocks) = self.state.with(py, |state| {
            let before = state.sent;
            state.sent += piece.len() as u64;
            let announced = state.announced.filter(|announced| !state.bodiless && state.sent > *announced);
            let blocks = state.sent / HIGH_WATER as u64 - before / HIGH_WATER as u64;
            (Rc::clone(&state.stream), state.bodiless, announced, blocks)
        });
        if let Some(announced) = announced {
            let text = format!("the response body is longer than Content-Length says, which is {announced}");
            return Err(errors.wrong(py, &text));
        }
        // Nobody takes what is sent for HEAD, so nothing else would ever suspend who sends without an end.
        if bodiless && blocks > 0 {
            return Waiting::alone(&connection.shared.tasks.turn(py)?);
        }
        if bodiless || !stream.push(py, piece) {
            return Finished::none(py);
        }
        let future = connection.shared.tasks.future(py)?;
        stream.await_room(py, future.clone().unbind());
        Waiting::alone(&future)
    }
}

impl Drop for StreamTransport {
    fn drop(&mut self) {
        Python::attach(|py| {
            let (stream, missing) = self.state.with(py, |state| {
                let short = state.announced.filter(|announced| !state.bodiless && state.sent < *announced);
                (Rc::clone(&state.stream), short.map(|announced| (state.sent, announced)))
            });
            match missing {
                Some((sent, announced)) if self.exchange.get().is_streaming(py) => {
                    tracing::error!(sent, announced, "a response of the RSGI application is too short");
                    stream.fail(py);
                }
                _ => stream.complete(py),
            }
        });
    }
}

#[pymethods]
impl StreamTransport {
    fn send_bytes<'py>(&self, py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.send(py, bytes_of(data)?)
    }

    fn send_str<'py>(&self, py: Python<'py>, data: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.send(py, Bytes::copy_from_slice(data.to_str()?.as_bytes()))
    }
}
