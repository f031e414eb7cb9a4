//! The transport as Python sees it: what protocols and CPython's modules call.

use super::{
    backpressure, close, empty_waiter,
    flow::Flow,
    flush, lost,
    queue::Queue,
    socket::Socket,
    state::{Objects, Reading, SocketTransport, State, This},
    task, write,
};
use crate::{calls::copy_context, core::LoopCore, gil::GilCell};
use pyo3::{PyTraverseError, PyVisit, exceptions::PyRuntimeError, intern, prelude::*, types::PyDict};
use std::os::fd::RawFd;

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
        lost::connection_lost(slf, error)
    }

    /// Stops watching the descriptor, which is about to be closed.
    fn _unwatch(&self, py: Python<'_>) {
        lost::unwatch(self, py);
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
        flush::flush_held(slf)?;
        Ok(slf.get().with(slf.py(), |state| state.queue.len()))
    }

    fn get_write_buffer_limits(&self, py: Python<'_>) -> (usize, usize) {
        self.with(py, |state| state.flow.limits())
    }

    #[pyo3(signature = (high = None, low = None))]
    fn set_write_buffer_limits(slf: This<'_, '_>, high: Option<i64>, low: Option<i64>) -> PyResult<()> {
        backpressure::set_limits(slf, high, low)
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
        flush::flush_held(slf)?;
        empty_waiter::make(slf)
    }

    fn _reset_empty_waiter(&self, py: Python<'_>) {
        drop(self.with(py, |state| state.objects.empty_waiter.take()));
    }

    // Attributes that CPython's own modules and some libraries use.

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
