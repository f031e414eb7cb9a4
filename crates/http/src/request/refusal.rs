//! Requests that do not reach the application: why, what the client is told, and what the log says.

use super::id::IdHeader;
use crate::{RequestFacts, limits::request::TOO_MANY_HEADERS};
use hyper::StatusCode;
use std::{
    cell::RefCell,
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tracing::{info, warn};

/// How often the log tells of requests that are refused for the same reason.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// How many bytes of a path the log shows.
const MAX_SHOWN: usize = 200;

/// hyper parses no other versions.
pub(crate) const UNKNOWN_VERSION: Refusal = Refusal::with(
    StatusCode::HTTP_VERSION_NOT_SUPPORTED,
    "the request line's version of HTTP is not supported: it is neither HTTP/1.1 nor HTTP/1.0",
);

/// hyper's own limit, which only a request line without a limit can reach.
const TARGET_TOO_LONG: Refusal =
    Refusal::with(StatusCode::URI_TOO_LONG, "the target is longer than 65,534 bytes");

/// Parts of what hyper says of a head, and what that means.
const MALFORMED: [(&str, &str); 6] = [
    ("method", "the request line does not begin with a method"),
    ("URI", "the target is malformed"),
    ("version", "the request line does not end with a version of HTTP"),
    ("content-length", "the Content-Length is malformed"),
    ("transfer-encoding", "the Transfer-Encoding is malformed"),
    ("header", "a header is malformed"),
];

/// Why a request does not reach the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// For the client and the log.
    pub(crate) reason: &'static str,
    /// The option that sets the limit which the request exceeds.
    pub(crate) option: Option<&'static str>,
}

impl Refusal {
    /// The request breaks a rule.
    pub(crate) const fn malformed(reason: &'static str) -> Self {
        Self::with(StatusCode::BAD_REQUEST, reason)
    }

    /// The request is refused with this status.
    pub(crate) const fn with(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason, option: None }
    }

    /// The request exceeds the limit that this option sets.
    pub(crate) const fn over(status: StatusCode, reason: &'static str, option: &'static str) -> Self {
        Self { status, reason, option: Some(option) }
    }

    /// What a request is refused for that hyper could not parse, and has responded to itself; `None` if it has not.
    #[cold]
    pub(crate) fn of_hyper(error: &hyper::Error) -> Option<Self> {
        if error.is_parse_too_large() {
            return Some(TOO_MANY_HEADERS);
        }
        let text = error.to_string();
        let reason = MALFORMED.iter().find(|(part, _)| text.contains(part)).map(|(_, reason)| *reason);
        match reason {
            _ if !error.is_parse() => None,
            _ if text.contains("URI too long") => Some(TARGET_TOO_LONG),
            reason => Some(Self::malformed(reason.unwrap_or("the head is malformed"))),
        }
    }

    /// The whole response, for a request that hyper does not know of. The connection ends with it.
    pub(crate) fn to_bytes(self, id: Option<&IdHeader>) -> Vec<u8> {
        let Self { status, reason, .. } = self;
        let date = httpdate::fmt_http_date(std::time::SystemTime::now());
        let length = reason.len();
        let id = id.map(IdHeader::to_line).unwrap_or_default();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\
             {id}connection: close\r\ndate: {date}\r\n\r\n{reason}"
        )
        .into_bytes()
    }
}

/// What the log was told of refused requests, by their reasons.
#[derive(Debug, Default)]
pub(crate) struct RefusalReports(RefCell<HashMap<&'static str, Reported>>);

#[derive(Debug)]
struct Reported {
    at: Instant,
    /// Refusals since then.
    since: u64,
}

impl RefusalReports {
    /// Tells the log of a refusal: the first at once, the others together now and then, with the one at hand in full.
    /// `facts` tells which request it was, as far as that is known.
    #[cold]
    pub(crate) fn report(&self, refusal: &Refusal, facts: impl FnOnce() -> RequestFacts) {
        let Some(others) = self.count(refusal.reason, Instant::now()) else { return };
        let RequestFacts { method, path, client, request_id, worker, pid } = facts();
        let (status, cause, path) = (refusal.status.as_u16(), refusal.reason, shown(&path));
        match refusal.option {
            Some(option) => warn!(
                status,
                cause,
                option,
                method,
                path,
                client,
                request_id,
                worker,
                pid,
                others,
                "request refused: it exceeds a limit"
            ),
            None => {
                info!(
                    status,
                    cause, method, path, client, request_id, worker, pid, others, "request refused"
                );
            }
        }
    }

    /// Tells the log that a client's certificate was refused, as often as of requests.
    #[cold]
    pub(crate) fn report_certificate(
        &self,
        cause: &'static str,
        client: impl FnOnce() -> Option<SocketAddr>,
    ) {
        let Some(others) = self.count(cause, Instant::now()) else { return };
        let client = client().map(|client| client.to_string()).unwrap_or_default();
        info!(cause, client, others, "a client's certificate was refused");
    }

    /// Tells the log of a request of which nothing is known but why its stream was reset, as often as of others.
    #[cold]
    pub(crate) fn report_reset(&self, cause: &'static str, client: impl FnOnce() -> Option<SocketAddr>) {
        let Some(others) = self.count(cause, Instant::now()) else { return };
        let client = client().map(|client| client.to_string()).unwrap_or_default();
        info!(cause, client, others, "request refused: its stream is reset");
    }

    /// How many refusals for this reason were not told so far; `None` if it is not the time to tell of this one.
    fn count(&self, reason: &'static str, now: Instant) -> Option<u64> {
        let mut all = self.0.borrow_mut();
        let Some(reported) = all.get_mut(reason) else {
            all.insert(reason, Reported { at: now, since: 0 });
            return Some(0);
        };
        if now.duration_since(reported.at) < REPORT_INTERVAL {
            reported.since += 1;
            return None;
        }
        reported.at = now;
        Some(std::mem::take(&mut reported.since))
    }
}

/// As much of a path as the log shows.
fn shown(path: &str) -> String {
    match path.char_indices().find(|(at, char)| at + char.len_utf8() > MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &path[..end]),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{REPORT_INTERVAL, Refusal, RefusalReports, shown};
    use hyper::StatusCode;
    use std::time::Instant;

    #[test]
    fn the_first_refusal_of_a_kind_is_told_and_others_are_counted() {
        let (reports, now) = (RefusalReports::default(), Instant::now());
        assert_eq!(reports.count("a", now), Some(0));
        assert_eq!(reports.count("b", now), Some(0));
        for _ in 0..5 {
            assert_eq!(reports.count("a", now), None);
        }
        assert_eq!(reports.count("a", now + REPORT_INTERVAL), Some(5));
        assert_eq!(reports.count("a", now + REPORT_INTERVAL * 2), Some(0));
    }

    #[test]
    fn a_long_path_is_cut_between_characters() {
        assert_eq!(shown("/a"), "/a");
        assert_eq!(shown(&"a".repeat(200)), "a".repeat(200));
        assert_eq!(shown(&"ä".repeat(101)), format!("{}…", "ä".repeat(100)));
        assert_eq!(shown(&format!("a{}", "ä".repeat(101))), format!("a{}…", "ä".repeat(99)));
    }

    #[test]
    fn a_response_is_whole() {
        let refusal = Refusal::with(StatusCode::URI_TOO_LONG, "too long");
        let text = String::from_utf8(refusal.to_bytes(None)).unwrap();
        assert!(text.starts_with("HTTP/1.1 414 URI Too Long\r\n"), "{text}");
        assert!(text.contains("\r\ncontent-length: 8\r\n") && text.ends_with("\r\n\r\ntoo long"), "{text}");
    }
}
