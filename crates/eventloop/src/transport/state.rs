//! The state of a transport, and the Python objects that it holds.
//!
//! Invariant: it is only touched through [`GilCell::with`], never across a call into Python, which may close the
//! transport or replace its protocol at any time. So the state is read again after every call.

use super::{flow::Flow, queue::Queue, receiver::Receiver, socket::Socket};
use crate::{core::LoopCore, gil::GilCell};
use pyo3::{
    PyTraverseError, PyVisit,
    prelude::*,
    types::{PyDict, PyTuple},
};
use std::{os::fd::RawFd, task::Waker};

/// The Rust half of a transport of connected stream sockets.
#[pyclass(subclass, frozen, weakref, module = "hostler")]
pub struct SocketTransport {
    pub(super) state: GilCell<State>,
}

pub(super) struct State {
    /// Gone once the connection is lost.
    pub(super) socket: Option<Socket>,
    pub(super) fd: RawFd,
    /// The waker of the transport's task, once that was polled.
    pub(super) task: Option<Waker>,
    pub(super) objects: Objects,
    pub(super) reading: Reading,
    pub(super) queue: Queue,
    /// The queue is to be flushed at the end of the loop's turn.
    pub(super) held: bool,
    pub(super) flow: Flow,
    /// `close()` was called, or the connection failed.
    pub(super) closing: bool,
    /// `write_eof()` was called.
    pub(super) ended: bool,
    /// Above 0 from when `connection_lost` is scheduled; then counts the writes that came too late.
    pub(super) lost: u32,
}

/// Whether the transport reads.
#[derive(Default)]
pub(super) struct Reading {
    /// `connection_made` was called.
    pub(super) started: bool,
    pub(super) paused: bool,
    /// The peer has ended its stream and the protocol keeps writing (half-closed).
    pub(super) ended: bool,
}

impl State {
    /// Whether the protocol wants what arrives.
    pub(super) fn reads(&self) -> bool {
        self.socket.is_some()
            && !self.closing
            && self.lost == 0
            && self.reading.started
            && !self.reading.paused
            && !self.reading.ended
    }
}

/// The Python objects that a transport holds.
#[derive(Default)]
pub(super) struct Objects {
    pub(super) core: Option<Py<LoopCore>>,
    pub(super) sock: Option<Py<PyAny>>,
    pub(super) protocol: Option<Py<PyAny>>,
    /// The protocol's methods for what arrives; looked up when something does.
    pub(super) receiver: Option<Receiver>,
    pub(super) server: Option<Py<PyAny>>,
    pub(super) extra: Option<Py<PyDict>>,
    /// The context of the protocol's callbacks.
    pub(super) context: Option<Py<PyAny>>,
    /// The future of a `sendfile` that waits until all is sent.
    pub(super) empty_waiter: Option<Py<PyAny>>,
}

impl Objects {
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.core)?;
        visit.call(&self.extra)?;
        if let Some(receiver) = &self.receiver {
            receiver.traverse(visit)?;
        }
        for object in [&self.sock, &self.protocol, &self.server, &self.context, &self.empty_waiter] {
            visit.call(object)?;
        }
        Ok(())
    }
}

/// A transport, as its own functions take it.
pub(super) type This<'a, 'py> = &'a Bound<'py, SocketTransport>;

impl SocketTransport {
    pub(super) fn with<R>(&self, py: Python<'_>, work: impl FnOnce(&mut State) -> R) -> R {
        self.state.with(py, work)
    }

    /// The loop, unless the connection is lost.
    pub(super) fn core<'py>(&self, py: Python<'py>) -> Option<Bound<'py, LoopCore>> {
        self.with(py, |state| state.objects.core.as_ref().map(|core| core.bind(py).clone()))
    }

    pub(super) fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.with(py, |state| state.objects.protocol.as_ref().map(|protocol| protocol.bind(py).clone()))
    }

    /// Wakes the transport's task, which reads the state again.
    pub(super) fn wake(&self, py: Python<'_>) {
        if let Some(task) = self.with(py, |state| state.task.clone()) {
            task.wake();
        }
    }

    /// `loop.call_soon(callback, argument)`; nothing once the connection is lost.
    pub(super) fn call_soon<'py>(
        &self,
        callback: &Bound<'py, PyAny>,
        args: impl IntoIterator<Item = Bound<'py, PyAny>, IntoIter: ExactSizeIterator>,
    ) -> PyResult<()> {
        let py = callback.py();
        let Some(core) = self.core(py) else { return Ok(()) };
        LoopCore::queue_call(&core, callback.clone(), PyTuple::new(py, args)?, None).map(drop)
    }

    /// The protocol's methods for what arrives; `None` if there is no protocol any more.
    pub(super) fn receiver(&self, py: Python<'_>) -> PyResult<Option<Receiver>> {
        let kept =
            self.with(py, |state| state.objects.receiver.as_ref().map(|receiver| receiver.clone_ref(py)));
        if kept.is_some() {
            return Ok(kept);
        }
        let Some(protocol) = self.protocol(py) else { return Ok(None) };
        let found = Receiver::of(&protocol)?;
        let keep = found.clone_ref(py);
        drop(self.with(py, |state| state.objects.receiver.replace(keep)));
        Ok(Some(found))
    }
}
