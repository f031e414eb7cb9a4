//! Moving messages between a session and its connection.
//!
//! A client that answers no ping is given up, but only for what it could be heard saying: while the session has no room
//! for its messages nothing is read, and that time does not count. Nor does the time in which it takes what is sent,
//! however slowly; one that takes nothing at all is given up after the same time as one that says nothing.

use super::{ABNORMAL, session::Session};
use bytes::BytesMut;
use hostler_http::Upgraded;
use hostler_websocket::{Event, Inflater, Opcode, Reader, write_close, write_frame};
use hostler_wire::WebSocketSettings;
use pyo3::prelude::*;
use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, Sleep, sleep_until, timeout},
};

/// How long a client may take to answer our close (RFC 6455 §7.1.1 leaves that to us).
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// How much is read at a time.
const READ: usize = 8 * 1024;
/// With so much to send, nothing is read: a client that sends pings and reads nothing gets no more answers.
const MOST_OUTPUT: usize = 64 * 1024;
/// An output buffer that grew beyond this is not kept.
const KEEP: usize = 16 * 1024;

/// Drives a session until its connection ends.
pub(super) async fn drive(
    session: Rc<Session>,
    stream: Upgraded,
    settings: WebSocketSettings,
    inflater: Option<Inflater>,
) {
    let mut driver = Driver {
        session,
        stream,
        reader: Reader::new(settings.max_size, inflater),
        input: BytesMut::new(),
        output: Vec::new(),
        written: 0,
        timer: Box::pin(sleep_until(Instant::now() + settings.ping_interval)),
        settings,
        waits_for_pong: false,
        deaf: false,
        stalled: None,
        taken: 0,
        closing: false,
        answered: false,
    };
    let end = poll_fn(|cx| Python::attach(|py| driver.poll(py, cx))).await;
    driver.finish(end).await;
}

/// How a connection came to its end.
enum End {
    /// Both sides said goodbye, or the client went without.
    Gone,
    /// The client broke the rules: the code that it is told.
    Failed(u16),
    /// The client did not answer a ping, or our close.
    Silent,
}

struct Driver {
    session: Rc<Session>,
    stream: Upgraded,
    reader: Reader,
    input: BytesMut,
    output: Vec<u8>,
    written: usize,
    /// When the next ping goes out, or its answer is overdue, or that of our close is.
    timer: Pin<Box<Sleep>>,
    settings: WebSocketSettings,
    waits_for_pong: bool,
    /// Nothing is read, because there is no room for it: a pong may be behind that.
    deaf: bool,
    /// Since when the client has taken nothing of what is to be sent.
    stalled: Option<Instant>,
    /// How many bytes it has taken.
    taken: u64,
    /// Our close is on its way: data of the client is of no interest any more.
    closing: bool,
    /// The client's close is answered: the connection ends with that.
    answered: bool,
}

impl Driver {
    fn poll(&mut self, py: Python<'_>, cx: &mut Context<'_>) -> Poll<End> {
        self.session.driven_by(py, cx.waker());
        loop {
            if !self.closing && self.session.is_closed_by_us(py) {
                self.closing = true;
                self.wait(CLOSE_LIMIT);
            }
            let taken = self.taken;
            match self.poll_write(py, cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(End::Gone),
                Poll::Ready(Ok(())) if self.answered => return Poll::Ready(End::Gone),
                Poll::Ready(Ok(())) => self.flows(),
                Poll::Pending => self.stalls(self.taken > taken),
            }
            match self.poll_read(py, cx) {
                // An answer to write came up.
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

    /// The client has taken all.
    fn flows(&mut self) {
        if self.stalled.take().is_some() && !self.is_ending() {
            let settings = &self.settings;
            self.wait(if self.waits_for_pong { settings.ping_timeout } else { settings.ping_interval });
        }
    }

    /// The client takes no more now; whether it took something.
    fn stalls(&mut self, progress: bool) {
        if progress && self.is_ending() {
            self.wait(CLOSE_LIMIT);
        }
        if progress || self.stalled.is_none() {
            self.stalled = Some(Instant::now());
        }
    }

    /// Nothing follows what is to be sent.
    fn is_ending(&self) -> bool {
        self.closing || self.answered
    }

    fn wait(&mut self, limit: Duration) {
        self.timer.as_mut().reset(Instant::now() + limit);
    }

    fn refill(&mut self, py: Python<'_>) {
        self.written = 0;
        self.output.clear();
        if self.output.capacity() > KEEP {
            self.output = Vec::new();
        }
        self.session.take_outgoing(py, &mut self.output);
    }

    /// Takes what the client has sent, as far as the session has room for it. Ready without an end when there is
    /// something to write.
    fn poll_read(&mut self, py: Python<'_>, cx: &mut Context<'_>) -> Poll<Option<End>> {
        while self.output.len() - self.written < MOST_OUTPUT && (self.closing || self.session.has_room(py)) {
            if std::mem::take(&mut self.deaf) && self.waits_for_pong && !self.is_ending() {
                self.wait(self.settings.ping_timeout);
            }
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
        self.deaf = true;
        Poll::Pending
    }

    /// Reads more bytes; an end if there are none.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        self.input.reserve(READ);
        let read = pin!(self.stream.read_buf(&mut self.input)).poll(cx);
        match read {
            Poll::Ready(Ok(count)) if count > 0 => {
                self.heard();
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
                self.wait(CLOSE_LIMIT);
                self.session.closed(py, code, reason);
                return true;
            }
        }
        false
    }

    /// The client lives.
    fn heard(&mut self) {
        if std::mem::take(&mut self.waits_for_pong) && !self.is_ending() {
            self.wait(self.settings.ping_interval);
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        ready!(self.timer.as_mut().poll(cx));
        let WebSocketSettings { ping_interval, ping_timeout, .. } = self.settings;
        if self.is_ending() {
            return Poll::Ready(End::Silent);
        }
        // Polled again, to write the ping and to wait for the new time.
        cx.waker().wake_by_ref();
        if let Some(since) = self.stalled {
            let due = since + ping_interval + ping_timeout;
            if due <= Instant::now() {
                return Poll::Ready(End::Silent);
            }
            self.timer.as_mut().reset(due);
            return Poll::Pending;
        }
        if self.waits_for_pong && !self.deaf {
            return Poll::Ready(End::Silent);
        }
        self.waits_for_pong = true;
        self.wait(if self.deaf { ping_interval } else { ping_timeout });
        write_frame(&mut self.output, Opcode::Ping, &[]);
        Poll::Pending
    }

    async fn say_goodbye(&mut self, told: bool) {
        if told {
            // What fails here is a client that is gone.
            let _ = self.stream.write_all(&self.output[self.written..]).await;
            let _ = self.stream.flush().await;
        }
        let _ = self.stream.shutdown().await;
    }

    /// Tells the client what it did wrong, if it did, and the session that it is over.
    async fn finish(mut self, end: End) {
        let code = match end {
            End::Gone => ABNORMAL,
            End::Silent => 1011,
            End::Failed(code) => code,
        };
        if let End::Failed(code) = end
            && !self.closing
        {
            write_close(&mut self.output, code, "");
        }
        let told = matches!(end, End::Failed(_));
        Python::attach(|py| self.session.closed(py, code, String::new()));
        // A client that does not read is not waited for.
        if timeout(CLOSE_LIMIT, self.say_goodbye(told)).await.is_err() {
            tracing::debug!("a WebSocket's client did not read to the end");
        }
    }
}
