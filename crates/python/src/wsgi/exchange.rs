//! `start_response` and `write` of one request, and the head they collect.

use super::{body::Broken, pool::Line};
use crate::{gil::GilCell, response::Head};
use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};
use pyo3::{
    exceptions::{PyRuntimeError, PyTypeError, PyValueError},
    intern,
    prelude::*,
    pybacked::PyBackedBytes,
    types::{PyBytes, PyList, PyString, PyTuple},
};

/// Headers that belong to the connection and so to the server (PEP 3333 §Other HTTP Features).
const HOP_BY_HOP: [&str; 6] = ["connection", "keep-alive", "proxy-authenticate", "te", "trailer", "upgrade"];

/// The callable that the application gets as `start_response`.
#[pyclass(frozen, module = "hostler")]
pub(super) struct Exchange {
    state: GilCell<State>,
    pub(super) head_request: bool,
}

struct State {
    head: Option<Head>,
    /// The head was handed to hyper: it cannot be replaced any more.
    begun: bool,
    /// What `write()` got before the application returned, in place.
    written: Vec<Bytes>,
    /// How many bytes `write()` has sent already, in the pool.
    sent: u64,
    /// In the pool: where `write()` sends to.
    line: Option<Line>,
}

impl Exchange {
    pub(super) fn new(head_request: bool, line: Option<Line>) -> Self {
        let state = State { head: None, begun: false, written: Vec::new(), sent: 0, line };
        Self { state: GilCell::new(state), head_request }
    }

    /// The head, to begin the answer with; an error if `start_response` was not called.
    pub(super) fn begin(&self, py: Python<'_>) -> PyResult<Head> {
        self.state.with(py, |state| {
            state.begun = true;
            state
                .head
                .take()
                .ok_or_else(|| PyRuntimeError::new_err("`start_response` was not called before the body"))
        })
    }

    /// Begins the answer before the application returned; the head stays for the one who goes on.
    fn begin_by_write(&self, py: Python<'_>, line: &mut Line) -> PyResult<()> {
        let head = self.begin(py)?;
        line.begin(head.clone(), self.head_request);
        self.state.with(py, |state| state.head = Some(head));
        Ok(())
    }

    /// How many bytes of the body were sent before the application returned.
    pub(super) fn sent(&self, py: Python<'_>) -> u64 {
        self.state.with(py, |state| state.sent)
    }

    /// Whether `write()` was not used.
    pub(super) fn has_sent_nothing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.sent == 0 && state.written.is_empty() && !state.begun)
    }

    pub(super) fn take_written(&self, py: Python<'_>) -> Vec<Bytes> {
        self.state.with(py, |state| std::mem::take(&mut state.written))
    }

    /// The line to hyper, for the one who sends the answer in the pool.
    pub(super) fn take_line(&self, py: Python<'_>) -> Option<Line> {
        self.state.with(py, |state| state.line.take())
    }

    pub(super) fn put_line(&self, py: Python<'_>, line: Line) {
        self.state.with(py, |state| state.line = Some(line));
    }
}

#[pymethods]
impl Exchange {
    /// `start_response(status, headers, exc_info=None)`.
    #[pyo3(signature = (status, headers, exc_info = None))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        status: &Bound<'py, PyString>,
        headers: &Bound<'py, PyList>,
        exc_info: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let (has_head, begun) = this.state.with(py, |state| (state.head.is_some(), state.begun));
        match exc_info {
            Some(exc_info) if begun => return Err(PyErr::from_value(exc_info.get_item(1)?)),
            None if has_head || begun => {
                return Err(PyRuntimeError::new_err("`start_response` was called again without exc_info"));
            }
            _ => {}
        }
        let head = head(status, headers)?;
        let old = this.state.with(py, |state| state.head.replace(head));
        drop(old);
        slf.getattr(intern!(py, "write"))
    }

    /// The `write()` of PEP 3333 §The write() Callable.
    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let piece = piece(data)?;
        match this.take_line(py) {
            None => {
                this.state.with(py, |state| state.written.push(piece));
                Ok(())
            }
            Some(mut line) => {
                let begun = if line.has_begun() { Ok(()) } else { this.begin_by_write(py, &mut line) };
                this.state.with(py, |state| state.sent += piece.len() as u64);
                let sent = begun.and_then(|()| line.send(py, piece));
                this.put_line(py, line);
                sent
            }
        }
    }
}

impl From<Broken> for PyErr {
    fn from(_: Broken) -> Self {
        pyo3::exceptions::PyOSError::new_err("the client has disconnected")
    }
}

/// A piece of a body. PEP 3333: a byte string and nothing else.
pub(super) fn piece(data: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    match data.cast::<PyBytes>() {
        Ok(bytes) if bytes.as_bytes().len() <= 2048 => Ok(Bytes::copy_from_slice(bytes.as_bytes())),
        Ok(_) => Ok(Bytes::from_owner(data.extract::<PyBackedBytes>()?)),
        Err(_) => Err(PyTypeError::new_err(format!("a WSGI body consists of byte strings, not {data:?}"))),
    }
}

fn head(status: &Bound<'_, PyString>, headers: &Bound<'_, PyList>) -> PyResult<Head> {
    let text = status.to_str()?;
    let code = text.split(' ').next().filter(|code| code.len() == 3);
    let status = code
        .and_then(|code| StatusCode::from_bytes(code.as_bytes()).ok())
        .filter(|status| !status.is_informational())
        .ok_or_else(|| PyValueError::new_err(format!("{text:?} is not a status such as \"200 OK\"")))?;
    let mut head = Head { status, headers: HeaderMap::with_capacity(headers.len() + 2), length: None };
    for pair in headers.iter() {
        let (name, value) = pair
            .extract::<(Bound<'_, PyString>, Bound<'_, PyString>)>()
            .map_err(|_| PyTypeError::new_err(format!("a header is a pair of strings, not {pair:?}")))?;
        add(&mut head, name.to_str()?, value.to_str()?)?;
    }
    Ok(head)
}

fn add(head: &mut Head, name: &str, value: &str) -> PyResult<()> {
    if HOP_BY_HOP.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        tracing::debug!(header = name, "dropped: it concerns the connection, which is the server's");
        return Ok(());
    }
    head.add_text(name, value)
}
