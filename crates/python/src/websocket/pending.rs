//! The handshake that a connection waits for the response to.

use super::Session;
use pyo3::Python;
use std::{
    cell::RefCell,
    rc::{Rc, Weak},
};

/// The last handshake of a connection.
#[derive(Default)]
pub(crate) struct Pending(RefCell<Weak<Session>>);

impl Pending {
    pub(crate) fn set(&self, session: &Rc<Session>) {
        self.0.replace(Rc::downgrade(session));
    }

    /// Whether it has no response yet. A client that sends no more can speak no WebSocket: there is no point in one.
    pub(crate) fn is_pending(&self, py: Python<'_>) -> bool {
        let session = self.0.borrow().upgrade();
        session.is_some_and(|session| session.is_connecting(py))
    }
}
