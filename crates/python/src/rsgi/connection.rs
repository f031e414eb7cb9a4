//! What the requests of a connection have in common.

use super::{Exchange, Shared};
use crate::{awaitable::resolve, eventloop::spawn_local, gil::GilCell, response::HEAD_LIMIT};
use hostler_http::{ConnectionInfo, Link, PeerAddress};
use pyo3::{intern, prelude::*};
use std::rc::Rc;
use tokio::time::sleep;

/// A connection; applications may keep it longer than it lives.
pub(crate) struct Connection {
    pub(super) shared: Rc<Shared>,
    pub(super) server: Rc<str>,
    pub(super) client: Rc<str>,
    pub(super) link: Link,
    watchers: Rc<Watchers>,
    /// Requests whose applications answer HEAD without an end.
    endless: GilCell<Vec<Py<Exchange>>>,
}

/// A connection as the server holds it: as long as it lives.
pub(crate) struct Alive(pub(super) Rc<Connection>);

impl Connection {
    pub(super) fn new(shared: Rc<Shared>, info: &ConnectionInfo, link: Link) -> Self {
        Self {
            shared,
            server: text(&info.local).into(),
            client: text(&info.peer).into(),
            link,
            watchers: Rc::default(),
            endless: GilCell::default(),
        }
    }

    /// Has the end of the connection told to a request that was answered before its application had said all of it.
    pub(super) fn end_with_it(&self, py: Python<'_>, exchange: Py<Exchange>) {
        let mut endless = self.endless.with(py, std::mem::take);
        endless.retain(|exchange| exchange.get().outlives_answer(py));
        endless.push(exchange);
        self.endless.with(py, |kept| *kept = endless);
    }

    pub(super) fn watchers(&self) -> &Rc<Watchers> {
        &self.watchers
    }
}

/// `address:port`, or a Unix socket's path; its clients have none.
fn text(address: &PeerAddress) -> String {
    match address {
        PeerAddress::Tcp(address) => address.to_string(),
        PeerAddress::Unix(Some(path)) => path.display().to_string(),
        PeerAddress::Unix(None) => String::new(),
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let connection = &self.0;
        let address = Rc::as_ptr(&connection.watchers) as usize;
        let watched = connection.shared.watched.borrow_mut().remove(&address);
        drop(watched);
        let endless = Python::attach(|py| {
            connection.watchers.tell_all(py);
            connection.endless.with(py, std::mem::take)
        });
        if !endless.is_empty() {
            spawn_local(async move {
                sleep(HEAD_LIMIT).await;
                Python::attach(|py| endless.iter().for_each(|exchange| exchange.get().connection_ended(py)));
            });
        }
    }
}

/// Futures of `client_disconnect()`.
#[derive(Default)]
pub(super) struct Watchers(GilCell<State>);

#[derive(Default)]
struct State {
    waiting: Vec<Watcher>,
    /// The client sends no more, or is gone.
    departed: bool,
}

struct Watcher {
    future: Py<PyAny>,
    exchange: Py<Exchange>,
}

impl Watchers {
    /// Adds one; those that nobody waits for any more are dropped.
    pub(super) fn add(
        self: &Rc<Self>,
        py: Python<'_>,
        shared: &Shared,
        future: Py<PyAny>,
        exchange: Py<Exchange>,
    ) {
        if self.0.with(py, |state| state.departed) {
            return resolve(future.bind(py), py.None().into_bound(py));
        }
        let all = self.0.with(py, |state| std::mem::take(&mut state.waiting));
        let (mut kept, done): (Vec<_>, Vec<_>) = all.into_iter().partition(|watcher| !watcher.is_done(py));
        drop(done);
        kept.push(Watcher { future, exchange });
        self.0.with(py, |state| state.waiting.append(&mut kept));
        shared.watched.borrow_mut().insert(Rc::as_ptr(self) as usize, Rc::clone(self));
    }

    /// The client is gone.
    pub(super) fn tell_all(&self, py: Python<'_>) {
        let all = self.0.with(py, |state| {
            state.departed = true;
            std::mem::take(&mut state.waiting)
        });
        for watcher in all {
            resolve(watcher.future.bind(py), py.None().into_bound(py));
        }
    }

    /// The worker drains: whoever streams should end, though the client is there.
    pub(super) fn tell_streams(&self, py: Python<'_>) {
        let all = self.0.with(py, |state| std::mem::take(&mut state.waiting));
        let (streams, mut others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|watcher| watcher.exchange.get().is_streaming(py));
        self.0.with(py, |state| state.waiting.append(&mut others));
        for watcher in streams {
            resolve(watcher.future.bind(py), py.None().into_bound(py));
        }
    }
}

impl Watcher {
    fn is_done(&self, py: Python<'_>) -> bool {
        let done = self.future.bind(py).call_method0(intern!(py, "done"));
        done.and_then(|done| done.is_truthy()).unwrap_or(true)
    }
}
