//! What a log line says of the request that it is about, from any thread: method, path, client, id, worker, process.
//!
//! A request is known by when it began, which no other request of the worker has in common with it. What it was is on the
//! worker's page while it is in flight; applications that know more, or are asked later, tell it themselves.

use crate::request::id::{RequestId, RequestIds};
use hostler_sys::board;
use hyper::{Method, Uri, header::HeaderName};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

/// This process's worker.
static WORKER: OnceLock<(RequestIds, u16)> = OnceLock::new();
/// The ids in headers of requests in flight, where a header is configured.
static GIVEN: Mutex<BTreeMap<u64, String>> = Mutex::new(BTreeMap::new());

/// When a request began, by which it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Began(pub(crate) u64);

/// What log lines say of a request, as fields.
#[derive(Clone, Debug, Default)]
pub struct RequestFacts {
    /// The method.
    pub method: String,
    /// The path, without the query, which may hold secrets.
    pub path: String,
    /// The client's address; empty if it has none.
    pub client: String,
    /// The id.
    pub request_id: String,
    /// The worker's number.
    pub worker: u16,
    /// The worker's process id.
    pub pid: u32,
}

/// A request, for lines that may come later: the scoreboard has no room for long paths, nor for many requests.
#[derive(Debug, Default)]
pub(crate) struct RequestName {
    began: Began,
    /// What the scoreboard does not show.
    line: Option<Box<(Method, Uri, Option<SocketAddr>)>>,
}

impl RequestName {
    pub(crate) fn new(began: Began, line: Option<Box<(Method, Uri, Option<SocketAddr>)>>) -> Self {
        Self { began, line }
    }

    pub(crate) fn take(&mut self) -> Self {
        Self { began: self.began, line: self.line.take() }
    }

    /// Of the request, which is in flight.
    pub(crate) fn facts(&self) -> RequestFacts {
        let mut facts = RequestFacts::in_flight(self.began);
        if let Some((method, uri, client)) = self.line.as_deref() {
            facts.name(method, uri, *client);
        }
        facts
    }
}

pub(crate) fn set_worker(ids: &RequestIds, worker: u16) {
    let _ = WORKER.set((ids.clone(), worker));
}

/// A request in flight has this id in its header.
pub(crate) fn given(began: u64, id: String) {
    ids().insert(began, id);
}

/// The request is not in flight any more.
pub(crate) fn forget(began: u64) {
    ids().remove(&began);
}

fn ids() -> MutexGuard<'static, BTreeMap<u64, String>> {
    GIVEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text_of(client: Option<SocketAddr>) -> String {
    client.map(|client| client.to_string()).unwrap_or_default()
}

fn text(id: &RequestId) -> String {
    String::from_utf8_lossy(id.as_bytes()).into_owned()
}

impl RequestFacts {
    /// Of a request in flight, as far as the worker's page tells.
    #[must_use]
    pub fn in_flight(began: Began) -> Self {
        let mut this = Self::of_id(began, None);
        let requests = board::own().map(hostler_wire::Page::requests_in_flight).unwrap_or_default();
        if let Some(request) = requests.into_iter().find(|request| request.started_at == began.0) {
            (this.method, this.path) = (request.method, request.path);
            this.client = request.peer.map(|peer| peer.to_string()).unwrap_or_default();
        }
        this
    }

    /// Of a request that the caller knows.
    #[must_use]
    pub fn of(
        began: Began,
        (method, uri): (&Method, &Uri),
        client: Option<SocketAddr>,
        id: Option<&RequestId>,
    ) -> Self {
        let mut this = Self::of_id(began, id);
        this.name(method, uri, client);
        this
    }

    /// Of a request that was refused then, and of which not even the method may be known.
    pub(crate) fn unread(at: Began, line: Option<(&Method, &Uri)>, client: Option<SocketAddr>) -> Self {
        let mut this = Self { client: text_of(client), ..Self::of_id(at, None) };
        if let Some((method, uri)) = line {
            this.name(method, uri, client);
        }
        this
    }

    /// Says in full what the request is.
    pub(crate) fn name(&mut self, method: &Method, uri: &Uri, client: Option<SocketAddr>) {
        method.as_str().clone_into(&mut self.method);
        hostler_access::path(uri).clone_into(&mut self.path);
        self.client = text_of(client);
    }

    /// The header that carries ids of requests, if one is configured.
    #[must_use]
    pub fn id_header() -> Option<&'static HeaderName> {
        WORKER.get()?.0.header()
    }

    fn of_id(began: Began, id: Option<&RequestId>) -> Self {
        let (made, worker) = match WORKER.get() {
            Some((ids, worker)) if began != Began::default() => (text(&ids.made(began.0)), *worker),
            Some((_, worker)) => (String::new(), *worker),
            None => Default::default(),
        };
        let request_id = id.map(text).or_else(|| ids().get(&began.0).cloned()).unwrap_or(made);
        Self { request_id, worker, pid: std::process::id(), ..Self::default() }
    }
}
