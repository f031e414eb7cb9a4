//! Sees how the server ends a connection of HTTP/2: whether it says goodbye (GOAWAY), and what follows.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The length of a frame's head, and of the part of a GOAWAY that has a meaning (RFC 9113 §4.1, §6.8).
const HEAD: usize = 9;
const GOAWAY: usize = 8;
const TYPE_OF_GOAWAY: u8 = 7;

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The last stream that is served, and the code, as the last GOAWAY says.
    pub(super) goodbye: Option<(u32, u32)>,
    /// The end of what the server sends: an error, or none.
    pub(super) end: Option<Option<String>>,
}

impl Seen {
    /// What is wrong with how it ended.
    pub(super) fn complaint(&self) -> Option<String> {
        match (&self.goodbye, &self.end) {
            (Some((_, code)), _) if *code != 0 => Some(format!("GOAWAY with code {code}")),
            (None, Some(None)) => Some("closed without GOAWAY".into()),
            (None, Some(Some(error))) => Some(format!("{error}, without GOAWAY")),
            (Some(_), Some(Some(error))) => Some(format!("{error}, after GOAWAY")),
            (_, None) | (Some(_), Some(None)) => None,
        }
    }
}

/// A connection whose frames are looked at as they are read.
pub(super) struct Watched<T> {
    inner: T,
    seen: Arc<Mutex<Seen>>,
    /// The beginning of a frame, and how much of one is to be passed over.
    begun: Vec<u8>,
    skip: usize,
}

impl<T> Watched<T> {
    pub(super) fn new(inner: T) -> (Self, Arc<Mutex<Seen>>) {
        let seen = Arc::<Mutex<Seen>>::default();
        (Self { inner, seen: seen.clone(), begun: Vec::new(), skip: 0 }, seen)
    }

    fn look(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                self.skip -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            self.begun.push(bytes[0]);
            bytes = &bytes[1..];
            self.frame();
        }
    }

    /// Looks at what has begun.
    fn frame(&mut self) {
        let has = self.begun.len();
        if has < HEAD {
            return;
        }
        let length =
            usize::from(self.begun[0]) << 16 | usize::from(self.begun[1]) << 8 | usize::from(self.begun[2]);
        let goodbye = self.begun[3] == TYPE_OF_GOAWAY && length >= GOAWAY;
        if goodbye && has < HEAD + GOAWAY {
            return;
        }
        if goodbye {
            let number = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| self.begun[at + byte]));
            self.seen.lock().expect("no thread panics").goodbye = Some((number(HEAD), number(HEAD + 4)));
        }
        self.skip = length + HEAD - has;
        self.begun.clear();
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, into));
        let new = into.filled()[before..].to_vec();
        if new.is_empty() {
            let end = read.as_ref().err().map(ToString::to_string);
            self.seen.lock().expect("no thread panics").end.get_or_insert(end);
        }
        self.look(&new);
        Poll::Ready(read)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::Watched;

    #[test]
    fn a_goodbye_is_seen_wherever_frames_are_cut() {
        let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
        let goodbye = [0, 0, 10, 7, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 11, b'h', b'i'];
        let stream = [&settings[..], &goodbye, &settings].concat();
        for piece in 1..stream.len() {
            let (mut watched, seen) = Watched::new(());
            stream.chunks(piece).for_each(|part| watched.look(part));
            assert_eq!(seen.lock().unwrap().goodbye, Some((5, 11)), "in pieces of {piece}");
            assert!(watched.begun.is_empty() && watched.skip == 0);
        }
    }
}
