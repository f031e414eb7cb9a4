//! `start_response` and `write` of one request, and the head they collect.

use super::{body::Broken, direct::Direct, line::Line};
use crate::{
    gil::GilCell,
    response::{Head, wrong_length},
};
use bytes::Bytes;
use hostler_http::Interim;
use hyper::{StatusCode, ext::ReasonPhrase};
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
}

/// What `write()` in place needs.
pub(super) struct InPlace {
    /// Set when it is used, which wants a thread of its own.
    pub(super) writes: Arc<AtomicBool>,
    pub(super) interim: Interim,
    pub(super) http_10: bool,
}

#[derive(Default)]
struct State {
    head: Option<Head>,
    /// The head is on its way to the client: it cannot be replaced any more.
    begun: bool,
    /// What `write()` got where it cannot be sent before the application returns.
    written: Vec<Bytes>,
    /// How many bytes `write()` has sent already.
    sent: u64,
    in_place: Option<InPlace>,
    /// In place: the answer that `write()` has begun.
    direct: Option<Direct>,
    /// In the pool: where `write()` sends to.
    line: Option<Line>,
}

impl Exchange {
    /// For a call in place.
    pub(super) fn in_place(head_request: bool, in_place: InPlace) -> Self {
        let state = State { in_place: Some(in_place), ..State::default() };
        Self { state: GilCell::new(state), head_request }
    }

    /// For a call on a thread of the pool.
    pub(super) fn in_pool(head_request: bool, line: Line) -> Self {
        let state = State { line: Some(line), ..State::default() };
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

    /// Whether `write()` has sent the head.
    pub(super) fn is_begun(&self, py: Python<'_>) -> bool {
        self.state
            .with(py, |state| state.direct.is_some() || state.line.as_ref().is_some_and(Line::has_begun))
    }

    /// In place: sends the next piece of an answer that `write()` has begun, or ends it; whether more can be sent.
    pub(super) fn go_on(&self, py: Python<'_>, piece: Option<&Bytes>) -> bool {
        self.state.with(py, |state| match (&state.direct, piece) {
            (Some(direct), Some(piece)) => direct.send(piece),
            (Some(direct), None) => {
                direct.end();
                false
            }
            (None, _) => false,
        })
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

    fn send(&self, py: Python<'_>, line: &mut Line, piece: Bytes) -> PyResult<()> {
        if !line.has_begun() {
            self.begin_by_write(py, line)?;
        }
        self.state.with(py, |state| state.count(&piece))?;
        Ok(line.send(py, piece)?)
    }
}

impl State {
    /// Sends a piece in place, or keeps it if that is not possible.
    fn write_in_place(&mut self, piece: Bytes, head_request: bool) -> PyResult<()> {
        self.begun = true;
        if self.direct.is_none()
            && self.written.is_empty()
            && let (Some(way), Some(head)) = (&self.in_place, &self.head)
        {
            way.writes.store(true, Relaxed);
            self.direct = Direct::begin(&way.interim, head, way.http_10, head_request);
        }
        if self.direct.is_none() {
            self.written.push(piece);
            return Ok(());
        }
        self.count(&piece)?;
        match &self.direct {
            Some(direct) if !direct.send(&piece) => Err(Broken.into()),
            _ => Ok(()),
        }
    }

    /// Counts what `write()` sends against Content-Length.
    fn count(&mut self, piece: &Bytes) -> PyResult<()> {
        self.sent += piece.len() as u64;
        match self.head.as_ref().and_then(|head| head.length) {
            Some(announced) if self.sent > announced => Err(wrong_length(self.sent, announced)),
            _ => Ok(()),
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
            None => this.state.with(py, |state| state.write_in_place(piece, this.head_request)),
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
    let mut head = Head { status, reason, ..Head::default() };
    head.reserve(headers.len());
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
fn reason(status: StatusCode, text: &str) -> PyResult<Option<Box<ReasonPhrase>>> {
    match status.canonical_reason() {
        Some(usual) if text == usual || text.is_empty() => return Ok(None),
        _ => {}
    }
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    let phrase = bytes.and_then(|bytes| ReasonPhrase::try_from(bytes).ok());
    phrase.map(|phrase| Some(Box::new(phrase))).ok_or_else(|| {
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
