//! The end of a connection: what was answered leaves, and the client has the time to read it.
//!
//! Closing a socket with unread input resets the connection, and a reset takes back what the client has received and not read
//! (RFC 9112 §9.6). So the server says that it is done, and listens for a while to what the client still sends.

use super::{
    shared::ConnectionState,
    state::{Event, WaitsFor},
};
use crate::io::Batched;
use hyper::rt::{Read, ReadBuf, Write};
use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tracing::debug;

/// How much is read of what nobody wants, before others have their turn.
const READS: usize = 16;
const READ: usize = 4096;

/// A connection that ends.
pub(super) struct Closing<S> {
    io: Batched<S>,
    stage: Stage,
    /// Nothing suggests that the client is about to send more.
    heard_out: bool,
}

enum Stage {
    Sending,
    ShuttingDown,
    Listening,
}

impl<S: Read + Write + Unpin + 'static> Closing<S> {
    pub(super) fn new(io: Batched<S>, heard_out: bool) -> Self {
        io.state().on(Event::Ended);
        Self { io, stage: Stage::Sending, heard_out }
    }

    /// Ready when the socket can be closed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let state: Rc<ConnectionState> = Rc::clone(self.io.state());
        match state.expired() {
            Some(WaitsFor::Reader) => {
                debug!("the client does not read its answer: --write-timeout");
                state.reset_on_close(true);
                return Poll::Ready(());
            }
            Some(WaitsFor::Goodbye) => return Poll::Ready(()),
            Some(WaitsFor::Head | WaitsFor::Body) | None => {}
        }
        loop {
            self.stage = match self.stage {
                Stage::Sending => match ready!(self.io.poll_empty(cx)) {
                    Ok(()) => {
                        state.all_sent();
                        Stage::ShuttingDown
                    }
                    Err(_) => return Poll::Ready(()),
                },
                Stage::ShuttingDown => match ready!(Pin::new(&mut self.io).poll_shutdown(cx)) {
                    Ok(()) => Stage::Listening,
                    Err(_) => return Poll::Ready(()),
                },
                Stage::Listening => return self.poll_listen(cx),
            }
        }
    }

    /// Reads until the client is done, too, or seems to have been done before.
    fn poll_listen(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut storage = [0; READ];
        for _ in 0..READS {
            let mut unwanted = ReadBuf::new(&mut storage);
            match Pin::new(&mut self.io).poll_read(cx, unwanted.unfilled()) {
                Poll::Ready(Ok(())) if !unwanted.filled().is_empty() => self.heard_out = false,
                Poll::Ready(_) => return Poll::Ready(()),
                // Whatever may come later must not take back what is still on its way.
                Poll::Pending if self.heard_out && !self.io.state().has_unread() => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
