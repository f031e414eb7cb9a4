//! An application's own response to a WebSocket handshake (asgiref "Websocket Denial Response"), which is sent when it is whole.

use crate::response::{Head, Length, ResponseBody, WrongLength, response};
use bytes::Bytes;
use hyper::Response;

/// A response in progress.
pub(super) struct Denial {
    head: Head,
    pieces: Vec<Bytes>,
    /// Of the body, as far as it came, against what the head announces.
    length: Length,
}

impl Denial {
    pub(super) fn new(head: Head) -> Self {
        let length = head.body_length(head.is_bodiless(false));
        Self { head, pieces: Vec::new(), length }
    }

    /// Adds a piece of the body; the response may end with the last one.
    pub(super) fn add(&mut self, piece: Bytes, more: bool) -> Result<(), WrongLength> {
        let mut length = self.length;
        length.add(piece.len() as u64)?;
        if !more {
            length.check_end()?;
        }
        self.length = length;
        self.pieces.push(piece);
        Ok(())
    }

    pub(super) fn response(self) -> Response<ResponseBody> {
        // hyper takes the length of a body that it does not send from the head.
        let wanted = !self.head.is_bodiless(false) || self.head.length.is_none();
        let body = ResponseBody::Whole(wanted.then(|| self.pieces.concat().into()));
        response(self.head, body)
    }
}
