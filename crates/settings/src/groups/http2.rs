//! HTTP/2 connections.

use crate::{ByteSize, Unit, macros::settings};
use std::time::Duration;

settings! {
    #[heading("HTTP/2")]
    /// HTTP/2 connections.
    #[derive(Copy)]
    pub struct Http2 {
        /// HTTP/2: the most streams, that is, requests, that a connection may have open at a time.
        #[option("http2-max-concurrent-streams", default = 200, range(1, 1 << 31))]
        pub max_concurrent_streams: u32,
        /// HTTP/2: the largest size of a request's headers; the response to larger ones is 431.
        #[option("http2-max-headers-size", default = ByteSize::kib(64), range(1, 1 << 31), aliases(&["http2-max-header-list-size"]))]
        pub max_headers_size: ByteSize,
        /// HTTP/2: how many bytes of bodies a client may send on all streams together before they are read.
        #[option("http2-initial-connection-window-size", default = ByteSize::mib(1), range(1024, (1 << 31) - 1))]
        pub initial_connection_window_size: ByteSize,
        /// HTTP/2: how many bytes of a body a client may send before they are read.
        #[option("http2-initial-stream-window-size", default = ByteSize::mib(1), range(1024, (1 << 31) - 1), aliases(&["http2-initial-window-size"]))]
        pub initial_stream_window_size: ByteSize,
        /// HTTP/2: adapt these windows to the speed of the client's network instead.
        #[option("http2-adaptive-window", default = false)]
        pub adaptive_window: bool,
        /// HTTP/2: the largest frame that a client may send.
        #[option("http2-max-frame-size", default = ByteSize::kib(16), range(16_384, (1 << 24) - 1))]
        pub max_frame_size: ByteSize,
        /// HTTP/2: how many bytes of a response a stream buffers for a client that does not read.
        #[option("http2-max-send-buffer-size", default = ByteSize::kib(400), range(1024, (1 << 32) - 1))]
        pub max_send_buffer_size: ByteSize,
        /// HTTP/2: how many streams a client may reset in 10 seconds before its connection is closed.
        #[option("http2-max-resets", default = 200, range(1, 1 << 31))]
        pub max_resets: u32,
        /// HTTP/2: how many frames without content (PING, SETTINGS, PRIORITY) a client may send in 10 seconds before its
        /// connection is closed.
        #[option("http2-max-control-frames", default = 1000, range(1, 1 << 31))]
        pub max_control_frames: u32,
        /// HTTP/2: how often to ask whether the client is there (PING); unset, never.
        #[option(
            "http2-keep-alive-interval", default = None, example("30000"), unit(Unit::Milliseconds), range(1, 60_000)
        )]
        pub keep_alive_interval: Option<Duration>,
        /// HTTP/2: how long a client may take to reply to that before its connection is closed.
        #[option("http2-keep-alive-timeout", default = Duration::from_secs(20), range(1, 60))]
        pub keep_alive_timeout: Duration,
    }
}
