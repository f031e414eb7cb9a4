//! A body that is encoded while it is sent.
//!
//! It asks for a piece of the application's only when hyper asks it for one, so backpressure is as without it, and it has
//! taken all of them, and the end, before it ends itself. While the application has nothing to send, what it has sent is
//! flushed, so that a client sees each piece of a stream when it comes.
//!
//! A large body that its client takes as fast as it comes would otherwise have the thread until its end: after each
//! [`TURN`], other tasks of the loop have theirs.

use super::encoder::Encoder;
use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::HeaderMap;
use std::{
    error::Error,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Instant,
};
use tokio::task::yield_now;

/// How much is encoded before other tasks have their turn, in bytes, and in one go.
const TURN: usize = 64 * 1024;
const AT_ONCE: usize = 16 * 1024;
/// As how many bytes a piece counts at least, however short it is: asking for it takes time, too.
const LEAST: usize = 256;
/// As how many bytes a microsecond counts: a turn is a millisecond where encoding is slow, and the one step that it takes.
const PER_MICROSECOND: usize = TURN / 1000;
/// How much output is gathered before it is sent, in bytes, unless the application pauses.
const WORTH_SENDING: usize = 4 * 1024;

/// The body of the application, encoded.
pub(crate) struct Compressed<B> {
    inner: B,
    /// Until it has been asked for its end.
    encoder: Option<Encoder>,
    /// What was not encoded yet of a large piece.
    rest: Bytes,
    /// The encoder has been given what it has not flushed.
    unflushed: bool,
    /// How much may be encoded until other tasks have their turn, in bytes.
    left: usize,
    trailers: Option<HeaderMap>,
    /// Why the rest does not come: hyper is told when it has written what came before, of which it would drop the rest.
    failed: Option<Box<dyn Error + Send + Sync>>,
}

type Polled = Poll<Option<Result<Frame<Bytes>, Box<dyn Error + Send + Sync>>>>;

/// What follows a step.
enum Next {
    More,
    /// What was made is to be sent.
    Send,
    /// The application has nothing to send now.
    Wait,
    End,
}

impl<B> Compressed<B> {
    pub(crate) fn new(inner: B, encoder: Encoder) -> Self {
        let (rest, trailers, failed) = (Bytes::new(), None, None);
        Self { inner, encoder: Some(encoder), rest, unflushed: false, left: TURN, trailers, failed }
    }
}

impl<B> Compressed<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    pub(crate) fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Polled {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let mut out = Vec::new();
        while self.encoder.is_some() {
            if self.left == 0 {
                if !out.is_empty() {
                    break;
                }
                self.left = TURN;
                // The first poll registers the task with the runtime, which wakes it when it has polled sockets and timers.
                let _ = pin!(yield_now()).poll(cx);
                return Poll::Pending;
            }
            match self.step(cx, &mut out) {
                Ok(Next::More) => {}
                Ok(Next::Wait) if out.is_empty() => {
                    self.left = TURN;
                    return Poll::Pending;
                }
                Ok(Next::Send | Next::Wait) => break,
                // It is kept for the next response while the client takes this one.
                Ok(Next::End) => self.encoder = None,
                Err(error) => {
                    self.failed = Some(error);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
        if !out.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(out.into()))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    /// Takes another piece.
    fn step(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Next, Box<dyn Error + Send + Sync>> {
        let Some(encoder) = &mut self.encoder else { return Ok(Next::End) };
        let began = Instant::now();
        if self.rest.is_empty() {
            match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Pending => {
                    if std::mem::take(&mut self.unflushed) {
                        encoder.flush(out)?;
                    }
                    return Ok(Next::Wait);
                }
                Poll::Ready(None) => return Ok(encoder.finish(out).map(|()| Next::End)?),
                Poll::Ready(Some(Err(error))) => return Err(error.into()),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) => self.rest = piece,
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        return Ok(encoder.finish(out).map(|()| Next::End)?);
                    }
                },
            }
        }
        let part = self.rest.split_to(self.rest.len().min(AT_ONCE));
        encoder.encode(&part, out)?;
        self.unflushed |= !part.is_empty();
        let took = usize::try_from(began.elapsed().as_micros()).unwrap_or(usize::MAX);
        let spent = part.len().max(LEAST).max(took.saturating_mul(PER_MICROSECOND));
        self.left = self.left.saturating_sub(spent);
        Ok(if out.len() >= WORTH_SENDING { Next::Send } else { Next::More })
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
