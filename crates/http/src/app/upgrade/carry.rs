//! Carries bytes between a connection and the pipe whose other end a service has, until either side is done.

use super::{
    ending::worker_ends,
    pipe::{ConnectionEnd, Outgoing},
};
use crate::Upgraded;
use bytes::{Buf, BytesMut};
use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite as _},
    time::sleep,
};

/// How much is read at a time.
const READ: usize = 8 * 1024;
/// How often bytes that nobody wants are read before other tasks have their turn.
const MAX_DISCARDED: usize = 16;
/// How long a service has to end its protocol once the worker wants it to end, while no bytes move and none wait for the client.
const END_LIMIT: Duration = Duration::from_secs(5);

/// The future of a connection whose protocol a service speaks.
pub(super) struct Carry {
    client: Upgraded,
    service: ConnectionEnd,
    /// From the client.
    input: BytesMut,
    /// For the client.
    output: BytesMut,
    /// What was written last was flushed.
    flushed: bool,
    /// The client sends no more.
    client_ended: bool,
    /// The client is sent no more.
    shut_down: bool,
    /// Bytes have moved since this was looked at.
    moved: bool,
    /// The worker ends, and the service had its time.
    overdue: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Carry {
    pub(super) fn new(client: Upgraded, service: ConnectionEnd) -> Self {
        let overdue = async {
            worker_ends().await;
            sleep(END_LIMIT).await;
        };
        Self {
            client,
            service,
            input: BytesMut::new(),
            output: BytesMut::new(),
            flushed: true,
            client_ended: false,
            shut_down: false,
            moved: false,
            overdue: Some(Box::pin(overdue)),
        }
    }

    /// Sends what the service has written; ready when nothing more can come.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.shut_down {
            if self.output.is_empty() {
                match self.service.take(&mut self.output) {
                    Outgoing::Bytes => {}
                    Outgoing::Nothing => {
                        ready!(self.poll_flush(cx))?;
                        return Poll::Pending;
                    }
                    Outgoing::Ended => {
                        ready!(self.poll_flush(cx))?;
                        ready!(Pin::new(&mut self.client).poll_shutdown(cx))?;
                        self.shut_down = true;
                        return Poll::Ready(Ok(()));
                    }
                }
            }
            let count = ready!(Pin::new(&mut self.client).poll_write(cx, &self.output))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(count);
            (self.flushed, self.moved) = (false, true);
            if self.output.is_empty() {
                // An idle connection keeps no buffer.
                self.output = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.flushed {
            ready!(Pin::new(&mut self.client).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the service what the client has sent, as far as there is room for it.
    fn read_input(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut discarded = 0;
        while !self.client_ended {
            let left = self.service.is_left();
            if !left && !self.service.has_room() {
                break;
            }
            self.input.reserve(READ);
            match pin!(self.client.read_buf(&mut self.input)).poll(cx)? {
                Poll::Pending => break,
                Poll::Ready(0) => {
                    self.client_ended = true;
                    self.service.end();
                }
                Poll::Ready(_) if !left => {
                    self.moved = true;
                    self.service.give(&mut self.input);
                }
                Poll::Ready(_) => {
                    self.input.clear();
                    discarded += 1;
                    if discarded == MAX_DISCARDED {
                        cx.waker().wake_by_ref();
                        break;
                    }
                }
            }
        }
        self.input = BytesMut::new();
        Ok(())
    }

    /// Ends a protocol that rests although the worker ends. One that speaks has as long as requests have: cut here, it would look
    /// as if it had said all.
    fn end_if_overdue(&mut self, cx: &mut Context<'_>) {
        while let Some(overdue) = &mut self.overdue
            && overdue.as_mut().poll(cx).is_ready()
        {
            let rests = !std::mem::take(&mut self.moved) && self.output.is_empty();
            self.overdue = (!rests).then(|| Box::pin(sleep(END_LIMIT)) as _);
            if rests {
                self.service.end_both();
            }
        }
    }

    /// Ready when neither the service nor its client has to say more; the connection is closed when the client has all of it.
    fn poll_end(&self) -> Poll<()> {
        if self.shut_down && self.service.is_left() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Future for Carry {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.service.carried_by(cx.waker());
        self.end_if_overdue(cx);
        let carried = match self.poll_output(cx) {
            Poll::Ready(Err(error)) => Err(error),
            _ => self.read_input(cx),
        };
        match carried {
            Ok(()) => self.poll_end(),
            Err(error) => {
                self.service.fail(&error);
                Poll::Ready(())
            }
        }
    }
}
