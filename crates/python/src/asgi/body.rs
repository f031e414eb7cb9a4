//! The body of an ASGI answer: whole, or a stream with a bounded buffer.

use crate::gil::GilCell;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pyo3::prelude::*;
use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use super::cycle::Cycle;

/// From this many buffered bytes on, `send` suspends the application.
pub(super) const HIGH_WATER: usize = 64 * 1024;
/// At this many, suspended applications go on.
const LOW_WATER: usize = 16 * 1024;

/// What hyper sends.
pub(crate) enum AsgiBody {
    /// Known in whole when the answer began.
    Whole(Option<Bytes>),
    /// A file's content (`http.response.pathsend`).
    File(FilePieces),
    /// Sent piece by piece; the cycle is told when hyper drops it early, which means the client is gone.
    Stream(Streaming),
}

/// How much of a file is read at a time.
const FILE_PIECE: usize = 64 * 1024;

/// A file that is read as fast as the client takes it.
pub(crate) struct FilePieces {
    file: File,
    left: u64,
}

impl FilePieces {
    /// All of a file; how long it is now is how much is sent.
    pub(super) fn open(path: &Path) -> io::Result<(Self, u64)> {
        let file = File::open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let left = about.len();
        Ok((Self { file, left }, left))
    }

    fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        if self.left == 0 {
            return None;
        }
        let most = FILE_PIECE.min(usize::try_from(self.left).unwrap_or(FILE_PIECE));
        let mut piece = vec![0; most];
        match self.file.read(&mut piece) {
            Ok(count) if count > 0 => {
                piece.truncate(count);
                self.left -= count as u64;
                Some(Ok(piece.into()))
            }
            // It became shorter, or cannot be read any more.
            Ok(_) | Err(_) => Some(Err(Broken)),
        }
    }
}

/// A streamed body: the reader's end.
pub(crate) struct Streaming {
    pub(super) stream: Rc<Stream>,
    pub(super) cycle: Py<Cycle>,
}

/// Pieces on their way from the application to hyper.
pub(crate) struct Stream(GilCell<State>);

#[derive(Default)]
struct State {
    pieces: VecDeque<Bytes>,
    buffered: usize,
    end: Option<End>,
    reader: Option<Waker>,
    /// Futures of applications that wait for room.
    writers: Vec<Py<PyAny>>,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Complete,
    Broken,
}

/// The application failed after its answer began; the connection is closed so that the client notices.
#[derive(Debug)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the application failed after its answer began")
    }
}

impl std::error::Error for Broken {}

impl Stream {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self(GilCell::new(State::default())))
    }

    /// Adds a piece; true if the application should wait before it sends more.
    pub(super) fn push(&self, py: Python<'_>, piece: Bytes) -> bool {
        self.change(py, |state| {
            state.buffered += piece.len();
            if !piece.is_empty() {
                state.pieces.push_back(piece);
            }
            state.buffered >= HIGH_WATER
        })
    }

    /// Makes `future` finish once there is room.
    pub(super) fn await_room(&self, py: Python<'_>, future: Py<PyAny>) {
        self.0.with(py, |state| state.writers.push(future));
    }

    pub(super) fn complete(&self, py: Python<'_>) {
        self.change(py, |state| state.end = state.end.or(Some(End::Complete)));
    }

    pub(super) fn fail(&self, py: Python<'_>) {
        self.change(py, |state| state.end = state.end.or(Some(End::Broken)));
    }

    /// The futures that wait for room, which nobody will make any more.
    pub(super) fn abandon(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.0.with(py, |state| std::mem::take(&mut state.writers))
    }

    fn change<R>(&self, py: Python<'_>, change: impl FnOnce(&mut State) -> R) -> R {
        let (result, reader) = self.0.with(py, |state| (change(state), state.reader.take()));
        if let Some(reader) = reader {
            reader.wake();
        }
        result
    }

    fn poll_piece(&self, py: Python<'_>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let (polled, writers) = self.0.with(py, |state| {
            if let Some(piece) = state.pieces.pop_front() {
                state.buffered -= piece.len();
                let room = state.buffered <= LOW_WATER;
                let writers = if room { std::mem::take(&mut state.writers) } else { Vec::new() };
                return (Poll::Ready(Some(Ok(piece))), writers);
            }
            let polled = match state.end {
                Some(End::Complete) => Poll::Ready(None),
                Some(End::Broken) => Poll::Ready(Some(Err(Broken))),
                None => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
            (polled, Vec::new())
        });
        for writer in writers {
            super::events::resolve(writer.bind(py), py.None().into_bound(py));
        }
        polled
    }

    fn is_complete(&self, py: Python<'_>) -> bool {
        self.0.with(py, |state| state.pieces.is_empty() && state.end == Some(End::Complete))
    }
}

impl Body for AsgiBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::File(pieces) => Poll::Ready(pieces.next().map(|piece| piece.map(Frame::data))),
            Self::Stream(streaming) => Python::attach(|py| {
                streaming.stream.poll_piece(py, cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::File(pieces) => pieces.left == 0,
            Self::Stream(streaming) => Python::attach(|py| streaming.stream.is_complete(py)),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::File(pieces) => SizeHint::with_exact(pieces.left),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        Python::attach(|py| self.cycle.bind(py).get().answer_dropped(py, self.stream.is_complete(py)));
    }
}
