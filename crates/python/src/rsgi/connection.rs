//! What the requests of a connection have in common.

use super::shared::Shared;
use crate::{
    call::{Listeners, Notice},
    request::RequestMeta,
    websocket::Pending,
};
use hostler_http::{ConnectionInfo, Link, PeerAddress, Scheme, TlsInfo};
use pyo3::Python;
use std::{cell::Cell, rc::Rc, sync::Arc};

/// A connection; applications may keep it after it closed.
pub(crate) struct Connection {
    pub(super) shared: Rc<Shared>,
    pub(super) scheme: Scheme,
    pub(super) tls: Option<Arc<TlsInfo>>,
    pub(super) server: Rc<str>,
    pub(super) client: Rc<str>,
    pub(super) link: Link,
    /// Its suspended requests.
    pub(super) requests: Listeners,
    pub(super) handshake: Pending,
    /// The client half-closed, or is gone.
    finished: Cell<bool>,
}

/// A connection as the server holds it, until it closes.
pub(crate) struct OpenConnection(pub(super) Rc<Connection>);

impl Connection {
    pub(super) fn new(shared: Rc<Shared>, info: ConnectionInfo, link: Link) -> Self {
        let meta = RequestMeta::of(info);
        Self {
            shared,
            scheme: meta.scheme,
            tls: meta.tls,
            server: text(&meta.server).into(),
            client: text(&meta.client).into(),
            link,
            requests: Listeners::default(),
            handshake: Pending::default(),
            finished: Cell::new(false),
        }
    }

    /// Whether the client half-closed, or is gone.
    pub(super) fn is_finished(&self) -> bool {
        self.finished.get()
    }

    /// The client sends no more. Whether its request is to be handled all the same.
    pub(super) fn client_half_closed(&self, py: Python<'_>) -> bool {
        self.finished.set(true);
        self.requests.notify(py, Notice::ClientHalfClosed);
        !self.handshake.is_pending(py)
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

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.finished.set(true);
        Python::attach(|py| self.0.requests.notify(py, Notice::ConnectionClosed));
    }
}
