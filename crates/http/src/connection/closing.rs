//! The end of a connection: what is buffered is sent, and the client has time to read it (lingering close).
//!
//! Closing a socket with unread input resets the connection, and a reset discards what the client has received and not
//! read (RFC 9112 §9.6). So the socket is shut down for writing, and what the client still sends is read for a while.

use super::{
    handle::ConnectionHandle,
    state::{Event, WaitsFor},
};
use crate::{
    Load,
    io::{CoalescingIo, transport::Transport},
    proxy::Facts,
    request::refusal::Refusal,
};
use hyper::rt::{Read, ReadBuf, Write};
use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tracing::debug;

/// How many reads, and of how many bytes, are discarded before other tasks have their turn.
const MAX_READS: usize = 16;
const READ_SIZE: usize = 4096;

/// Tells a client, in HTTP/1, why its connection is not served, and closes it.
pub(crate) async fn turn_away<S>(io: CoalescingIo<S>, refusal: Refusal, load: &Load, facts: &Facts)
where
    S: Read + Write + Transport + Unpin + 'static,
{
    let handle = Rc::clone(io.handle());
    handle.refuse(refusal);
    io.append(&handle.refusal_response(load, facts));
    let mut closing = Closing::new(io, false);
    poll_fn(|cx| {
        handle.set_task(cx.waker());
        closing.poll(cx)
    })
    .await;
    handle.ended();
}

/// A connection that is closing.
pub(crate) struct Closing<S> {
    io: CoalescingIo<S>,
    stage: Stage,
    /// The client's request was read to its end: nothing suggests that it is about to send more.
    request_read: bool,
}

enum Stage {
    Sending,
    ShuttingDown,
    Lingering,
}

impl<S: Read + Write + Transport + Unpin + 'static> Closing<S> {
    pub(crate) fn new(io: CoalescingIo<S>, request_read: bool) -> Self {
        io.handle().on(Event::Ended);
        Self { io, stage: Stage::Sending, request_read }
    }

    /// Of another protocol, which has sent all that it had to say and shut the socket down for writing.
    pub(super) fn of_protocol(io: CoalescingIo<S>) -> Self {
        Self { stage: Stage::Lingering, ..Self::new(io, false) }
    }

    /// Ready when the socket can be closed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let handle: Rc<ConnectionHandle> = Rc::clone(self.io.handle());
        match handle.expired() {
            Some(WaitsFor::ResponseRead) => {
                debug!("the client does not read its response: --write-timeout");
                handle.reset_on_close(true);
                return Poll::Ready(());
            }
            Some(WaitsFor::Linger) => return Poll::Ready(()),
            Some(WaitsFor::Request | WaitsFor::RequestHead | WaitsFor::RequestBody) | None => {}
        }
        loop {
            self.stage = match self.stage {
                Stage::Sending => match ready!(self.io.poll_send_all(cx)) {
                    Ok(()) => {
                        handle.all_sent();
                        Stage::ShuttingDown
                    }
                    Err(_) => return Poll::Ready(()),
                },
                Stage::ShuttingDown => match ready!(Pin::new(&mut self.io).poll_shutdown(cx)) {
                    Ok(()) => Stage::Lingering,
                    Err(_) => return Poll::Ready(()),
                },
                Stage::Lingering => return self.poll_linger(cx),
            }
        }
    }

    /// Reads until the client is done as well, or was done before as far as is known.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut storage = [0; READ_SIZE];
        for _ in 0..MAX_READS {
            let mut discarded = ReadBuf::new(&mut storage);
            match Pin::new(&mut self.io).poll_read(cx, discarded.unfilled()) {
                Poll::Ready(Ok(())) if !discarded.filled().is_empty() => self.request_read = false,
                Poll::Ready(_) => return Poll::Ready(()),
                // Until the client has acknowledged everything, input that arrives later must not cause a reset.
                Poll::Pending if self.request_read && !self.io.handle().has_unsent() => {
                    return Poll::Ready(());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
