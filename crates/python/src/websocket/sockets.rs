//! The open WebSockets of a worker.

use super::Session;
use hostler_wire::WebSocketSettings;
use pyo3::Python;
use std::{cell::RefCell, collections::HashMap, rc::Rc};

/// The open sessions, and how they are spoken.
pub(crate) struct Sockets {
    settings: Option<WebSocketSettings>,
    open: RefCell<HashMap<usize, Rc<Session>>>,
}

impl Sockets {
    pub(crate) fn new(settings: Option<WebSocketSettings>) -> Self {
        Self { settings, open: RefCell::default() }
    }

    /// Whether a handshake is answered as one.
    pub(crate) fn are_served(&self) -> bool {
        self.settings.is_some()
    }

    pub(super) fn settings(&self) -> Option<WebSocketSettings> {
        self.settings
    }

    pub(super) fn add(&self, session: &Rc<Session>) {
        self.open.borrow_mut().insert(Rc::as_ptr(session) as usize, Rc::clone(session));
    }

    pub(super) fn remove(&self, session: &Session) {
        let address = std::ptr::from_ref(session) as usize;
        let kept = self.open.borrow_mut().remove(&address);
        drop(kept);
    }

    /// The worker drains: clients should come again, to another one.
    pub(crate) fn restart(&self, py: Python<'_>) {
        let sessions: Vec<Rc<Session>> = self.open.borrow().values().cloned().collect();
        sessions.iter().for_each(|session| session.restart(py));
    }
}
