//! The request's body as `wsgi.input`.

use bytes::Bytes;
use hostler_http::RequestBody;
use http_body::Body;
use pyo3::{
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyInt},
};
use std::{
    fs::File,
    future::poll_fn,
    io::{self, Seek, Write},
    os::fd::IntoRawFd,
    pin::Pin,
};
use tokio::sync::mpsc::{Receiver, channel};

/// Bodies up to this size are kept in memory, larger ones in a temporary file.
const IN_MEMORY: usize = 1024 * 1024;
/// How many pieces of a body wait for a thread of the pool; hyper reads no more meanwhile.
const PIECES_AHEAD: usize = 4;

/// A body that has arrived.
pub(super) enum Stored {
    Memory(Vec<u8>),
    File(File),
}

/// Reads a body to its end.
pub(super) async fn store(mut body: RequestBody) -> io::Result<Stored> {
    let mut memory = Vec::new();
    let mut file = None;
    while let Some(piece) = next_piece(&mut body).await? {
        match &mut file {
            Some(file) => Write::write_all(file, &piece)?,
            None if memory.len() + piece.len() <= IN_MEMORY => memory.extend_from_slice(&piece),
            None => {
                let mut made = tempfile::tempfile()?;
                made.write_all(&memory)?;
                made.write_all(&piece)?;
                memory = Vec::new();
                file = Some(made);
            }
        }
    }
    Ok(match file {
        Some(mut file) => {
            file.rewind()?;
            Stored::File(file)
        }
        None => Stored::Memory(memory),
    })
}

async fn next_piece(body: &mut RequestBody) -> io::Result<Option<Bytes>> {
    loop {
        if body.is_end_stream() {
            return Ok(None);
        }
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Err(error)) => return Err(io::Error::other(error)),
            // Trailers have no place in WSGI.
            Some(Ok(frame)) => match frame.into_data() {
                Ok(piece) => return Ok(Some(piece)),
                Err(_) => continue,
            },
        }
    }
}

impl Stored {
    /// A binary file object.
    pub(super) fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        static BYTES_IO: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        match self {
            Self::Memory(bytes) => {
                let class = BYTES_IO.import(py, "io", "BytesIO")?;
                if bytes.is_empty() { class.call0() } else { class.call1((PyBytes::new(py, &bytes),)) }
            }
            Self::File(file) => {
                let module = py.import(intern!(py, "io"))?;
                let descriptor = PyInt::new(py, file.into_raw_fd());
                module.call_method1(intern!(py, "open"), (descriptor, "rb"))
            }
        }
    }
}

/// A body that arrives while a thread of the pool reads it.
#[pyclass(frozen, module = "hostler")]
pub(super) struct Feed {
    pieces: std::sync::Mutex<Option<Receiver<Result<Bytes, String>>>>,
}

/// Starts reading a body for a thread of the pool.
pub(super) fn feed(mut body: RequestBody) -> Feed {
    if body.is_end_stream() {
        return Feed { pieces: std::sync::Mutex::new(None) };
    }
    let (sender, receiver) = channel(PIECES_AHEAD);
    tokio::task::spawn_local(async move {
        loop {
            let message = match next_piece(&mut body).await {
                Ok(Some(piece)) => Ok(piece),
                Ok(None) => return,
                Err(error) => Err(error.to_string()),
            };
            let failed = message.is_err();
            if sender.send(message).await.is_err() || failed {
                return;
            }
        }
    });
    Feed { pieces: std::sync::Mutex::new(Some(receiver)) }
}

impl Feed {
    /// A binary file object.
    pub(super) fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        if self.pieces.lock().is_ok_and(|pieces| pieces.is_none()) {
            return Stored::Memory(Vec::new()).into_python(py);
        }
        let feed = Bound::new(py, self)?;
        py.import(intern!(py, "hostler._wsgi"))?.call_method1(intern!(py, "open_feed"), (feed,))
    }
}

#[pymethods]
impl Feed {
    /// The next piece, waiting for it without the GIL; empty at the end.
    fn next_piece<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let next = py.detach(|| {
            let mut pieces = self.pieces.lock().ok()?;
            pieces.as_mut()?.blocking_recv()
        });
        match next {
            None => Ok(PyBytes::new(py, b"")),
            Some(Ok(piece)) => Ok(PyBytes::new(py, &piece)),
            Some(Err(error)) => {
                let text = format!("the request's body did not arrive whole: {error}");
                Err(pyo3::exceptions::PyOSError::new_err(text))
            }
        }
    }
}
