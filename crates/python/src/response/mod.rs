//! Answers of applications: head, body, and the place where hyper waits for them.

mod body;
mod bytes;
mod head;
mod respite;
mod slot;

pub(crate) use body::{FilePieces, HIGH_WATER, Owner, ResponseBody, Stream, Streaming};
pub(crate) use bytes::bytes_of;
pub(crate) use head::{Head, MOST_HEADERS, too_many, wrong_length};
pub(crate) use respite::Respite;
pub(crate) use slot::{Answered, Slot};

use ::bytes::Bytes;
use hyper::{Response, StatusCode, header};
use std::time::Duration;

/// How long an application may go on with a stream that answers HEAD when its connection has ended. The client has the
/// answer, so nothing was lost; but a stream without an end would never hear of it.
pub(crate) const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// An answer as hyper wants it.
pub(crate) fn response(head: Head, body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    (*response.status_mut(), *response.headers_mut()) = head.into_parts();
    response
}

/// A status and a line of text, in the server's own words.
pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    let mut answer = Response::new(ResponseBody::Whole(Some(Bytes::from_static(text.as_bytes()))));
    *answer.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

/// What a client gets whose request the application failed to answer.
pub(crate) fn internal_error() -> Response<ResponseBody> {
    plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}
