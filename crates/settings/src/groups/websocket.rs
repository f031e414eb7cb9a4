//! WebSocket connections.

use crate::{ByteSize, macros::settings};
use std::time::Duration;

settings! {
    #[heading("WebSocket")]
    /// Limits and timers of WebSocket connections.
    #[derive(Copy)]
    pub struct WebSocket {
        /// Serve WebSocket; without it a handshake gets the response to the plain request that it also is.
        #[option("ws", default = true)]
        pub enabled: bool,
        /// The largest WebSocket message, checked while it is assembled; a larger one closes the connection with 1009.
        #[option("ws-max-size", default = ByteSize::mib(16), range(1, 1 << 30), aliases(&["websocket-max-message-size"]))]
        pub max_size: ByteSize,
        /// How often a WebSocket client is pinged.
        #[option("ws-ping-interval", default = Duration::from_secs(20), range(1, 3_600), aliases(&["websocket-ping-interval"]))]
        pub ping_interval: Duration,
        /// How long a WebSocket client may take to answer a ping before the connection is closed.
        #[option("ws-ping-timeout", default = Duration::from_secs(20), range(1, 3_600))]
        pub ping_timeout: Duration,
        /// Compress WebSocket messages for clients that offer it (permessage-deflate, RFC 7692); costs processor time,
        /// and memory per connection.
        #[option("ws-deflate", default = false)]
        pub deflate: bool,
        /// The window of WebSocket compression, as a power of two: from 512 bytes (9) to 32 KiB (15).
        #[option("ws-deflate-window-bits", default = 12, range(9, 15))]
        pub deflate_window_bits: u8,
        /// Compress a WebSocket message with the help of those before it; without it messages are larger and connections
        /// smaller.
        #[option("ws-deflate-context-takeover", default = true)]
        pub deflate_context_takeover: bool,
    }
}

/// How WebSocket messages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// The base-2 logarithm of the window's size, from 9 to 15.
    pub window_bits: u8,
    /// Whether a message may refer to those before it.
    pub context_takeover: bool,
}

impl WebSocket {
    /// How messages are compressed, if at all.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        let Self { deflate_window_bits: window_bits, deflate_context_takeover: context_takeover, .. } = *self;
        self.deflate.then_some(Compression { window_bits, context_takeover })
    }
}
