//! How large a request may be: its line, its headers, its body.

use crate::request::refusal::Refusal;
use hostler_settings::{ByteSize, Http, Limits};
use hyper::StatusCode;

/// What of a head is limited with a status of its own (RFC 6585 §5, RFC 9110 §15.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestLimits {
    /// The longest request line, without its end.
    pub(crate) line: usize,
    /// The longest line of a header, without its end.
    pub(crate) field: usize,
    /// The largest head.
    pub(crate) head: usize,
    /// A head of up to this many bytes exceeds none of these.
    pub(crate) least: usize,
    /// The largest body.
    pub(crate) body: u64,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self::new(&Http::default(), &Limits::default())
    }
}

impl RequestLimits {
    pub(crate) fn new(http: &Http, limits: &Limits) -> Self {
        let head = http.max_buffer.bytes();
        // 0 is unlimited; what remains is the limit of the whole head.
        let of = |size: ByteSize| if size.0 == 0 { head } else { size.bytes() };
        let (line, field) = (of(limits.request_line), of(limits.request_field));
        let body = if limits.request_body.0 == 0 { u64::MAX } else { limits.request_body.0 };
        Self { line, field, head, least: line.min(field).min(head - 1), body }
    }

    /// Checks the length of a body, as far as it is known.
    pub(crate) fn check_body(&self, length: u64) -> Result<(), Refusal> {
        if length > self.body { Err(self.body_too_large()) } else { Ok(()) }
    }

    #[cold]
    pub(crate) fn body_too_large(&self) -> Refusal {
        let reason = "the request's body is too large";
        Refusal::over(StatusCode::PAYLOAD_TOO_LARGE, reason, "--limit-request-body")
    }

    #[cold]
    pub(crate) fn line_too_long(&self) -> Refusal {
        Refusal::over(StatusCode::URI_TOO_LONG, "the request line is too long", "--limit-request-line")
    }

    #[cold]
    pub(crate) fn field_too_large(&self) -> Refusal {
        Refusal::over(TOO_LARGE, "a header is too large", "--limit-request-field-size")
    }

    #[cold]
    pub(crate) fn head_too_large(&self) -> Refusal {
        Refusal::over(TOO_LARGE, "the headers are too large", "--http1-buffer-size")
    }
}

const TOO_LARGE: StatusCode = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;

/// hyper found more headers than it may take, and has responded.
pub(crate) const TOO_MANY_HEADERS: Refusal =
    Refusal::over(TOO_LARGE, "there are too many headers", "--http1-max-headers");

#[cfg(test)]
mod tests {
    use super::{ByteSize, Http, Limits, RequestLimits};

    #[test]
    fn zero_leaves_the_limit_of_the_whole_head() {
        let none = Limits {
            request_line: ByteSize(0),
            request_field: ByteSize(0),
            request_body: ByteSize(0),
            ..Limits::default()
        };
        let limits = RequestLimits::new(&Http::default(), &none);
        assert_eq!((limits.line, limits.field, limits.body), (limits.head, limits.head, u64::MAX));
        assert!(limits.check_body(u64::MAX).is_ok());
    }
}
