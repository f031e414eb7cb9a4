//! Responses of applications: head, body, and the slot where hyper waits for them.
//!
//! | file | duty |
//! |---|---|
//! | `head` | status and headers, checked; a header that cannot be sent is refused here |
//! | `length` | a body's length against Content-Length |
//! | `body` | what hyper sends for ASGI and RSGI |
//! | `stream`, `sender` | a body in pieces: hyper's end, the application's end, backpressure |
//! | `file` | a file that Python has opened, as a body |
//! | `bytes` | Python's byte strings as bytes of hyper's |
//! | `broken` | breaking a response off so that the client notices |
//! | `slot` | where the application leaves a response and hyper's task waits for it |

mod body;
mod broken;
mod bytes;
mod file;
mod head;
mod length;
mod sender;
mod slot;
mod stream;

pub(crate) use body::ResponseBody;
pub(crate) use broken::{BreakDelay, Broken};
pub(crate) use bytes::{bytes_object, bytes_of};
pub(crate) use file::file_of_number;
pub(crate) use head::{Head, MAX_HEADERS, too_many_headers};
pub(crate) use length::{Length, WrongLength};
pub(crate) use sender::{BodySender, Counted};
pub(crate) use slot::{ResponseResult, ResponseSlot};
pub(crate) use stream::{Owner, Stream, Streaming};

use ::bytes::Bytes;
use hostler_http::HeadOfFile;
use hyper::{Response, StatusCode, header};

/// A response as hyper wants it.
pub(crate) fn response<B>(head: Head, body: B) -> Response<B> {
    let mut response = Response::new(body);
    if let Some(reason) = head.reason {
        response.extensions_mut().insert(*reason);
    }
    if head.in_place_of_file {
        response.extensions_mut().insert(HeadOfFile);
    }
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// A response without headers and body.
pub(crate) fn status_alone(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Whole(None));
    *response.status_mut() = status;
    response
}

/// A status and a line of text, in the server's own words.
pub(crate) fn plain<B: From<Bytes>>(status: StatusCode, text: &'static str) -> Response<B> {
    let mut response = Response::new(B::from(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// The response when the application failed to give one.
pub(crate) fn internal_error<B: From<Bytes>>() -> Response<B> {
    plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}
