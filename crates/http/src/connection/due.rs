//! What is due for a request's response, beside the response itself: its line in the access log, the request's id, headers that
//! all responses have, and compression. Without any of these options it is one empty pointer.

use crate::{
    Load, Scheme,
    compress::{Accepted, Encoding, Uncompressed},
    log::{entry::Entry, queue::Waiting},
    request::{added::AddedHeaders, id::IdHeader, record::RequestRecord},
};
use hostler_sys::clock;
use hyper::{HeaderMap, Request, Response, StatusCode};
use std::{net::SocketAddr, os::fd::RawFd, rc::Rc};

/// What is due for a response, if anything is: it moves with the request, so it is small.
#[derive(Default)]
pub(super) struct Due(Option<Box<Parts>>);

#[derive(Default)]
struct Parts {
    /// Its line in the access log.
    entry: Option<Rc<Entry>>,
    /// The id that the client is to be told.
    id: Option<Box<IdHeader>>,
    /// How it is to be compressed.
    accepted: Option<Accepted>,
    /// The headers that it is given.
    added: Option<&'static AddedHeaders>,
}

/// What matters of the call of an application.
pub(super) struct AboutCall {
    /// [`crate::App::bypasses`].
    pub(super) bypasses: bool,
    /// How long the request had waited when it was read, in nanoseconds, if that is known.
    pub(super) queued: Option<u64>,
    /// Where is noted how long it waits from then on, if it may.
    pub(super) waiting: Option<Waiting>,
}

/// What the server adds to the head of a response that the application sends past hyper. Found among the request's
/// extensions, if there is something to be added and the application may do so ([`crate::App::bypasses`]).
#[derive(Clone, Debug)]
pub struct Additions {
    id: Option<IdHeader>,
    uncompressed: Option<Uncompressed>,
    added: Option<&'static AddedHeaders>,
}

impl Additions {
    /// Adds it. Such a response is not compressed.
    pub fn add_to(self, status: StatusCode, headers: &mut HeaderMap, length: Option<u64>) {
        if let Some(uncompressed) = self.uncompressed {
            uncompressed.vary(status, headers, length);
        }
        if let Some(id) = self.id {
            id.add(headers);
        }
        if let Some(added) = self.added {
            added.add(headers);
        }
    }
}

impl Due {
    /// For a request of which nothing is known yet, which is given its id.
    #[inline]
    pub(super) fn identify<B>(load: &Load, request: &mut Request<B>, trusted: bool) -> Self {
        if !load.has_extras() {
            return Self(None);
        }
        let ids = load.ids();
        let id = if ids.identify() { ids.give(request, trusted) } else { None };
        Self(Some(Box::new(Parts { id, added: load.added(), ..Parts::default() })))
    }

    /// The request, which begins then, does not reach the application: its record.
    #[cold]
    pub(super) fn refuse<B>(
        &mut self,
        load: &Load,
        request: &Request<B>,
        client: (Option<SocketAddr>, Scheme),
        began: u64,
    ) -> RequestRecord {
        let entry = load.access_log().and_then(|log| log.begin(request, client, began));
        if let Some(parts) = &mut self.0 {
            parts.entry.clone_from(&entry);
        }
        RequestRecord::of_refusal(load.page(), Some(request.method()), began, entry)
    }

    /// The request begins.
    #[inline]
    pub(super) fn begin<B>(
        &mut self,
        load: &Load,
        request: &Request<B>,
        client: (Option<SocketAddr>, Scheme),
        record: &mut RequestRecord,
    ) {
        if let Some(parts) = &mut self.0 {
            parts.begin(load, request, client, record);
        }
    }

    /// The application is to be called.
    #[inline]
    pub(super) fn call<B>(&mut self, load: &Load, request: &mut Request<B>, about: AboutCall) {
        if let Some(parts) = &mut self.0 {
            parts.call(load, request, about);
        }
    }

    /// The request has waited for its turn, which comes now or never.
    pub(super) fn turn_comes(&self) {
        if let Some(entry) = self.entry() {
            entry.turn_comes();
        }
    }

    /// There is no room for the request, which may have waited before it was read.
    #[cold]
    pub(super) fn waited(&self, load: &Load, connection: RawFd) {
        if let Some(entry) = self.entry().filter(|entry| entry.wants_queue()) {
            entry.waited(load.kernel_wait(connection, clock::now()));
        }
    }

    fn entry(&self) -> Option<&Entry> {
        self.0.as_ref()?.entry.as_deref()
    }

    /// Changes the head of a response of the application that is to be compressed; what is to be done about its body.
    #[inline]
    pub(super) fn encoding<B: http_body::Body>(&self, response: &mut Response<B>) -> Encoding {
        match self.0.as_ref().and_then(|parts| parts.accepted.as_ref()) {
            Some(accepted) => accepted.apply(response),
            None => Encoding::Unchanged,
        }
    }

    /// The response begins, with this head. Its body shares the line in the access log.
    #[inline]
    pub(super) fn respond<B>(
        &mut self,
        response: &mut Response<B>,
        length: impl FnOnce(&B) -> Option<u64>,
    ) -> Option<Rc<Entry>> {
        let parts = self.0.as_mut()?;
        if let Some(id) = parts.id.take() {
            id.add(response.headers_mut());
        }
        if let Some(added) = parts.added {
            added.add(response.headers_mut());
        }
        let entry = parts.entry.take()?;
        let length = if has_length(response.status()) { length(response.body()) } else { None };
        entry.responded(response.headers(), length);
        Some(entry)
    }

    /// There is no response, for a reason of the application's own.
    pub(super) fn failed(&self) {
        if let Some(entry) = self.entry() {
            entry.failed();
        }
    }
}

/// Whether hyper says in the head of such a response how long its body is.
fn has_length(status: StatusCode) -> bool {
    !(status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED))
}

impl Parts {
    fn begin<B>(
        &mut self,
        load: &Load,
        request: &Request<B>,
        client: (Option<SocketAddr>, Scheme),
        record: &mut RequestRecord,
    ) {
        if load.ids().identify() {
            record.is_given(load.ids().given(request.headers()));
        }
        if let Some(log) = load.access_log() {
            self.entry = log.begin(request, client, record.began_nanos);
            record.entry.clone_from(&self.entry);
        }
    }

    fn call<B>(&mut self, load: &Load, request: &mut Request<B>, about: AboutCall) {
        self.accepted = load.compression().map(|rules| rules.accepted(request));
        if about.bypasses && (self.id.is_some() || self.accepted.is_some() || self.added.is_some()) {
            let uncompressed = self.accepted.as_ref().map(Accepted::uncompressed);
            let additions = Additions { id: self.id.as_deref().cloned(), uncompressed, added: self.added };
            request.extensions_mut().insert(additions);
        }
        let Some(entry) = self.entry.as_ref().filter(|entry| entry.wants_queue()) else { return };
        entry.waited(about.queued);
        about.waiting.into_iter().for_each(|waiting| entry.waits(waiting));
    }
}
