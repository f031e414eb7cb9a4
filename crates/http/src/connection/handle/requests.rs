//! The requests of a connection, from their heads until the kernel has their responses, and what the access log is told of them.

use super::ConnectionHandle;
use crate::{
    RequestFacts,
    connection::{speech::Said, state::Event},
    log::entry::{Entry, SessionEntry},
    request::record::RequestRecord,
};
use hostler_sys::{
    clock,
    stream::{Disconnect, disconnects, unsent},
};
use hyper::HeaderMap;
use std::rc::Rc;

impl ConnectionHandle {
    /// The kernel has every response: their requests are no longer in flight.
    pub(crate) fn all_sent(&self) {
        let (left, sent) = (self.disconnect.get().is_some(), self.sent.get());
        let mut unsent = self.unsent.borrow_mut();
        if !unsent.is_empty() {
            unsent.drain(..).for_each(|request| request.sent(left, sent));
        }
        if let Some(request) = self.request.take() {
            request.sent(left, sent);
        }
    }

    /// The response is a 101: the line in the access log is written when the connection ends.
    #[cold]
    pub(crate) fn switches_protocols(&self) {
        if let Some(request) = &mut *self.request.borrow_mut() {
            let entry = request.entry.take().map(SessionEntry::new);
            self.session.replace(Some((request.session(), entry)));
        }
    }

    /// Another protocol follows. So many bytes, up to the 101, are still to be sent: they are not that protocol's.
    pub(crate) fn session_follows(&self, bytes: usize, said: &Rc<Said>) {
        if let Some((_, Some(session))) = &mut *self.session.borrow_mut() {
            session.follows(self.sent.get() + bytes as u64, Rc::clone(said));
        }
    }

    /// hyper has given up: what it has of a response is lost.
    pub(crate) fn broken(&self) {
        let state = self.state();
        if state.awaits_application() || state.is_in_hyper() {
            self.with_entry(Entry::broken);
        }
    }

    /// Tells the request's line in the access log, if it is to have one.
    pub(crate) fn with_entry(&self, tell: impl FnOnce(&Entry)) {
        if let Some(entry) = self.request.borrow().as_ref().and_then(|request| request.entry.as_ref()) {
            tell(entry);
        }
    }

    /// The response to the request begins past hyper, with this head.
    pub(crate) fn direct_begins(&self, status: u16, headers: &HeaderMap, length: Option<u64>) {
        if let Some(request) = &mut *self.request.borrow_mut() {
            request.responds(status);
        }
        self.with_entry(|entry| entry.responded(headers, length));
    }

    /// The response fails in the middle, on the way to the socket.
    pub(crate) fn response_failed(&self) {
        self.with_entry(|entry| if self.is_lost() { entry.broken() } else { entry.failed() });
        self.on(Event::ResponseFailed);
    }

    /// The connection's task is over: what the kernel does not have is not sent any more.
    pub(crate) fn ended(&self) {
        if let Some((_, Some(session))) = self.session.take() {
            let unsent = if self.resets_on_close() { unsent(self.descriptor()) } else { 0 };
            let cut = self.is_blocked() || self.resets_on_close();
            session.finish(self.sent.get().saturating_sub(unsent as u64), self.is_lost(), cut);
        }
        let request = self.request.take();
        for entry in self.unsent.take().iter().chain(&request).filter_map(|request| request.entry.as_ref()) {
            entry.ends_at(self.sent.get());
        }
    }

    /// The worker exits: requests in flight are cut.
    pub(crate) fn cut(&self) {
        let unsent = self.unsent.borrow();
        let request = self.request.borrow();
        unsent
            .iter()
            .chain(&*request)
            .filter_map(|request| request.entry.as_ref())
            .for_each(|entry| entry.failed());
        drop((unsent, request));
        if let Some((_, Some(session))) = &*self.session.borrow() {
            session.cut();
        }
        if let Some(http2) = self.http2.get() {
            http2.cut();
        }
        self.ended();
    }

    /// h2 has written the whole response to this request: it is in flight until the kernel has all of it.
    pub(crate) fn stream_written(&self, request: RequestRecord) {
        self.unsent.borrow_mut().push(request);
        self.on(Event::ResponseComplete);
    }

    /// A request is in flight from now on. Whether the loop is to turn before its application is called.
    pub(crate) fn begin(&self, request: RequestRecord) -> bool {
        let waits = self.poll_time.is_used_up(request.began_nanos);
        if let Some(entry) = &request.entry {
            entry.begins_behind(self.sent.get());
        }
        if let Some(unsent) = self.request.replace(Some(request)) {
            self.unsent.borrow_mut().push(unsent);
        }
        waits
    }

    /// The loop has turned before the request's application is called. Whether the client is still there: it may have
    /// pipelined many requests and left, and each of them may take long.
    pub(crate) fn has_turned(&self) -> bool {
        self.poll_time.is_used_up(clock::now());
        let broken = disconnects(&[self.descriptor]) == [Some(Disconnect::Broken)];
        if broken {
            self.disconnected(Disconnect::Broken);
        }
        !broken
    }

    /// The response to the request begins with this status.
    pub(crate) fn response_starts(&self, status: u16) {
        if let Some(request) = &mut *self.request.borrow_mut() {
            request.responds(status);
        }
        self.on(Event::ResponseStarted);
    }

    /// What the log says of the request: as one text with its age, and in parts.
    pub(crate) fn describe_request(&self) -> (String, RequestFacts) {
        self.request.borrow().as_ref().map(RequestRecord::describe).unwrap_or_default()
    }
}
