//! The server's side of the WebSocket protocol (RFC 6455) with permessage-deflate (RFC 7692).
//!
//! Nothing here does I/O: [`Reader`] takes bytes out of a buffer and gives [`Event`]s, the `write_*`
//! functions and [`Deflater`] append frames to a buffer, and [`agree`] responds to the extension header of the
//! handshake. The caller reads, writes, replies to pings and closes the connection.
//!
//! Not here: the HTTP part of the handshake but for its key ([`accept_key`]), and the client's side.

#![forbid(unsafe_code)]

mod deflate;
mod event;
mod frame;
#[cfg(test)]
mod fuzz;
mod key;
mod mask;
mod negotiate;
mod partial;
mod reader;
#[cfg(test)]
mod testing;

pub use deflate::{Deflater, Inflater};
pub use event::Event;
pub use frame::{Opcode, is_sendable_close_code, write_close, write_frame};
pub use key::accept_key;
pub use negotiate::{Agreement, DeflateOptions, agree};
pub use reader::Reader;

/// Why the connection must be failed (RFC 6455 §7.1.7); the text says what the client did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Every frame of a client is masked (RFC 6455 §5.1).
    #[error("a frame is not masked")]
    Unmasked,
    /// RSV2 and RSV3 are never set; RSV1 only on the first frame of a compressed message (RFC 7692 §6).
    #[error("a reserved bit is set")]
    ReservedBit,
    /// An opcode that RFC 6455 §5.2 does not define.
    #[error("opcode {0} is unknown")]
    Opcode(u8),
    /// The top bit of a 64-bit length must be 0 (RFC 6455 §5.2).
    #[error("a frame's length has its top bit set")]
    Length,
    /// Control frames must not be fragmented (RFC 6455 §5.5).
    #[error("a control frame is fragmented")]
    ControlFragmented,
    /// Control frames carry 125 bytes at most (RFC 6455 §5.5).
    #[error("a control frame is longer than 125 bytes")]
    ControlTooLong,
    /// A continuation frame outside a message (RFC 6455 §5.4).
    #[error("a continuation frame continues nothing")]
    NothingToContinue,
    /// A message begins while another is unfinished (RFC 6455 §5.4).
    #[error("a message begins before the one before it has ended")]
    Interleaved,
    /// A close frame is empty or has two bytes for its code (RFC 6455 §5.5.1).
    #[error("a close frame has half a code")]
    ClosePayload,
    /// A code that no endpoint may send (RFC 6455 §7.4).
    #[error("close code {0} must not be sent")]
    CloseCode(u16),
    /// The compressed data are no DEFLATE stream (RFC 7692 §7.2.2).
    #[error("a compressed message cannot be decompressed")]
    Compression,
    /// Text and close reasons are UTF-8 (RFC 6455 §8.1).
    #[error("text is not valid UTF-8")]
    Utf8,
    /// The message is longer than the [`Reader`] allows.
    #[error("a message is longer than {0} bytes")]
    TooBig(usize),
}

impl Violation {
    /// The code for the close frame that fails the connection (RFC 6455 §7.4.1): 1002 for a broken protocol,
    /// 1007 for text that is not UTF-8, 1009 for a message that is too big.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Utf8 => 1007,
            Self::TooBig(_) => 1009,
            Self::Unmasked
            | Self::ReservedBit
            | Self::Opcode(_)
            | Self::Length
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::NothingToContinue
            | Self::Interleaved
            | Self::ClosePayload
            | Self::CloseCode(_)
            | Self::Compression => 1002,
        }
    }
}
