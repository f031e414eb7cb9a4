//! HTTP/1: what is assumed of hyper's `http1`, and what RFC 9112 requires beyond it.
//!
//! Assumed of hyper: it parses a head only when its write buffer is empty; it calls `poll_flush` of the socket only
//! with an empty write buffer; it drops the body of a response once it has all of it, which may be before it is
//! written; `into_parts` gives back what it has read and not used, and discards what it has to write.

pub(crate) mod check;
mod chunks;
pub(crate) mod framing;
pub(crate) mod head;
pub(crate) mod interim;

use hostler_settings::Http;
use hyper::server::conn::http1;

/// hyper's settings for HTTP/1.
pub(crate) fn builder(settings: &Http) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // `limits/client.rs` does this for all connections at once.
        .header_read_timeout(None)
        // A client that has sent its request and half-closed still waits for the response; whether it is there is found
        // out by `DisconnectWatcher`.
        .half_close(true)
        .keep_alive(settings.keep_alive && !settings.idle_timeout.is_zero())
        // Without `pipeline_flush`: the batch coalesces pipelined responses anyway, and hyper's way delays a response for
        // as long as a part of the next request is there, in memory without limit.
        .max_buf_size(settings.max_buffer.bytes());
    if let Some(max_headers) = settings.max_headers {
        builder.max_headers(max_headers);
    }
    builder
}

/// Whether the head of a request ends in these bytes (RFC 9112 §2.1, §2.2).
pub(crate) fn has_whole_head(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}
