//! `write()` in place: a response that is sent while the application runs, past hyper.
//!
//! hyper gets a response when the application returns, and `write()` has to send before that. So the first response of
//! a worker that uses it goes straight to the connection's outbox and closes the connection; later requests are
//! called on extra threads ([`super::threads`]).

use super::start_response::InPlace;
use crate::response::Head;
use bytes::Bytes;
use hostler_http::Interim;
use hostler_sys::{board, clock};
use hyper::{
    HeaderMap,
    header::{CONNECTION, DATE, HeaderValue, TRANSFER_ENCODING},
};
use std::time::SystemTime;

/// A response that was begun this way.
pub(super) struct DirectResponse {
    interim: Interim,
    framing: Framing,
}

/// How the client finds the end of the body (RFC 9112 §6).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// There is none.
    Bodiless,
    /// By the length, or by the end of the connection.
    Plain,
    Chunked,
}

impl DirectResponse {
    /// Sends a head; `None` while hyper has not written an earlier response.
    pub(super) fn begin(way: &InPlace, head: &Head, head_request: bool) -> Option<Self> {
        let framing = match (head.is_bodiless(head_request), head.length, way.http_10) {
            (true, ..) => Framing::Bodiless,
            (false, None, false) => Framing::Chunked,
            (false, ..) => Framing::Plain,
        };
        let mut headers = head.headers.clone();
        if let Some(additions) = way.additions.clone() {
            additions.add_to(head.status, &mut headers, head.length);
        }
        let (interim, bytes) = (&way.interim, serialized(head, headers.clone(), way.http_10, framing));
        if !interim.begin_response((head.status, &headers), head.length, &bytes) {
            return None;
        }
        if framing == Framing::Plain && head.length.is_none() {
            interim.ends_with_connection();
        }
        Some(Self { interim: interim.clone(), framing })
    }

    /// Sends a piece of the body; false if the client is gone.
    pub(super) fn send(&self, piece: &Bytes) -> bool {
        // The loop is blocked, but the worker makes progress.
        if let Some(page) = board::own() {
            let now = clock::now();
            page.turn(now);
            page.beat(now);
        }
        match self.framing {
            Framing::Chunked if !piece.is_empty() => {
                let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
                chunk.extend_from_slice(piece);
                chunk.extend_from_slice(b"\r\n");
                self.interim.send_response_part(&chunk, piece.len())
            }
            Framing::Plain => self.interim.send_response_part(piece, piece.len()),
            Framing::Chunked | Framing::Bodiless => true,
        }
    }

    /// The rest will not come.
    pub(super) fn fail(&self) {
        self.interim.response_failed();
    }

    /// Ends the body.
    pub(super) fn end(&self) {
        // If the client is gone there is nothing to do.
        if self.framing != Framing::Chunked || self.interim.send_response_part(b"0\r\n\r\n", 0) {
            self.interim.response_ended();
        }
    }
}

/// A head as hyper would send it, for the last response of a connection.
fn serialized(head: &Head, mut headers: HeaderMap, http_10: bool, framing: Framing) -> Vec<u8> {
    let reason = match &head.reason {
        Some(reason) => reason.as_bytes(),
        None => head.status.canonical_reason().unwrap_or_default().as_bytes(),
    };
    let version = if http_10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut bytes = format!("{version} {} ", head.status.as_str()).into_bytes();
    bytes.extend_from_slice(reason);
    bytes.extend_from_slice(b"\r\n");
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if framing == Framing::Chunked {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if !headers.contains_key(DATE)
        && let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now()))
    {
        headers.insert(DATE, date);
    }
    for (name, value) in &headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}
