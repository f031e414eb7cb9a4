//! Requests that are refused before they have become one: the head is malformed, too large or too slow, or it is in another
//! protocol. hyper knows nothing of them, so the response goes past it, as the last one of the connection.

use super::handle::ConnectionHandle;
use crate::{
    Began, Load, RequestFacts,
    h1::head::RequestLine,
    proxy::Facts,
    request::{
        record::RequestRecord,
        refusal::{Refusal, UNKNOWN_VERSION},
    },
};
use hostler_sys::clock;
use hyper::{HeaderMap, Method, Uri};

/// A request that is refused, as far as it is known.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) refusal: Refusal,
    /// When its first bytes were read.
    pub(crate) began: u64,
    /// When it was refused, by which its id is made.
    pub(crate) refused: u64,
    pub(crate) line: Option<RequestLine>,
}

impl Unread {
    fn line(&self) -> Option<(&Method, &Uri)> {
        self.line.as_ref().map(|line| (&line.method, &line.target))
    }
}

impl ConnectionHandle {
    /// Refuses the request that arrives; nothing more of it is read.
    #[cold]
    pub(crate) fn refuse(&self, refusal: Refusal) {
        let (refused, began) = (clock::now(), self.head_at.get());
        let mut framing = self.framing.borrow_mut();
        let arriving = framing.arriving();
        let is_body = arriving.is_none();
        let began = if began == 0 { refused } else { began };
        let unread = Unread { refusal, began, refused, line: arriving.and_then(RequestLine::of) };
        drop(framing);
        let facts = || match self.describe_request().1 {
            facts if is_body && facts.pid != 0 => facts,
            _ => RequestFacts::unread(Began(refused), unread.line(), self.client()),
        };
        self.report(&refusal, facts);
        // The first reason counts.
        let _ = self.unread.set(Box::new(unread));
    }

    /// Why the request that arrives is refused, if it is.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.unread.get().map(|unread| unread.refusal)
    }

    /// hyper responds to a head that it could not parse; another response follows, with a status and a text that say more.
    #[cold]
    pub(crate) fn replace_response(&self) {
        self.replaced.set(true);
    }

    /// hyper has ended the connection. Whether that was over a head that it could not parse.
    #[cold]
    pub(crate) fn failed(&self, error: &hyper::Error) -> bool {
        if self.refusal().is_some() {
            return true;
        }
        let Some(refusal) = Refusal::of_hyper(error) else { return false };
        let is_unknown = self.framing.borrow_mut().has_unknown_version();
        self.refuse(if is_unknown { UNKNOWN_VERSION } else { refusal });
        true
    }

    /// The request that arrives is refused, and the client is to be told.
    pub(crate) fn owes_refusal(&self) -> bool {
        (self.replaced.get() || self.refusal().is_some()) && self.state().may_refuse()
    }

    /// The response to the request that is refused, which begins with this. Its line in the access log is written when the
    /// response is sent.
    #[cold]
    pub(crate) fn refusal_response(&self, load: &Load, facts: &Facts) -> Vec<u8> {
        let Some(unread) = self.unread.get() else { return Vec::new() };
        let Refusal { status, reason, .. } = unread.refusal;
        let log = load.access_log();
        let entry = log.and_then(|log| log.unread(unread, (facts.peer, facts.scheme())));
        if let Some(entry) = &entry {
            let length = reason.len() as u64;
            entry.responded(&HeaderMap::new(), Some(length));
            entry.sent(length);
        }
        let method = unread.line().map(|(method, _)| method);
        let mut record = RequestRecord::of_refusal(load.page(), method, unread.began, entry);
        record.status = status.as_u16();
        self.begin(record);
        unread.refusal.to_bytes(load.ids().for_response(unread.refused).as_ref())
    }

    /// Tells the log that a request was refused.
    #[cold]
    pub(crate) fn report(&self, refusal: &Refusal, facts: impl FnOnce() -> RequestFacts) {
        self.connections.refusals().report(refusal, facts);
    }

    /// Tells the log that a request was refused by a reset of its stream.
    #[cold]
    pub(crate) fn report_reset(&self, cause: &'static str) {
        self.connections.refusals().report_reset(cause, || self.client());
    }

    /// Tells the log that the client's certificate was refused.
    #[cold]
    pub(crate) fn report_certificate(&self, cause: &'static str) {
        self.connections.refusals().report_certificate(cause, || self.client());
    }
}
