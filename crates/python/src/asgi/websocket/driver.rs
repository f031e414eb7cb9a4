//! Moving messages between a session and its connection.

use super::session::{Outgoing, Session};
use futures_util::{Sink, Stream};
use hostler_http::Upgraded;
use hostler_wire::WebSocketSettings;
use pyo3::prelude::*;
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, Sleep, sleep_until},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        error::{CapacityError, ProtocolError},
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};

/// How long a client may take to answer our close (RFC 6455 §7.1.1 leaves that to us).
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// The connection ended without a close frame (RFC 6455 §7.1.5).
const ABNORMAL: u16 = 1006;

/// Drives a session until its connection ends.
pub(super) async fn drive(session: Py<Session>, stream: Upgraded, settings: WebSocketSettings) {
    let config = WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(settings.max_size))
        .max_frame_size(Some(settings.max_size));
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let mut driver = Driver::new(session, socket, settings);
    let end = poll_fn(|cx| driver.poll(cx)).await;
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
    session: Py<Session>,
    socket: WebSocketStream<Upgraded>,
    settings: WebSocketSettings,
    /// When the next ping goes out, or its answer is overdue, or our close is.
    timer: Pin<Box<Sleep>>,
    waits_for_pong: bool,
    closing: bool,
}

impl Driver {
    fn new(session: Py<Session>, socket: WebSocketStream<Upgraded>, settings: WebSocketSettings) -> Self {
        let timer = Box::pin(sleep_until(Instant::now() + settings.ping_interval));
        Self { session, socket, settings, timer, waits_for_pong: false, closing: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        Python::attach(|py| self.session.bind(py).get().driven_by(py, cx.waker()));
        if let Poll::Ready(Err(_)) = self.poll_write(cx) {
            return Poll::Ready(End::Gone);
        }
        if let Poll::Ready(end) = self.poll_read(cx) {
            return Poll::Ready(end);
        }
        self.poll_timer(cx)
    }

    /// Sends what the application has sent.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            ready!(Pin::new(&mut self.socket).poll_ready(cx))?;
            let next = Python::attach(|py| self.session.bind(py).get().next_outgoing(py));
            let message = match next {
                Some(Outgoing::Message(message)) => message,
                Some(Outgoing::Close(code, reason)) => {
                    self.closing = true;
                    self.timer.as_mut().reset(Instant::now() + CLOSE_LIMIT);
                    let (code, reason) = (code.into(), reason.into());
                    Message::Close(Some(CloseFrame { code, reason }))
                }
                None => return Pin::new(&mut self.socket).poll_flush(cx),
            };
            Pin::new(&mut self.socket).start_send(message)?;
        }
    }

    /// Takes what the client has sent, as far as the session has room for it.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        while self.closing || Python::attach(|py| self.session.bind(py).get().has_room(py)) {
            let message = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                None => return Poll::Ready(End::Gone),
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(self.failed(&error)),
            };
            self.heard();
            match message {
                Message::Text(_) | Message::Binary(_) if !self.closing => {
                    Python::attach(|py| self.session.bind(py).get().deliver(py, message));
                }
                Message::Close(frame) => {
                    let (code, reason) = frame
                        .map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
                    Python::attach(|py| self.session.bind(py).get().closed(py, code, reason));
                }
                // tungstenite answers pings by itself; that goes out with the next flush.
                _ => {
                    if let Poll::Ready(Err(_)) = Pin::new(&mut self.socket).poll_flush(cx) {
                        return Poll::Ready(End::Gone);
                    }
                }
            }
        }
        Poll::Pending
    }

    fn failed(&self, error: &Error) -> End {
        tracing::debug!(%error, "WebSocket failed");
        match error {
            Error::Utf8(_) => End::Failed(1007),
            Error::Capacity(CapacityError::MessageTooLong { .. }) => End::Failed(1009),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Gone,
            Error::Protocol(_) => End::Failed(1002),
            _ => End::Gone,
        }
    }

    /// The client lives.
    fn heard(&mut self) {
        if !self.closing && std::mem::take(&mut self.waits_for_pong) {
            self.timer.as_mut().reset(Instant::now() + self.settings.ping_interval);
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.closing || self.waits_for_pong {
                return Poll::Ready(End::Silent);
            }
            self.waits_for_pong = true;
            self.timer.as_mut().reset(Instant::now() + self.settings.ping_timeout);
            let ping = Message::Ping(bytes::Bytes::new());
            if ready!(Pin::new(&mut self.socket).poll_ready(cx)).is_err()
                || Pin::new(&mut self.socket).start_send(ping).is_err()
            {
                return Poll::Ready(End::Gone);
            }
            let _ = Pin::new(&mut self.socket).poll_flush(cx);
        }
        Poll::Pending
    }

    /// Tells the client what it did wrong, if it did, and the session that it is over.
    async fn finish(mut self, end: End) {
        let code = match end {
            End::Gone => ABNORMAL,
            End::Silent => 1011,
            End::Failed(code) => code,
        };
        if let End::Failed(code) = end {
            let [high, low] = code.to_be_bytes();
            // A close frame by hand: after an error tungstenite sends nothing any more.
            let stream = self.socket.get_mut();
            let _ = stream.write_all(&[0x88, 2, high, low]).await;
            let _ = stream.flush().await;
        }
        let _ = self.socket.get_mut().shutdown().await;
        Python::attach(|py| self.session.bind(py).get().closed(py, code, String::new()));
    }
}
