//! HTTP connections.

use crate::{ByteSize, HttpVersion, Unit, macros::settings};
use std::time::Duration;

settings! {
    #[heading("HTTP")]
    /// Limits and timeouts of HTTP connections.
    #[derive(Copy)]
    pub struct Http {
        /// The version of HTTP: 1, 2, or what each client speaks. Without TLS, an HTTP/2 client has to know that the
        /// server speaks it (prior knowledge).
        #[option("http", default = HttpVersion::Auto, common)]
        pub version: HttpVersion,
        /// The largest size of a connection's read buffer, and so of a request's head.
        #[option("http1-buffer-size", default = ByteSize(417_792), range(8_192, 1 << 30), aliases(&["h11-max-incomplete-event-size"]))]
        pub max_buffer: ByteSize,
        /// The most headers of a request; the response to more is 431. Unset, it is 100, which needs no allocation.
        #[option(
            "http1-max-headers", default = None, example("200"), range(1, 16_384), aliases(&["limit-request-fields"])
        )]
        pub max_headers: Option<usize>,
        /// How long a client may take to send a request's head, from its first byte on, before the response is 408.
        #[option(
            "http1-header-read-timeout", default = Duration::from_secs(30), unit(Unit::Milliseconds), range(1, 60_000)
        )]
        pub header_read_timeout: Duration,
        /// How long a client may send nothing of a request body that the application waits for, before the response is
        /// 408; 0 disables it.
        #[option("body-read-timeout", default = Some(Duration::from_secs(30)), range(0, 86_400))]
        pub body_read_timeout: Option<Duration>,
        /// How long a client may read nothing of its response before the connection is reset; 0 disables it.
        #[option("write-timeout", default = Some(Duration::from_secs(30)), range(0, 86_400))]
        pub write_timeout: Option<Duration>,
        /// How long a request may take until its response begins, before it is cancelled and the response is 504; WSGI
        /// needs --blocking-threads 2 or more for it.
        #[option("request-timeout", default = None, example("30s"), range(0, 86_400), common)]
        pub request_timeout: Option<Duration>,
        /// How long a connection may be idle: before its first request, and from the end of a response to the first byte of
        /// the next request. 0 closes connections after their response.
        #[option("keep-alive", default = Duration::from_secs(75), range(0, 86_400), aliases(&["timeout-keep-alive"]), common)]
        pub idle_timeout: Duration,
        /// Keep connections open between requests.
        #[option("http1-keep-alive", default = true)]
        pub keep_alive: bool,
        /// Gather the responses to pipelined requests before writing them; always on, for up to a millisecond.
        #[option("http1-pipeline-flush", default = false)]
        pub pipeline_flush: bool,
    }
}
