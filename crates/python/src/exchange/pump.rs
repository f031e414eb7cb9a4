//! Reading a request's body while the application waits for it.

use super::{body::Cut, call::HttpCall};
use hostler_eventloop::spawn_local;
use pyo3::{exceptions::PyRuntimeError, prelude::*};
use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

/// Reads a request's body, in a task of the runtime, until there is something for the first `receive` call that waits;
/// unless that goes on already.
pub(crate) fn pump<T: HttpCall>(py: Python<'_>, call: &Py<T>) -> PyResult<()> {
    let exchange = call.get().exchange();
    if !exchange.with_body(py, |body| body.begin_pump()) {
        return Ok(());
    }
    let spawned = spawn_local(poll_fn({
        let call = call.clone_ref(py);
        move |cx| Python::attach(|py| poll_pump(call.get(), py, cx))
    }));
    if !spawned {
        exchange.with_body(py, |body| body.no_pump());
        return Err(PyRuntimeError::new_err("a request is read in the thread that serves it"));
    }
    Ok(())
}

fn poll_pump(call: &impl HttpCall, py: Python<'_>, cx: &mut Context<'_>) -> Poll<()> {
    let all = call.wants_whole_body(py);
    match ready!(call.exchange().with_body(py, |body| body.poll_pump(all, cx))) {
        Ok(()) => call.exchange().readers.wake_first(py),
        Err(Cut) => call.body_cut(py),
    }
    Poll::Ready(())
}
