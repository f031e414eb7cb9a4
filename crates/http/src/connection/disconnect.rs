//! Finds out that clients disconnect while their requests are in flight.
//!
//! Nothing reads a connection while its request is processed, so an end-of-file would stay unnoticed behind a body that
//! is not read. Connections that wait for their applications are polled for it instead, all in one system call, as
//! long as there are any.

use super::ConnectionHandle;
use hostler_sys::stream::{self, Disconnect};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    os::fd::RawFd,
    rc::Rc,
    time::Duration,
};

/// How often connections are polled. A disconnect is reported within this time and the loop's next turn.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The connections that are polled; cheap to clone, for one thread.
#[derive(Clone, Default)]
pub(crate) struct DisconnectWatcher(Rc<Watched>);

#[derive(Default)]
struct Watched {
    connections: RefCell<HashMap<RawFd, Rc<ConnectionHandle>>>,
    polling: Cell<bool>,
}

impl DisconnectWatcher {
    /// Polls a connection from now on; its task is woken when its client has disconnected.
    pub(crate) fn watch(&self, connection: &Rc<ConnectionHandle>) {
        self.0.connections.borrow_mut().insert(connection.descriptor(), Rc::clone(connection));
        if !self.0.polling.replace(true) {
            tokio::task::spawn_local(self.clone().poll());
        }
    }

    /// Stops polling it; called before its descriptor is closed.
    pub(crate) fn forget(&self, connection: &ConnectionHandle) {
        self.0.connections.borrow_mut().remove(&connection.descriptor());
    }

    async fn poll(self) {
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let connections: Vec<RawFd> = self.0.connections.borrow().keys().copied().collect();
            if connections.is_empty() {
                self.0.polling.set(false);
                return;
            }
            for (connection, disconnect) in connections.iter().zip(stream::disconnects(&connections)) {
                if let Some(disconnect) = disconnect {
                    self.report(*connection, disconnect);
                }
            }
        }
    }

    fn report(&self, connection: RawFd, disconnect: Disconnect) {
        let watched = self.0.connections.borrow();
        if let Some(connection) = watched.get(&connection)
            && connection.disconnected(disconnect)
        {
            connection.wake();
        }
    }
}
