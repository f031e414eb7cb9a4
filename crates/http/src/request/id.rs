//! Ids of requests: what a client or a proxy has called a request, or a number of ours.
//!
//! An id of ours follows from when the request began and from the worker's seed. So it costs nothing until somebody asks,
//! and every line of the log that is about a request has the same one.

use super::trace::TraceContext;
use hostler_settings::Tracing;
use hostler_sys::{
    clock,
    facts::{ID_DIGITS, made_id},
    random::seed,
};
use hyper::{HeaderMap, Request, header::HeaderName, header::HeaderValue};

/// The longest id that is accepted.
const LONGEST: usize = 128;

/// How requests of this worker get their ids.
#[derive(Clone, Debug)]
pub struct RequestIds {
    seed: [u64; 2],
    pid: u32,
    header: Option<HeaderName>,
    /// The id is sent back to the client.
    in_response: bool,
    /// Requests without a trace are given one.
    make_trace: bool,
}

/// The id of a request.
#[derive(Clone, Debug, Default)]
pub enum RequestId {
    /// There is none, or nobody has asked for it.
    #[default]
    None,
    /// Of ours, in hexadecimal digits.
    Made([u8; ID_DIGITS]),
    /// That of the request's header.
    Given(HeaderValue),
}

impl RequestIds {
    /// Called in the worker's own process: forks of one process must not have the same seed.
    #[must_use]
    pub fn new(settings: &Tracing) -> Self {
        let header = settings.request_id_header.as_ref();
        Self {
            seed: seed(),
            pid: std::process::id(),
            // The configuration was checked.
            header: header.and_then(|name| HeaderName::try_from(name.as_str()).ok()),
            in_response: settings.request_id_response,
            make_trace: settings.make_traceparent,
        }
    }

    /// The header that carries ids, if one is configured.
    #[must_use]
    pub fn header(&self) -> Option<&HeaderName> {
        self.header.as_ref()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// From which the ids of its requests are made.
    pub(crate) fn seed(&self) -> [u64; 2] {
        self.seed
    }

    /// A number that other workers do not have.
    pub(crate) fn salt(&self) -> u64 {
        self.seed[0]
    }

    /// The id of a request that began then and was given its headers ([`RequestIds::give`]).
    pub(crate) fn of<B>(&self, request: &Request<B>, began: u64) -> RequestId {
        self.given(request.headers()).unwrap_or_else(|| self.made(began))
    }

    /// The id in its header, once it was given one.
    #[must_use]
    pub fn given(&self, headers: &HeaderMap) -> Option<RequestId> {
        headers.get(self.header.as_ref()?).cloned().map(RequestId::Given)
    }

    /// An id of ours, for a request that began then.
    #[must_use]
    pub fn made(&self, began: u64) -> RequestId {
        RequestId::Made(made_id(self.seed, began))
    }

    /// Whether requests are given headers.
    #[inline]
    pub(crate) fn identify(&self) -> bool {
        self.header.is_some() || self.make_trace
    }

    /// Gives a request its id and its trace, as far as that is configured. Returns what its response is to have.
    #[cold]
    pub(crate) fn give<B>(&self, request: &mut Request<B>, trusted: bool) -> Option<Box<IdHeader>> {
        let now = clock::now();
        if self.make_trace {
            TraceContext::provide(request.headers_mut(), self.salt(), now);
        }
        let name = self.header.as_ref()?;
        self.assign(name, request, trusted, now);
        let id = request.headers().get(name).filter(|_| self.in_response)?;
        Some(Box::new(IdHeader(name.clone(), id.clone())))
    }

    /// What the response is to have to a request of which no header was read, and which began then.
    #[cold]
    pub(crate) fn for_response(&self, began: u64) -> Option<IdHeader> {
        let name = self.header.as_ref().filter(|_| self.in_response)?;
        Some(IdHeader(name.clone(), self.made_value(began)))
    }

    /// Sees to it that the request has an id in its header: the one that came, if it is well-formed and `trusted`, or one of
    /// ours.
    fn assign<B>(&self, name: &HeaderName, request: &mut Request<B>, trusted: bool, now: u64) {
        let headers = request.headers_mut();
        let mut came = headers.get_all(name).iter();
        let is_good = match (came.next(), came.next()) {
            (Some(id), None) => trusted && is_well_formed(id.as_bytes()),
            _ => false,
        };
        if !is_good {
            headers.insert(name.clone(), self.made_value(now));
        }
    }

    fn made_value(&self, began: u64) -> HeaderValue {
        // Hexadecimal digits are a header's value.
        HeaderValue::from_bytes(&made_id(self.seed, began)).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

/// The header that tells a client the id of its request.
#[derive(Clone, Debug)]
pub(crate) struct IdHeader(HeaderName, HeaderValue);

impl IdHeader {
    /// Adds it to a response, unless the application has.
    pub(crate) fn add(self, headers: &mut HeaderMap) {
        headers.entry(self.0).or_insert(self.1);
    }

    /// It as a line of a head.
    pub(crate) fn to_line(&self) -> String {
        format!("{}: {}\r\n", self.0, String::from_utf8_lossy(self.1.as_bytes()))
    }
}

impl RequestId {
    /// Its text; empty if there is none.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::None => b"",
            Self::Made(digits) => digits,
            Self::Given(value) => value.as_bytes(),
        }
    }
}

/// Letters, digits and what URLs and base64 have beside them: nothing that a log or a header could mistake.
fn is_well_formed(id: &[u8]) -> bool {
    (1..=LONGEST).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=:@".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::{RequestId, RequestIds, is_well_formed};
    use hostler_settings::Tracing;
    use hyper::Request;
    use std::collections::HashSet;

    fn ids() -> RequestIds {
        RequestIds::new(&Tracing { request_id_header: Some("X-Request-ID".into()), ..Tracing::default() })
    }

    fn assigned(came: &[&str], trusted: bool) -> String {
        let (ids, mut request) = (ids(), Request::new(()));
        for id in came {
            request.headers_mut().append("x-request-id", id.parse().unwrap());
        }
        ids.assign(ids.header().unwrap(), &mut request, trusted, 7);
        assert_eq!(request.headers().get_all("x-request-id").iter().count(), 1);
        request.headers()["x-request-id"].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_well_formed_id_of_a_trusted_client_is_kept() {
        assert_eq!(assigned(&["a-1_b.c"], true), "a-1_b.c");
        for (came, trusted) in
            [(&["a"][..], false), (&[], true), (&["a", "b"], true), (&["a b"], true), (&[""], true)]
        {
            let made = assigned(came, trusted);
            assert!(
                made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{came:?}: {made}"
            );
        }
    }

    #[test]
    fn what_could_be_mistaken_is_not_well_formed() {
        assert!(
            is_well_formed(b"550e8400-e29b-41d4-a716-446655440000") && is_well_formed(b"Root=1-67/a+b:c@d~e")
        );
        for id in [&b""[..], b"a b", b"a\"b", b"a\\b", b"a;b", b"a,b", b"\xff", &[b'a'; 129]] {
            assert!(!is_well_formed(id));
        }
    }

    #[test]
    fn ids_of_ours_differ_and_are_the_same_for_the_same_request() {
        let ids = ids();
        let made: HashSet<Vec<u8>> = (0..10_000).map(|began| ids.made(began).as_bytes().to_vec()).collect();
        assert_eq!(made.len(), 10_000);
        assert_eq!(ids.made(5).as_bytes(), ids.made(5).as_bytes());
        assert!(RequestId::default().as_bytes().is_empty());
    }
}
