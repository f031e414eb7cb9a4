//! `SocketTransport`: asyncio's transport for connected stream sockets, TCP and Unix.
//!
//! tokio watches the descriptor for as long as the transport lives; one task of the runtime per transport
//! reads what arrives and writes what the kernel did not take ([`task`]). What was written is sent by the
//! loop's driver at the end of its turn ([`mod@write`]). The task keeps the transport
//! alive until the connection is lost, as a reader registered with CPython's selector does.
//!
//! The Python half is `_Transport` in python/hostler/_loop.py: what runs once per connection or only when
//! something fails. Behaviour follows `asyncio.selector_events._SelectorSocketTransport`. TLS is CPython's
//! sslproto on top of this; datagrams and pipes stay CPython's too.
//!
//! Invariant: the state is only touched through [`GilCell::with`], never across a call into Python, which
//! may close the transport or replace its protocol at any time. So everything is looked at again after one.

mod close;
mod context;
mod data;
mod flow;
mod queue;
mod read;
mod receiver;
mod socket;
mod task;
mod write;

pub(crate) use write::send_held;

use crate::core::LoopCore;
use crate::{calls::copy_context, gil::GilCell};
use flow::Flow;
use pyo3::{
    PyTraverseError, PyVisit,
    exceptions::PyRuntimeError,
    intern,
    prelude::*,
    types::{PyDict, PyTuple},
};
use queue::Queue;
use read::Reading;
use receiver::Receiver;
use socket::Socket;
use std::{os::fd::RawFd, task::Waker};

/// The Rust half of a transport of connected stream sockets.
#[pyclass(subclass, frozen, weakref, module = "hostler")]
pub struct SocketTransport {
    state: GilCell<State>,
}

struct State {
    /// Gone once the connection is lost.
    socket: Option<Socket>,
    fd: RawFd,
    /// The waker of the transport's task, once that was polled.
    task: Option<Waker>,
    objects: Objects,
    reading: Reading,
    queue: Queue,
    /// Nothing of the queue was tried to be sent yet; the loop does at the end of its turn.
    held: bool,
    flow: Flow,
    /// `close()` was called, or the connection failed.
    closing: bool,
    /// `write_eof()` was called.
    ended: bool,
    /// Above 0 from when `connection_lost` is scheduled; then counts the writes that came too late.
    lost: u32,
}

/// The Python objects that a transport holds.
#[derive(Default)]
struct Objects {
    core: Option<Py<LoopCore>>,
    sock: Option<Py<PyAny>>,
    protocol: Option<Py<PyAny>>,
    /// The protocol's methods for what arrives; looked up when something does.
    receiver: Option<Receiver>,
    server: Option<Py<PyAny>>,
    extra: Option<Py<PyDict>>,
    /// The context of the protocol's callbacks.
    context: Option<Py<PyAny>>,
    /// The future of a `sendfile` that waits until all is sent.
    empty_waiter: Option<Py<PyAny>>,
}

impl Objects {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
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

type This<'a, 'py> = &'a Bound<'py, SocketTransport>;

impl SocketTransport {
    fn with<R>(&self, py: Python<'_>, work: impl FnOnce(&mut State) -> R) -> R {
        self.state.with(py, work)
    }

    /// The loop, unless the connection is lost.
    fn core<'py>(&self, py: Python<'py>) -> Option<Bound<'py, LoopCore>> {
        self.with(py, |state| state.objects.core.as_ref().map(|core| core.bind(py).clone()))
    }

    fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.with(py, |state| state.objects.protocol.as_ref().map(|protocol| protocol.bind(py).clone()))
    }

    /// Has the task look at the state again.
    fn wake(&self, py: Python<'_>) {
        if let Some(task) = self.with(py, |state| state.task.clone()) {
            task.wake();
        }
    }

    /// `loop.call_soon(callback, argument)`; nothing once the connection is lost.
    fn call_soon<'py>(
        &self,
        callback: &Bound<'py, PyAny>,
        args: impl IntoIterator<Item = Bound<'py, PyAny>, IntoIter: ExactSizeIterator>,
    ) -> PyResult<()> {
        let py = callback.py();
        let Some(core) = self.core(py) else { return Ok(()) };
        LoopCore::queue_call(&core, callback.clone(), PyTuple::new(py, args)?, None).map(drop)
    }
}

#[pymethods]
impl SocketTransport {
    #[new]
    fn new(
        core: Py<LoopCore>,
        sock: Py<PyAny>,
        fd: RawFd,
        protocol: Py<PyAny>,
        extra: Py<PyDict>,
        server: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(PyRuntimeError::new_err("transports are made while the event loop runs"));
        }
        let objects = Objects {
            core: Some(core),
            sock: Some(sock),
            protocol: Some(protocol),
            extra: Some(extra),
            server,
            ..Objects::default()
        };
        Ok(Self {
            state: GilCell::new(State {
                socket: Some(Socket::watch(fd)?),
                fd,
                task: None,
                objects,
                reading: Reading::default(),
                queue: Queue::default(),
                held: false,
                flow: Flow::default(),
                closing: false,
                ended: false,
                lost: 0,
            }),
        })
    }

    /// Schedules what a new transport does: `connection_made`, reading, and telling the waiter.
    fn _start(slf: This<'_, '_>, waiter: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        task::spawn(slf);
        if let Some(protocol) = this.protocol(py) {
            let made = protocol.getattr(intern!(py, "connection_made"))?;
            this.call_soon(&made, [slf.as_any().clone()])?;
        }
        this.call_soon(&slf.getattr(intern!(py, "_start_reading"))?, [])?;
        match waiter {
            Some(waiter) => this.call_soon(&slf.getattr(intern!(py, "_tell"))?, [waiter]),
            None => Ok(()),
        }
    }

    fn _start_reading(&self, py: Python<'_>) -> PyResult<()> {
        let context = copy_context(py)?.unbind();
        self.with(py, |state| {
            state.objects.context = Some(context);
            state.reading.started = true;
        });
        self.wake(py);
        Ok(())
    }

    fn write(slf: This<'_, '_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        write::write(slf, data)
    }

    fn writelines(slf: This<'_, '_>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        write::write_lines(slf, list_of_data)
    }

    fn write_eof(slf: This<'_, '_>) -> PyResult<()> {
        write::write_eof(slf)
    }

    #[expect(clippy::unused_self, reason = "asyncio's transports have it as a method")]
    fn can_write_eof(&self) -> bool {
        true
    }

    fn close(slf: This<'_, '_>) -> PyResult<()> {
        close::close(slf)
    }

    fn abort(slf: This<'_, '_>) -> PyResult<()> {
        close::force_close(slf, None)
    }

    fn _force_close(slf: This<'_, '_>, error: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        close::force_close(slf, error)
    }

    fn _call_connection_lost(slf: This<'_, '_>, error: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        close::connection_lost(slf, error)
    }

    /// Stops watching the descriptor, which is about to be closed.
    fn _unwatch(&self, py: Python<'_>) {
        close::unwatch(self, py);
    }

    fn is_closing(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.closing)
    }

    fn is_reading(&self, py: Python<'_>) -> bool {
        self.with(py, |state| !state.closing && !state.reading.paused)
    }

    fn pause_reading(&self, py: Python<'_>) {
        self.with(py, |state| state.reading.paused |= !state.closing);
    }

    fn resume_reading(&self, py: Python<'_>) {
        let resumed = self.with(py, |state| !state.closing && std::mem::take(&mut state.reading.paused));
        if resumed {
            self.wake(py);
        }
    }

    fn get_write_buffer_size(slf: This<'_, '_>) -> PyResult<usize> {
        write::send_held(slf)?;
        Ok(slf.get().with(slf.py(), |state| state.queue.len()))
    }

    fn get_write_buffer_limits(&self, py: Python<'_>) -> (usize, usize) {
        self.with(py, |state| state.flow.limits())
    }

    #[pyo3(signature = (high = None, low = None))]
    fn set_write_buffer_limits(slf: This<'_, '_>, high: Option<i64>, low: Option<i64>) -> PyResult<()> {
        flow::set_limits(slf, high, low)
    }

    #[pyo3(signature = (name, default = None))]
    fn get_extra_info<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self._extra(py) {
            Some(extra) => Ok(extra.bind(py).get_item(name)?.or(default)),
            None => Ok(default),
        }
    }

    fn set_protocol(&self, py: Python<'_>, protocol: Py<PyAny>) {
        // Dropped after the borrow ended.
        let before =
            self.with(py, |state| (state.objects.protocol.replace(protocol), state.objects.receiver.take()));
        drop(before);
    }

    fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    fn _make_empty_waiter<'py>(slf: This<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        write::make_empty_waiter(slf)
    }

    fn _reset_empty_waiter(&self, py: Python<'_>) {
        drop(self.with(py, |state| state.objects.empty_waiter.take()));
    }

    // What CPython's own modules and some libraries look at.

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, LoopCore>> {
        self.core(py)
    }

    #[getter]
    fn _sock(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.with(py, |state| state.objects.sock.as_ref().map(|sock| sock.clone_ref(py)))
    }

    #[getter]
    fn _sock_fd(&self, py: Python<'_>) -> RawFd {
        self.with(py, |state| state.fd)
    }

    #[getter]
    fn _protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    #[getter]
    fn _server(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.with(py, |state| state.objects.server.as_ref().map(|server| server.clone_ref(py)))
    }

    #[getter]
    fn _extra(&self, py: Python<'_>) -> Option<Py<PyDict>> {
        self.with(py, |state| state.objects.extra.as_ref().map(|extra| extra.clone_ref(py)))
    }

    #[getter]
    fn _protocol_paused(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.flow.paused)
    }

    #[getter]
    fn _paused(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.reading.paused)
    }

    #[getter]
    fn _conn_lost(&self, py: Python<'_>) -> u32 {
        self.with(py, |state| state.lost)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.state.peek(|state| state.objects.traverse(&visit)).unwrap_or(Ok(()))
    }

    fn __clear__(&self) {
        Python::attach(|py| drop(self.with(py, |state| std::mem::take(&mut state.objects))));
    }
}
