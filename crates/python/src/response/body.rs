//! The body of an answer of an asynchronous application: whole, a file, or a stream with a bounded buffer.

use super::Respite;
use crate::{
    awaitable::{reject, resolve},
    gil::GilCell,
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::HeaderMap;
use nix::fcntl::OFlag;
use pyo3::prelude::*;
use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    io,
    os::{
        fd::{BorrowedFd, RawFd},
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::Path,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// From this many buffered bytes on, `send` suspends the application.
pub(crate) const HIGH_WATER: usize = 64 * 1024;
/// At this many, suspended applications go on.
const LOW_WATER: usize = 16 * 1024;

/// What hyper sends.
pub(crate) enum ResponseBody {
    /// Known in whole when the answer began.
    Whole(Option<Bytes>),
    /// A file's content (`http.response.pathsend`).
    File(FilePieces),
    /// Sent piece by piece; its owner is told when hyper lets go of it.
    Stream(Streaming),
}

/// How much of a file is read at a time.
const FILE_PIECE: usize = 64 * 1024;

/// A file that is read as fast as the client takes it.
pub(crate) struct FilePieces {
    file: File,
    /// Where the next piece begins: the file may be somebody else's, so its own position is left alone.
    at: u64,
    left: u64,
}

impl FilePieces {
    /// All of a file; how long it is now is how much is sent.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, u64)> {
        Self::open_range(path, 0, u64::MAX)
    }

    /// The bytes of a file from `start` to before `end`, or to its end if that comes first; and how many they are.
    pub(crate) fn open_range(path: &Path, start: u64, end: u64) -> io::Result<(Self, u64)> {
        // Opening a pipe would wait for its writer otherwise.
        let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let left = about.len().min(end).saturating_sub(start);
        Ok((Self { file, at: start, left }, left))
    }

    /// A regular file that Python has opened, from where it was read to; `None` if it is something else.
    #[expect(unsafe_code, reason = "Python knows descriptors by their numbers")]
    pub(crate) fn of_number(descriptor: RawFd, start: u64) -> io::Result<Option<Self>> {
        // SAFETY: the number comes from `fileno()` of a file object that the caller keeps open meanwhile.
        let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let file = File::from(descriptor.try_clone_to_owned()?);
        let about = file.metadata()?;
        // The kernel's own files (/proc) are read until they end: their length is not known.
        if !about.is_file() || about.len() == 0 {
            return Ok(None);
        }
        Ok(Some(Self { left: about.len().saturating_sub(start), at: start, file }))
    }

    /// How many bytes are still to be sent.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Sends no more than this.
    pub(crate) fn limit(&mut self, most: u64) {
        self.left = self.left.min(most);
    }

    pub(crate) fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        if self.left == 0 {
            return None;
        }
        let most = FILE_PIECE.min(usize::try_from(self.left).unwrap_or(FILE_PIECE));
        let mut piece = vec![0; most];
        match self.file.read_at(&mut piece, self.at) {
            Ok(count) if count > 0 => {
                piece.truncate(count);
                self.at += count as u64;
                self.left -= count as u64;
                Some(Ok(piece.into()))
            }
            Ok(_) => {
                let missing = self.left;
                tracing::error!(missing, "a file became shorter while it was sent: the answer breaks off");
                Some(Err(Broken))
            }
            Err(error) => {
                tracing::error!(%error, "a file cannot be read to its end: the answer breaks off");
                Some(Err(Broken))
            }
        }
    }
}

/// A streamed body: the reader's end.
pub(crate) struct Streaming {
    pub(crate) stream: Rc<Stream>,
    pub(crate) owner: Box<dyn Owner>,
    respite: Respite,
}

impl Streaming {
    pub(crate) fn new(stream: Rc<Stream>, owner: Box<dyn Owner>) -> Self {
        Self { stream, owner, respite: Respite::default() }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let polled = Python::attach(|py| self.stream.poll_frame(py, cx));
        self.respite.before(polled, cx)
    }
}

/// Whoever sends a streamed body.
pub(crate) trait Owner {
    /// hyper let go of the body. Either all of it was delivered, though its sender may not have said so yet, or the
    /// client is gone.
    fn let_go(&self, py: Python<'_>, delivered: bool);

    /// What those get who wait to send to a client that is gone.
    fn gone(&self, py: Python<'_>) -> PyErr;
}

/// Pieces on their way from the application to hyper.
pub(crate) struct Stream(GilCell<State>);

#[derive(Default)]
struct State {
    pieces: VecDeque<Bytes>,
    buffered: usize,
    /// How many bytes hyper takes before it has all, if that is known: none of an answer to HEAD.
    expected: Option<u64>,
    taken: u64,
    end: Option<End>,
    /// What follows the last piece.
    trailers: Option<HeaderMap>,
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
    /// A stream of which hyper takes so many bytes, if that is known.
    pub(crate) fn new(expected: Option<u64>) -> Rc<Self> {
        Rc::new(Self(GilCell::new(State { expected, ..State::default() })))
    }

    /// Adds a piece; true if the application should wait before it sends more.
    pub(crate) fn push(&self, py: Python<'_>, piece: Bytes) -> bool {
        self.change(py, |state| {
            state.buffered += piece.len();
            if !piece.is_empty() {
                state.pieces.push_back(piece);
            }
            state.buffered >= HIGH_WATER
        })
    }

    /// Makes `future` finish once there is room.
    pub(crate) fn await_room(&self, py: Python<'_>, future: Py<PyAny>) {
        self.0.with(py, |state| state.writers.push(future));
    }

    pub(crate) fn complete(&self, py: Python<'_>) {
        self.change(py, |state| state.end = state.end.or(Some(End::Complete)));
    }

    /// Ends the body with trailers (RFC 9110 §6.5).
    pub(crate) fn complete_with(&self, py: Python<'_>, trailers: HeaderMap) {
        self.0.with(py, |state| state.trailers = Some(trailers));
        self.complete(py);
    }

    /// Ends the body before its end. Those who wait for room go on, and find that nobody takes more.
    pub(crate) fn fail(&self, py: Python<'_>) {
        let writers = self.change(py, |state| {
            state.end = state.end.or(Some(End::Broken));
            std::mem::take(&mut state.writers)
        });
        for writer in writers {
            resolve(writer.bind(py), py.None().into_bound(py));
        }
    }

    /// hyper lets go: whether all was delivered, and the futures that wait for room.
    fn let_go(&self, py: Python<'_>) -> (bool, Vec<Py<PyAny>>) {
        self.0.with(py, |state| {
            let delivered = state.is_complete() || state.expected == Some(state.taken);
            state.pieces.clear();
            (delivered, std::mem::take(&mut state.writers))
        })
    }

    fn change<R>(&self, py: Python<'_>, change: impl FnOnce(&mut State) -> R) -> R {
        let (result, reader) = self.0.with(py, |state| (change(state), state.reader.take()));
        if let Some(reader) = reader {
            reader.wake();
        }
        result
    }

    fn poll_frame(&self, py: Python<'_>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let (polled, writers) = self.0.with(py, |state| {
            if let Some(piece) = state.pieces.pop_front() {
                state.buffered -= piece.len();
                state.taken += piece.len() as u64;
                let room = state.buffered <= LOW_WATER;
                let writers = if room { std::mem::take(&mut state.writers) } else { Vec::new() };
                return (Poll::Ready(Some(Ok(Frame::data(piece)))), writers);
            }
            let polled = match state.end {
                Some(End::Complete) => {
                    Poll::Ready(state.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
                }
                Some(End::Broken) => Poll::Ready(Some(Err(Broken))),
                None => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
            (polled, Vec::new())
        });
        for writer in writers {
            resolve(writer.bind(py), py.None().into_bound(py));
        }
        polled
    }

    fn is_complete(&self, py: Python<'_>) -> bool {
        self.0.with(py, |state| state.is_complete())
    }
}

impl State {
    fn is_complete(&self) -> bool {
        self.pieces.is_empty() && self.end == Some(End::Complete) && self.trailers.is_none()
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::File(pieces) => Poll::Ready(pieces.next().map(|piece| piece.map(Frame::data))),
            Self::Stream(streaming) => streaming.poll_frame(cx),
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
        Python::attach(|py| {
            let (delivered, writers) = self.stream.let_go(py);
            self.owner.let_go(py, delivered);
            for writer in writers {
                match delivered {
                    true => resolve(writer.bind(py), py.None().into_bound(py)),
                    false => reject(writer.bind(py), self.owner.gone(py)),
                }
            }
        });
    }
}
