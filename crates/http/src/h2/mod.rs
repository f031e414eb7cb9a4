//! HTTP/2 (RFC 9113): what is assumed of hyper's `http2`, and what is required beyond it.
//!
//! Each stream is an exchange of its own ([`stream`]). hyper's futures of streams are polled inside the connection's task
//! ([`streams`], [`ready`]), so that the responses to all requests of one read are written in one go. For the application
//! each stream is served on a lane: a connection of its own as far as it knows ([`streams`]). [`connection`] is hyper's
//! connection with its streams, [`task`] what the connection's task does with it, [`leave`] how it ends.
//!
//! Assumed of hyper and h2: headers that belong to HTTP/1 connections, pseudo-headers and Content-Length are checked; the
//! body of a response is dropped once h2 has all of it, and each piece of it when the write buffer has it; `poll_flush` of
//! the socket is called with an empty write buffer; a stream whose future is dropped is reset; a connection that h2 ends
//! closes its socket or has lost it, and hyper's connection that is ready without that goes on when it is polled again.

pub(crate) mod body;
pub(crate) mod check;
pub(crate) mod connection;
pub(crate) mod frames;
mod leave;
pub(crate) mod ready;
pub(crate) mod service;
pub(crate) mod side;
pub(crate) mod stream;
pub(crate) mod streams;
pub(crate) mod task;
mod tunnel;

use hostler_settings::Http2;
use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;

/// What a client sends first (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether a connection that begins with these bytes speaks HTTP/2; `None` if that is not decided yet.
pub(crate) fn begins_with_preface(bytes: &[u8]) -> Option<bool> {
    let known = bytes.len().min(PREFACE.len());
    match bytes[..known] == PREFACE[..known] {
        true if known < PREFACE.len() => None,
        same => Some(same),
    }
}

/// hyper's settings for HTTP/2. `serves_websocket`: clients may ask for WebSockets (RFC 8441).
pub(crate) fn builder<E: Clone>(settings: &Http2, serves_websocket: bool, executor: E) -> http2::Builder<E> {
    let bytes = |size: hostler_settings::ByteSize| u32::try_from(size.bytes()).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .initial_connection_window_size(bytes(settings.initial_connection_window_size))
        .initial_stream_window_size(bytes(settings.initial_stream_window_size))
        .max_frame_size(bytes(settings.max_frame_size))
        .max_header_list_size(bytes(settings.max_headers_size))
        .max_concurrent_streams(settings.max_concurrent_streams)
        .max_send_buf_size(settings.max_send_buffer_size.bytes())
        .keep_alive_interval(settings.keep_alive_interval)
        .keep_alive_timeout(settings.keep_alive_timeout);
    if serves_websocket {
        builder.enable_connect_protocol();
    }
    if settings.adaptive_window {
        builder.adaptive_window(true);
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::{PREFACE, begins_with_preface};

    #[test]
    fn a_preface_is_told_from_the_first_byte_that_differs() {
        for known in 0..PREFACE.len() {
            assert_eq!(begins_with_preface(&PREFACE[..known]), None, "{known}");
            let mut other = PREFACE[..known].to_vec();
            other.push(b'x');
            assert_eq!(begins_with_preface(&other), Some(false), "{known}");
        }
        assert_eq!(begins_with_preface(PREFACE), Some(true));
        assert_eq!(begins_with_preface(&[PREFACE, b"more"].concat()), Some(true));
        assert_eq!(begins_with_preface(b"PUT / HTTP/1.1"), Some(false));
    }
}
