//! Moving messages between a session and its connection.

use super::{
    ABNORMAL,
    keepalive::{CLOSE_LIMIT, Due, Keepalive},
    session::Session,
};
use bytes::BytesMut;
use hostler_http::Upgraded;
use hostler_settings::WebSocket;
use hostler_websocket::{Event, Inflater, Opcode, Reader, write_close, write_frame};
use pyo3::prelude::*;
use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// How much is read at a time.
const READ: usize = 8 * 1024;
/// With so many bytes to send, nothing is read: a client that sends pings and does not read gets no more pongs.
const MAX_OUTPUT: usize = 64 * 1024;
/// An output buffer that grew beyond this is not kept.
const KEEP: usize = 16 * 1024;

/// Drives a session until its connection ends.
pub(super) async fn drive(
    session: Rc<Session>,
    stream: Upgraded,
    settings: WebSocket,
    inflater: Option<Inflater>,
) {
    let mut driver = Driver {
        session,
        stream,
        reader: Reader::new(settings.max_size.bytes(), inflater),
        input: BytesMut::new(),
        output: Vec::new(),
        written: 0,
        keepalive: Keepalive::new(&settings),
        taken: 0,
        closing: false,
        answered: false,
    };
    let end = poll_fn(|cx| Python::attach(|py| driver.poll(py, cx))).await;
    driver.finish(end).await;
}

/// How a connection came to its end.
enum End {
    /// Both sides sent a close frame, or the client disconnected without one.
    Gone,
    /// The client violated the protocol: the close code that it is sent.
    Failed(u16),
    /// The client did not reply to a ping, or to our close.
    Silent,
}

struct Driver {
    session: Rc<Session>,
    stream: Upgraded,
    reader: Reader,
    input: BytesMut,
    output: Vec<u8>,
    written: usize,
    keepalive: Keepalive,
    /// How many bytes it has taken.
    taken: u64,
    /// Our close frame is queued: data of the client is ignored.
    closing: bool,
    /// The response to the client's close is queued: the connection closes after it.
    answered: bool,
}

impl Drop for Driver {
    /// The server may end the connection, as it does for a client that does not read.
    fn drop(&mut self) {
        Python::attach(|py| self.session.closed(py, ABNORMAL, String::new()));
    }
}

impl Driver {
    fn poll(&mut self, py: Python<'_>, cx: &mut Context<'_>) -> Poll<End> {
        self.session.driven_by(py, cx.waker());
        loop {
            if !self.closing && self.session.is_closed_by_us(py) {
                self.closing = true;
                self.keepalive.on_closing();
            }
            let taken = self.taken;
            match self.poll_write(py, cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(End::Gone),
                Poll::Ready(Ok(())) if self.answered => return Poll::Ready(End::Gone),
                Poll::Ready(Ok(())) => self.keepalive.on_flushed(),
                Poll::Pending => self.keepalive.on_write_blocked(self.taken > taken),
            }
            match self.poll_read(py, cx) {
                // There is something to write.
                Poll::Ready(None) => {}
                Poll::Ready(Some(end)) => return Poll::Ready(end),
                Poll::Pending => return self.poll_timer(cx),
            }
        }
    }

    /// Sends what the application has sent, and what we have to say.
    fn poll_write(&mut self, py: Python<'_>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.written == self.output.len() {
                self.refill(py);
            }
            if self.output.is_empty() {
                return Pin::new(&mut self.stream).poll_flush(cx);
            }
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.output[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.taken += count as u64;
        }
    }

    fn refill(&mut self, py: Python<'_>) {
        self.written = 0;
        self.output.clear();
        if self.output.capacity() > KEEP {
            self.output = Vec::new();
        }
        // Nothing follows a close frame (RFC 6455 §5.5.1); ours, if we closed first, may be still to come.
        if self.closing || !self.answered {
            self.session.take_outgoing(py, &mut self.output);
        }
    }

    /// Takes what the client has sent, as far as the session has room for it. Ready without an end when there is
    /// something to write.
    fn poll_read(&mut self, py: Python<'_>, cx: &mut Context<'_>) -> Poll<Option<End>> {
        while !self.answered
            && self.output.len() - self.written < MAX_OUTPUT
            && (self.closing || self.session.has_room(py))
        {
            self.keepalive.on_reading();
            match self.reader.next(&mut self.input) {
                Ok(None) => {
                    if let Some(end) = ready!(self.poll_fill(cx)) {
                        return Poll::Ready(Some(end));
                    }
                }
                Ok(Some(event)) => {
                    if self.take(py, event) {
                        return Poll::Ready(None);
                    }
                }
                Err(violation) => {
                    tracing::debug!(%violation, "WebSocket failed");
                    return Poll::Ready(Some(End::Failed(violation.code())));
                }
            }
        }
        self.keepalive.on_read_paused();
        Poll::Pending
    }

    /// Reads more bytes; an end if there are none.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        self.input.reserve(READ);
        let read = pin!(self.stream.read_buf(&mut self.input)).poll(cx);
        match read {
            Poll::Ready(Ok(count)) if count > 0 => {
                self.keepalive.on_received();
                Poll::Ready(None)
            }
            Poll::Ready(_) => Poll::Ready(Some(End::Gone)),
            Poll::Pending => {
                // An idle connection keeps no buffer.
                if self.input.is_empty() {
                    self.input = BytesMut::new();
                }
                Poll::Pending
            }
        }
    }

    /// Acts on what the client sent; whether there is something to write.
    fn take(&mut self, py: Python<'_>, event: Event) -> bool {
        match event {
            Event::Text(data) if !self.closing => self.session.deliver(py, true, data),
            Event::Binary(data) if !self.closing => self.session.deliver(py, false, data),
            Event::Text(_) | Event::Binary(_) | Event::Pong(_) => {}
            Event::Ping(data) => {
                if !self.closing {
                    write_frame(&mut self.output, Opcode::Pong, &data);
                }
                return !self.closing;
            }
            Event::Close { code, reason } => {
                if !self.closing {
                    write_close(&mut self.output, code, "");
                }
                self.answered = true;
                self.keepalive.on_closing();
                self.session.closed(py, code, reason);
                return true;
            }
        }
        false
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        match ready!(self.keepalive.poll(cx)) {
            Due::Silent => Poll::Ready(End::Silent),
            Due::Ping => {
                write_frame(&mut self.output, Opcode::Ping, &[]);
                Poll::Pending
            }
        }
    }

    /// `waits`: the client is to have everything before the connection is closed.
    async fn flush_and_close(&mut self, flush: bool, waits: bool) {
        if flush {
            // What fails here is a client that is gone.
            let _ = self.stream.write_all(&self.output[self.written..]).await;
            let _ = self.stream.flush().await;
        }
        if waits {
            let _ = self.stream.shutdown().await;
        }
    }

    /// Whether there is something to be sent at the end: a close frame, unless there was one.
    fn write_end(&mut self, end: &End) -> bool {
        let all_written = self.written == self.output.len();
        let close = match end {
            // A client that reads nothing would not read this.
            End::Silent if all_written && !self.answered => (1011, "ping timeout"),
            End::Gone | End::Silent => return false,
            End::Failed(code) => (*code, ""),
        };
        if !self.closing {
            write_close(&mut self.output, close.0, close.1);
        }
        true
    }

    /// Tells the client what it did wrong, if it did, and the session that it is over.
    async fn finish(mut self, end: End) {
        let waits = !matches!(end, End::Silent);
        let code = match end {
            End::Gone => ABNORMAL,
            End::Silent => 1011,
            End::Failed(code) => code,
        };
        let flush = self.write_end(&end);
        Python::attach(|py| self.session.closed(py, code, String::new()));
        // A client that does not read is not waited for.
        if timeout(CLOSE_LIMIT, self.flush_and_close(flush, waits)).await.is_err() {
            tracing::debug!("a WebSocket client did not read to the end");
        }
    }
}
