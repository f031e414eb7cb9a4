//! What a client sends: messages, pings and pongs, and the end.

use crate::{Violation, is_sendable_close_code};
use bytes::Bytes;

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message of text, which is valid UTF-8 (RFC 6455 §5.6).
    Text(Bytes),
    /// A message of bytes (RFC 6455 §5.6).
    Binary(Bytes),
    /// The reply is a pong with the same payload (RFC 6455 §5.5.2).
    Ping(Bytes),
    /// The reply to a ping, or unsolicited (RFC 6455 §5.5.3).
    Pong(Bytes),
    /// The reply is a close frame, unless it is a reply itself (RFC 6455 §5.5.1).
    Close {
        /// 1005 if the client gave none (RFC 6455 §7.1.5).
        code: u16,
        /// Empty if the client gave none (RFC 6455 §7.1.6).
        reason: String,
    },
}

impl Event {
    /// From the payload of a close frame (RFC 6455 §5.5.1).
    pub(crate) fn close(payload: &[u8]) -> Result<Self, Violation> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            let none = Self::Close { code: 1005, reason: String::new() };
            return if payload.is_empty() { Ok(none) } else { Err(Violation::ClosePayload) };
        };
        let code = u16::from_be_bytes(*code);
        if !is_sendable_close_code(code) {
            return Err(Violation::CloseCode(code));
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Violation::Utf8)?;
        Ok(Self::Close { code, reason: reason.to_owned() })
    }
}
