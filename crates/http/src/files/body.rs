//! Parts of a file as a body, taken as fast as the client takes them.
//!
//! Where the socket can send files, long parts go there without being read ([`FileParts`]); otherwise they are read in
//! pieces. A part is as long as was said: if the file ends before it does, the response is cut off.

use super::FILE_SHRANK;
use crate::{
    RequestFacts,
    io::file_pieces::{FilePart, FileParts, MAX_PART},
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    any::Any,
    error::Error,
    fmt,
    fs::File,
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tracing::error;

/// The longest piece that is read at a time, in bytes. What is no longer is read even where the socket can send files: two
/// system calls cost more than a copy of so few bytes.
const MAX_READ: usize = 64 * 1024;

/// How many bytes one response may send before other tasks of the loop have their turn.
const MAX_BURST: usize = 4 * 1024 * 1024;

/// The content of a file, or parts of it with texts between them.
pub struct FileBody {
    file: Arc<File>,
    /// The part that is sent.
    at: u64,
    left: u64,
    /// What follows, the last first.
    then: Vec<Segment>,
    /// Since other tasks had their turn.
    burst: usize,
    /// Dropped with the body.
    _kept: Option<Box<dyn Any + Send>>,
}

/// What a body consists of.
pub(crate) enum Segment {
    Text(Bytes),
    Part { at: u64, length: u64 },
}

/// The file could not be sent as far as was said; the connection is closed so that the client notices.
#[derive(Debug)]
pub enum FileCut {
    /// It has become shorter: so many bytes are missing.
    Shrank(u64),
    /// It cannot be read.
    Unreadable(io::Error),
}

impl fmt::Display for FileCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file could not be read to its end")
    }
}

impl Error for FileCut {}

impl FileCut {
    /// Has the log tell of it.
    #[cold]
    pub(crate) fn report(&self, facts: RequestFacts) {
        let RequestFacts { method, path, client, request_id, worker, pid } = facts;
        match self {
            Self::Shrank(missing) => {
                error!(missing, method, path, client, request_id, worker, pid, "{FILE_SHRANK}");
            }
            Self::Unreadable(error) => error!(
                %error,
                method,
                path,
                client,
                request_id,
                worker,
                pid,
                "cannot read a file to its end: the response is cut off"
            ),
        }
    }
}

impl FileBody {
    /// `length` bytes of a file, from `at` on.
    #[must_use]
    pub fn new(file: Arc<File>, at: u64, length: u64) -> Self {
        Self { file, at, left: length, then: Vec::new(), burst: 0, _kept: None }
    }

    /// Texts and parts of a file, in this order.
    pub(crate) fn of_segments(file: Arc<File>, mut segments: Vec<Segment>) -> Self {
        segments.reverse();
        Self { file, at: 0, left: 0, then: segments, burst: 0, _kept: None }
    }

    /// Opens a regular file: its bytes from `start` to before `end`, or to its end if that comes first.
    ///
    /// # Errors
    /// The kernel's; `InvalidInput` if it is no regular file.
    pub fn open(path: &Path, start: u64, end: u64) -> io::Result<Self> {
        // Opening a pipe would wait for its writer otherwise.
        let file = File::options().read(true).custom_flags(hostler_sys::beneath::NO_WAIT).open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        Ok(Self::new(Arc::new(file), start, about.len().min(end).saturating_sub(start)))
    }

    /// Keeps a value until the body is dropped.
    #[must_use]
    pub fn keeping(mut self, value: impl Any + Send) -> Self {
        self._kept = Some(Box::new(value));
        self
    }

    /// How many bytes are still to be sent.
    #[must_use]
    pub fn left(&self) -> u64 {
        let later = self.then.iter().map(|segment| match segment {
            Segment::Text(text) => text.len() as u64,
            Segment::Part { length, .. } => *length,
        });
        self.left + later.sum::<u64>()
    }

    /// Sends no more than this, of a body that is one part.
    pub fn limit(&mut self, most: u64) {
        self.left = self.left.min(most);
    }

    /// The next piece: bytes, or the placeholder of a part that the socket sends itself.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &Context<'_>,
        direct: Option<&FileParts>,
    ) -> Poll<Option<Result<Bytes, FileCut>>> {
        while self.left == 0 {
            match self.then.pop() {
                Some(Segment::Text(text)) => return Poll::Ready(Some(Ok(text))),
                Some(Segment::Part { at, length }) => (self.at, self.left) = (at, length),
                None => return Poll::Ready(None),
            }
        }
        if self.burst >= MAX_BURST {
            self.burst = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = match direct {
            Some(parts) if self.left > MAX_READ as u64 => Ok(self.hand_on(parts)),
            _ => self.read(),
        };
        Poll::Ready(Some(piece))
    }

    fn hand_on(&mut self, parts: &FileParts) -> Bytes {
        let length = MAX_PART.min(usize::try_from(self.left).unwrap_or(MAX_PART));
        let part = FilePart { file: Arc::clone(&self.file), at: self.at, length };
        self.advance(length);
        parts.add(part)
    }

    fn read(&mut self) -> Result<Bytes, FileCut> {
        let mut piece = vec![0; MAX_READ.min(usize::try_from(self.left).unwrap_or(MAX_READ))];
        match self.file.read_at(&mut piece, self.at) {
            Ok(count) if count > 0 => {
                piece.truncate(count);
                self.advance(count);
                Ok(piece.into())
            }
            Ok(_) => Err(FileCut::Shrank(self.left)),
            Err(error) => Err(FileCut::Unreadable(error)),
        }
    }

    fn advance(&mut self, count: usize) {
        self.at += count as u64;
        self.left -= count as u64;
        self.burst += count;
    }
}

/// Read in pieces, wherever it goes.
impl Body for FileBody {
    type Data = Bytes;
    type Error = FileCut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, FileCut>>> {
        let piece = self.get_mut().poll_piece(cx, None);
        if let Poll::Ready(Some(Err(cut))) = &piece {
            cut.report(RequestFacts::default());
        }
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.then.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}
