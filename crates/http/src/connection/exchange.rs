//! One request and its response, apart from the connection that they belong to.
//!
//! The stages of a request ([`super::service`]) are the same for every version of HTTP. What differs is behind
//! [`Exchange`]: on an HTTP/1 connection there is one request at a time, so its state is kept by the connection's handle
//! ([`H1Exchange`]); on an HTTP/2 connection each stream keeps its own ([`crate::h2`]).

use super::{
    handle::ConnectionHandle,
    state::{Event, WaitsFor},
};
use crate::{
    RequestFacts,
    io::file_pieces::FileParts,
    request::{body::BodyStatus, record::RequestRecord, refusal::Refusal},
};
use http_body::Body;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, HeaderValue},
};
use std::rc::Rc;

/// A request from hyper's call until hyper has the whole response. Dropping it says that hyper has it, or never will.
pub(crate) trait Exchange: Unpin + 'static {
    /// The connection.
    fn connection(&self) -> &ConnectionHandle;

    /// The request is in flight from now on. Whether the loop is to turn before its application is called.
    fn begin(&self, record: RequestRecord) -> bool;

    /// The loop has turned before the request's application is called. Whether the client is still there.
    fn has_turned(&self) -> bool;

    /// What became of the request's body.
    fn body_status(&self) -> BodyStatus;

    /// Why the request's body is refused, if it is.
    fn refusal(&self) -> Option<Refusal>;

    /// Whether the client has kept the application waiting for the body for too long.
    fn is_body_overdue(&self) -> bool;

    /// What the log says of the request: as one text with its age, and in parts.
    fn describe_request(&self) -> (String, RequestFacts);

    /// The response begins with this status.
    fn response_starts(&self, status: u16);

    /// The body of the response failed.
    fn response_failed(&self);

    /// The application's response is about to be sent: what the version of HTTP adds to its head. `is_http_10`: a response
    /// without a length ends with the connection.
    fn prepare<B: Body>(&self, response: &mut Response<B>, is_http_10: bool);

    /// Where parts of files are put that the socket sends itself, if that is possible.
    fn file_parts(&self) -> Option<&FileParts>;

    /// Likewise for the head of a response without the application.
    fn prepare_answer(&self, headers: &mut HeaderMap);

    /// Likewise for a response of the server's own, which is the last one of an HTTP/1 connection.
    fn prepare_own(&self, headers: &mut HeaderMap);
}

/// The current request of an HTTP/1 connection.
pub(crate) struct H1Exchange(Rc<ConnectionHandle>);

impl H1Exchange {
    pub(super) fn new(handle: Rc<ConnectionHandle>) -> Self {
        Self(handle)
    }
}

impl Drop for H1Exchange {
    fn drop(&mut self) {
        self.0.on(Event::ResponseComplete);
    }
}

impl Exchange for H1Exchange {
    #[inline]
    fn connection(&self) -> &ConnectionHandle {
        &self.0
    }

    #[inline]
    fn begin(&self, record: RequestRecord) -> bool {
        self.0.begin(record)
    }

    fn has_turned(&self) -> bool {
        self.0.has_turned()
    }

    #[inline]
    fn body_status(&self) -> BodyStatus {
        self.0.body.status()
    }

    fn refusal(&self) -> Option<Refusal> {
        self.0.refusal()
    }

    fn is_body_overdue(&self) -> bool {
        self.0.expired() == Some(WaitsFor::RequestBody)
    }

    fn describe_request(&self) -> (String, RequestFacts) {
        self.0.describe_request()
    }

    #[inline]
    fn response_starts(&self, status: u16) {
        self.0.response_starts(status);
    }

    fn response_failed(&self) {
        self.0.on(Event::ResponseFailed);
    }

    #[inline]
    fn prepare<B: Body>(&self, response: &mut Response<B>, is_http_10: bool) {
        if is_http_10 && !has_length(response) {
            // If this process dies in between, the client must not take what it received for the whole response.
            self.0.reset_on_close(true);
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.0.switches_protocols();
        } else {
            self.prepare_answer(response.headers_mut());
        }
    }

    #[inline]
    fn prepare_answer(&self, headers: &mut HeaderMap) {
        if self.0.ends_connections() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    fn file_parts(&self) -> Option<&FileParts> {
        Some(&self.0.files).filter(|parts| parts.is_direct())
    }

    fn prepare_own(&self, headers: &mut HeaderMap) {
        self.0.ends_with_response();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

fn has_length<B: Body>(response: &Response<B>) -> bool {
    response.body().size_hint().exact().is_some() || response.headers().contains_key(CONTENT_LENGTH)
}
