//! The application's end of a streamed body: its length is counted, and it waits while the client is behind.

use super::{Head, Length, Owner, ResponseBody, Stream, Streaming, WrongLength, stream::HIGH_WATER};
use bytes::Bytes;
use hostler_eventloop::{Tasks, Waiting};
use pyo3::prelude::*;
use std::rc::Rc;

/// The application's end of a streamed body.
pub(crate) struct BodySender {
    stream: Rc<Stream>,
    length: Length,
    bodiless: bool,
}

impl BodySender {
    /// For the body that `head` announces.
    pub(crate) fn new(head: &Head, head_request: bool) -> Self {
        let bodiless = head.is_bodiless(head_request);
        let expected = if bodiless { Some(0) } else { head.length };
        let stream = Stream::new(expected, head.is_endless());
        Self { stream, length: head.body_length(bodiless), bodiless }
    }

    /// hyper's end; `owner` is notified when it is dropped.
    pub(crate) fn body(&self, owner: Box<dyn Owner>) -> ResponseBody {
        body(&self.stream, owner)
    }

    pub(crate) fn stream(&self) -> Rc<Stream> {
        Rc::clone(&self.stream)
    }

    pub(crate) fn its_stream(&self) -> &Stream {
        &self.stream
    }

    /// The client gets the head alone, whatever is sent.
    pub(crate) fn is_bodiless(&self) -> bool {
        self.bodiless
    }

    /// Whether the body may end here.
    pub(crate) fn check_end(&self) -> Result<(), WrongLength> {
        self.length.check_end()
    }

    /// Counts a piece, which may be the last; if it is refused nothing changes.
    pub(crate) fn count(&mut self, size: usize, last: bool) -> Result<Counted, WrongLength> {
        let mut length = self.length;
        length.add(size as u64)?;
        if last {
            length.check_end()?;
        }
        let block = |length: &Length| length.sent() / HIGH_WATER as u64;
        let fills_block = block(&length) > block(&self.length);
        self.length = length;
        Ok(Counted { stream: self.stream(), bodiless: self.bodiless, fills_block })
    }
}

/// The way of a piece that was counted.
pub(crate) struct Counted {
    pub(crate) stream: Rc<Stream>,
    bodiless: bool,
    /// As much was sent since the last pause as a stream may buffer.
    fills_block: bool,
}

/// What an application should wait for before it sends more.
#[derive(Clone, Copy)]
pub(crate) enum Wait {
    Nothing,
    /// Room in the stream.
    Room,
    /// The loop's next turn.
    Turn,
}

impl Counted {
    /// hyper's end of the stream; `owner` is notified when it is dropped.
    pub(crate) fn body(&self, owner: Box<dyn Owner>) -> ResponseBody {
        body(&self.stream, owner)
    }

    /// Adds the piece to the stream.
    pub(crate) fn push(&self, py: Python<'_>, piece: Bytes) -> Wait {
        match self.bodiless {
            // Nothing of it is taken, so nothing else would ever suspend an application that sends without an end.
            true if self.fills_block => Wait::Turn,
            true => Wait::Nothing,
            false if self.stream.push(py, piece) => Wait::Room,
            false => Wait::Nothing,
        }
    }

    /// An awaitable for `wait`, unless that is nothing.
    pub(crate) fn wait<'py>(
        &self,
        py: Python<'py>,
        tasks: &Tasks,
        wait: Wait,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match wait {
            Wait::Nothing => Ok(None),
            Wait::Room => {
                let future = tasks.future(py)?;
                self.stream.await_room(py, future.clone().unbind());
                Waiting::on_future(&future).map(Some)
            }
            Wait::Turn => Waiting::on_future(&tasks.next_turn(py)?).map(Some),
        }
    }
}

fn body(stream: &Rc<Stream>, owner: Box<dyn Owner>) -> ResponseBody {
    ResponseBody::Stream(Streaming::new(Rc::clone(stream), owner))
}
