//! The open WebSockets of a worker.

use crate::call::{Entry, Registry};
use hostler_settings::WebSocket;
use pyo3::Python;
use std::rc::Rc;

/// A WebSocket that can be asked to come again.
pub(super) trait Restart {
    fn restart(&self, py: Python<'_>);
}

/// The open WebSockets, and how they are spoken.
pub(crate) struct Sockets {
    settings: WebSocket,
    open: Registry<Rc<dyn Restart>>,
}

impl Sockets {
    pub(crate) fn new(settings: WebSocket) -> Self {
        Self { settings, open: Registry::default() }
    }

    /// Whether handshakes are served.
    pub(crate) fn are_served(&self) -> bool {
        self.settings.enabled
    }

    pub(super) fn settings(&self) -> WebSocket {
        self.settings
    }

    /// Keeps a WebSocket that is open, as long as the handle is.
    pub(super) fn enter(&self, socket: Rc<dyn Restart>) -> Entry<Rc<dyn Restart>> {
        self.open.enter(socket)
    }

    /// The worker drains: clients should come again, to another one.
    pub(crate) fn restart(&self, py: Python<'_>) {
        self.open.all(Rc::clone).iter().for_each(|socket| socket.restart(py));
    }
}
