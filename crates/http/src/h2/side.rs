//! What the handle of an HTTP/2 connection keeps beside what all connections have.

use super::frames::{ENHANCE_YOUR_CALM, Frames, NO_ERROR, goaway};
use crate::{connection::WaitsFor, request::refusal::Refusal};
use hostler_settings::Http2;
use hostler_sys::clock;
use std::{
    cell::{Cell, RefCell},
    rc::Weak,
};

/// The side of an HTTP/2 connection that the worker's checks see.
pub(crate) struct Side {
    streams: Weak<dyn CheckStreams>,
    /// How many streams have bytes of their responses in h2.
    unsent: Cell<u32>,
    /// How many of them hyper is done with, so that they cannot be reset.
    left: Cell<u32>,
    /// How many bytes of bodies were written.
    written: Cell<u64>,
    frames: RefCell<Frames>,
    /// h2 has begun to close the socket.
    closes: Cell<bool>,
}

/// The open streams of a connection.
pub(crate) trait CheckStreams {
    /// Checks them for progress, some time after the last check.
    fn check_progress(&self, max_checks: &dyn Fn(WaitsFor) -> Option<u32>);

    /// The worker exits: has the access log tell of what is cut.
    fn cut(&self);

    /// Has a connection give up what it does not need, if it has had no streams for a while.
    fn check_idle(&self);
}

impl Side {
    pub(crate) fn new(streams: Weak<dyn CheckStreams>, settings: &Http2) -> Self {
        let frames = RefCell::new(Frames::new(settings));
        let (unsent, left, written, closes) = Default::default();
        Self { streams, unsent, left, written, frames, closes }
    }

    /// These bytes were received.
    pub(crate) fn read(&self, bytes: &[u8]) -> Result<(), Refusal> {
        self.frames.borrow_mut().read(bytes, clock::now)
    }

    /// What a client that has flooded the connection is sent.
    pub(crate) fn farewell(&self) -> Option<[u8; 17]> {
        let frames = self.frames.borrow();
        frames.flooded.then(|| goaway(frames.last_stream, ENHANCE_YOUR_CALM))
    }

    /// What a client is sent of which all streams have ended.
    pub(crate) fn all_served(&self) -> [u8; 17] {
        goaway(self.frames.borrow().last_stream, NO_ERROR)
    }

    /// The last stream that the client has opened.
    pub(crate) fn last_stream(&self) -> u32 {
        self.frames.borrow().last_stream
    }

    /// h2 closes the socket: it has ended the connection.
    pub(crate) fn will_close(&self) {
        self.closes.set(true);
    }

    /// Whether h2 has ended the connection.
    pub(super) fn is_closing(&self) -> bool {
        self.closes.get()
    }

    pub(crate) fn check_progress(&self, max_checks: &dyn Fn(WaitsFor) -> Option<u32>) {
        if let Some(streams) = self.streams.upgrade() {
            streams.check_progress(max_checks);
        }
    }

    /// The worker exits.
    pub(crate) fn cut(&self) {
        if let Some(streams) = self.streams.upgrade() {
            streams.cut();
        }
    }

    pub(crate) fn check_idle(&self) {
        if let Some(streams) = self.streams.upgrade() {
            streams.check_idle();
        }
    }

    /// Whether the client has begun a frame, or headers, and not ended it.
    pub(crate) fn is_frame_begun(&self) -> bool {
        self.frames.borrow().is_begun()
    }

    /// The least window that a stream may have had to begin with.
    pub(super) fn least_window(&self) -> u32 {
        self.frames.borrow().least_window
    }

    /// Bytes of bodies were written.
    pub(super) fn data_written(&self, bytes: usize) {
        self.written.set(self.written.get() + bytes as u64);
    }

    /// Changes as bodies are written.
    pub(crate) fn written(&self) -> u64 {
        self.written.get()
    }

    /// Whether the client would take more on some stream.
    pub(super) fn has_window(&self) -> bool {
        self.written.get() < self.frames.borrow().connection_window
    }

    /// hyper is done with a stream of which h2 has bytes, or these are gone.
    pub(super) fn count_left(&self, begins: bool) {
        let left = self.left.get();
        self.left.set(if begins { left + 1 } else { left.saturating_sub(1) });
    }

    /// Whether there are streams with bytes in h2 that cannot be reset.
    pub(crate) fn has_left(&self) -> bool {
        self.left.get() > 0
    }

    /// A stream begins or ceases to have bytes in h2.
    pub(crate) fn count_unsent(&self, begins: bool) {
        let unsent = self.unsent.get();
        self.unsent.set(if begins { unsent + 1 } else { unsent.saturating_sub(1) });
    }

    /// Whether h2 has bytes of responses that the client has not made room for.
    pub(crate) fn has_unsent(&self) -> bool {
        self.unsent.get() > 0
    }
}
