//! `start_response` and `write` of one request, and the head they collect.

use super::{body::Broken, line::Line};
use crate::{
    gil::GilCell,
    response::{Head, wrong_length},
};
use bytes::Bytes;
use hyper::{HeaderMap, StatusCode, ext::ReasonPhrase};
use pyo3::{
    exceptions::{PyRuntimeError, PyTypeError, PyValueError},
    intern,
    prelude::*,
    pybacked::PyBackedBytes,
    types::{PyBytes, PyList, PyString, PyTuple},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// Headers that belong to the connection and so to the server (PEP 3333 §Other HTTP Features).
const HOP_BY_HOP: [&str; 6] = ["connection", "keep-alive", "proxy-authenticate", "te", "trailer", "upgrade"];

/// The callable that the application gets as `start_response`.
#[pyclass(frozen, module = "hostler")]
pub(super) struct Exchange {
    state: GilCell<State>,
    pub(super) head_request: bool,
    /// In place: set when `write()` is used, which wants a thread of its own.
    writes: Option<Arc<AtomicBool>>,
}

#[derive(Default)]
struct State {
    head: Option<Head>,
    /// The head is on its way to the client: it cannot be replaced any more.
    begun: bool,
    /// What `write()` got in place, where it cannot be sent before the application returns.
    written: Vec<Bytes>,
    /// How many bytes `write()` has sent already, in the pool.
    sent: u64,
    /// In the pool: where `write()` sends to.
    line: Option<Line>,
}

impl Exchange {
    /// For a call in place.
    pub(super) fn in_place(head_request: bool, writes: &Arc<AtomicBool>) -> Self {
        Self { state: GilCell::default(), head_request, writes: Some(Arc::clone(writes)) }
    }

    /// For a call on a thread of the pool.
    pub(super) fn in_pool(head_request: bool, line: Line) -> Self {
        let state = State { line: Some(line), ..State::default() };
        Self { state: GilCell::new(state), head_request, writes: None }
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

    /// Whether `write()` has sent the head, in the pool.
    pub(super) fn is_begun(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.line.as_ref().is_some_and(Line::has_begun))
    }

    /// How many bytes of the body `write()` has sent.
    pub(super) fn sent(&self, py: Python<'_>) -> u64 {
        self.state.with(py, |state| state.sent)
    }

    /// Whether `write()` was not used.
    pub(super) fn has_sent_nothing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| !state.begun && state.written.is_empty())
    }

    pub(super) fn take_written(&self, py: Python<'_>) -> Vec<Bytes> {
        self.state.with(py, |state| std::mem::take(&mut state.written))
    }

    /// In the pool: whether anybody still waits for the answer.
    pub(super) fn is_wanted(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.line.as_ref().is_some_and(Line::is_wanted))
    }

    /// The line to hyper, for the one who sends the answer in the pool.
    pub(super) fn take_line(&self, py: Python<'_>) -> Option<Line> {
        self.state.with(py, |state| state.line.take())
    }

    fn put_line(&self, py: Python<'_>, line: Line) {
        self.state.with(py, |state| state.line = Some(line));
    }

    /// Keeps what is written in place, or by the iterable itself, until the application returns or yields.
    fn keep(&self, py: Python<'_>, piece: Bytes) {
        if let Some(writes) = &self.writes {
            writes.store(true, Relaxed);
        }
        self.state.with(py, |state| {
            state.begun = true;
            state.written.push(piece);
        });
    }

    fn send(&self, py: Python<'_>, line: &mut Line, piece: Bytes) -> PyResult<()> {
        if !line.has_begun() {
            self.begin_by_write(py, line)?;
        }
        let (sent, announced) = self.state.with(py, |state| {
            state.sent += piece.len() as u64;
            (state.sent, state.head.as_ref().and_then(|head| head.length))
        });
        match announced {
            Some(announced) if sent > announced => Err(wrong_length(sent, announced)),
            _ => Ok(line.send(py, piece)?),
        }
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
            Some(mut line) => {
                let sent = this.send(py, &mut line, piece);
                this.put_line(py, line);
                sent
            }
            None => {
                this.keep(py, piece);
                Ok(())
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
    let reason = reason(status, text.get(4..).unwrap_or_default())?;
    let capacity = headers.len() + 2;
    let mut head = Head { status, reason, headers: HeaderMap::with_capacity(capacity), length: None };
    for pair in headers.iter() {
        let (name, value) = pair
            .extract::<(Bound<'_, PyString>, Bound<'_, PyString>)>()
            .map_err(|_| PyTypeError::new_err(format!("a header is a pair of strings, not {pair:?}")))?;
        add(&mut head, name.to_str()?, value.to_str()?)?;
    }
    Ok(head)
}

/// The application's words for a status, unless they are the usual ones. Each character is a byte (PEP 3333 §Unicode
/// Issues).
fn reason(status: StatusCode, text: &str) -> PyResult<Option<ReasonPhrase>> {
    match status.canonical_reason() {
        Some(usual) if text == usual || text.is_empty() => return Ok(None),
        _ => {}
    }
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    let phrase = bytes.and_then(|bytes| ReasonPhrase::try_from(bytes).ok());
    phrase.map(Some).ok_or_else(|| {
        PyValueError::new_err(format!("the reason phrase {text:?} has characters that it cannot have"))
    })
}

fn add(head: &mut Head, name: &str, value: &str) -> PyResult<()> {
    if HOP_BY_HOP.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        tracing::debug!(header = name, "dropped: it concerns the connection, which is the server's");
        return Ok(());
    }
    head.add_text(name, value)
}
