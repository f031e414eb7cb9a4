//! The request's body as `wsgi.input`: stored before the call, or read while the application runs.

use super::gate::Gate;
use bytes::Bytes;
use hostler_http::RequestBody;
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
    sync::{Mutex, PoisonError},
};
use tokio::sync::{
    mpsc::{Receiver, Sender, channel},
    oneshot,
};

/// Bodies up to this many bytes are kept in memory, larger ones in a temporary file.
const MAX_IN_MEMORY: usize = 1024 * 1024;
/// How many pieces of a body are buffered for a pool thread; hyper stops reading beyond that.
const MAX_BUFFERED_PIECES: usize = 4;

/// What has arrived of a body.
pub(super) enum Stored {
    Memory(Vec<u8>),
    File(File),
}

/// Why a body was not stored.
pub(super) enum StoreError {
    /// The client disconnected, or its framing is malformed.
    Client(io::Error),
    /// The file cannot be written.
    Storage(io::Error),
}

/// A body up to the limit, and the rest of it if it is longer.
pub(super) struct Arrived {
    pub(super) stored: Stored,
    pub(super) rest: Option<RequestBody>,
}

/// Reads a body to its end, or until it is longer than `limit`.
pub(super) async fn store(mut body: RequestBody, limit: u64) -> Result<Arrived, StoreError> {
    let (mut memory, mut file, mut size) = (Vec::new(), None, 0);
    let mut rest = None;
    while let Some(piece) = next_piece(&mut body).await.map_err(StoreError::Client)? {
        size += piece.len() as u64;
        match &mut file {
            Some(file) => Write::write_all(file, &piece).map_err(StoreError::Storage)?,
            None if memory.len() + piece.len() <= MAX_IN_MEMORY => memory.extend_from_slice(&piece),
            None => file = Some(spill(std::mem::take(&mut memory), &piece).map_err(StoreError::Storage)?),
        }
        if size > limit {
            rest = Some(body);
            break;
        }
    }
    let stored = match file {
        Some(mut file) => {
            file.rewind().map_err(StoreError::Storage)?;
            Stored::File(file)
        }
        None => Stored::Memory(memory),
    };
    Ok(Arrived { stored, rest })
}

/// A temporary file without a name, so that it cannot be left behind.
fn spill(memory: Vec<u8>, piece: &[u8]) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(&memory)?;
    file.write_all(piece)?;
    Ok(file)
}

async fn next_piece(body: &mut RequestBody) -> io::Result<Option<Bytes>> {
    poll_fn(|cx| body.poll_data(cx)).await.transpose().map_err(io::Error::other)
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

/// A body that arrives while a thread reads it. hyper is not asked for any of it before the application reads, so that
/// a client that expects a 100 gets it then and not earlier.
#[pyclass(frozen, module = "hostler")]
pub(super) struct Feed {
    source: Mutex<Source>,
    gate: Gate,
}

struct Source {
    wanted: Option<oneshot::Sender<()>>,
    pieces: Receiver<Piece>,
    is_at_end: bool,
}

/// What a thread is sent of a body.
enum Piece {
    Data(Bytes),
    /// The body is whole.
    End,
    /// Why the rest of it does not come.
    Broken(String),
}

/// Gives the body up when dropped: a thread that reads it gets an error.
pub(super) struct Supply {
    _open: oneshot::Sender<()>,
}

/// Reads a body for a thread, from its first read until the supply is dropped.
pub(super) fn feed(body: RequestBody, gate: Gate) -> (Feed, Supply) {
    let (wanted, is_wanted) = oneshot::channel();
    let (open, closed) = oneshot::channel::<()>();
    let (sender, pieces) = channel(MAX_BUFFERED_PIECES);
    tokio::task::spawn_local(async move {
        tokio::select! {
            _ = closed => {}
            () = supply(body, is_wanted, sender) => {}
        }
    });
    let source = Mutex::new(Source { wanted: Some(wanted), pieces, is_at_end: false });
    (Feed { source, gate }, Supply { _open: open })
}

async fn supply(mut body: RequestBody, is_wanted: oneshot::Receiver<()>, pieces: Sender<Piece>) {
    if is_wanted.await.is_err() {
        return;
    }
    loop {
        let piece = match next_piece(&mut body).await {
            Ok(Some(data)) => Piece::Data(data),
            Ok(None) => Piece::End,
            Err(error) => Piece::Broken(error.to_string()),
        };
        let is_last = !matches!(piece, Piece::Data(_));
        if pieces.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

impl Feed {
    /// A binary file object: what is stored, then what arrives.
    pub(super) fn into_python(self, py: Python<'_>, stored: Stored) -> PyResult<Bound<'_, PyAny>> {
        let (feed, stored) = (Bound::new(py, self)?, stored.into_python(py)?);
        py.import(intern!(py, "hostler._wsgi"))?.call_method1(intern!(py, "open_feed"), (feed, stored))
    }

    /// The next piece; `None` at the end.
    fn wait(&self) -> Result<Option<Bytes>, String> {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        if source.is_at_end {
            return Ok(None);
        }
        if let Some(wanted) = source.wanted.take() {
            // A dropped supply has dropped the sender of pieces, too.
            let _ = wanted.send(());
        }
        match source.pieces.blocking_recv() {
            Some(Piece::Data(data)) => Ok(Some(data)),
            Some(Piece::End) => {
                source.is_at_end = true;
                Ok(None)
            }
            Some(Piece::Broken(error)) => Err(error),
            None => Err("the request was cancelled".into()),
        }
    }
}

#[pymethods]
impl Feed {
    /// The next piece, waiting for it without the GIL; empty at the end.
    fn next_piece<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let piece = self.gate.outside(py, || self.wait()).map_err(|error| {
            pyo3::exceptions::PyOSError::new_err(format!("the request's body is incomplete: {error}"))
        })?;
        Ok(PyBytes::new(py, &piece.unwrap_or_default()))
    }
}
