//! Clients that leave while their requests are in flight.
//!
//! Nobody reads a connection while its request is answered, so an end of it would go unnoticed, behind a body that
//! nobody reads for ever. Connections that wait for their applications are therefore looked at, all with one system
//! call, as long as there are any.

use crate::connection::ConnectionState;
use hostler_sys::socket::{self, Departure};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    os::fd::RawFd,
    rc::Rc,
    time::Duration,
};

/// How often to look. A disconnect is told within this time and the loop's next turn.
const LOOK: Duration = Duration::from_millis(50);

/// The connections that are looked at; cheap to clone, for one thread.
#[derive(Clone, Default)]
pub(crate) struct Departures(Rc<Watched>);

#[derive(Default)]
struct Watched {
    connections: RefCell<HashMap<RawFd, Rc<ConnectionState>>>,
    looking: Cell<bool>,
}

impl Departures {
    /// Looks at a connection from now on; its task is woken when its client has left.
    pub(crate) fn watch(&self, connection: &Rc<ConnectionState>) {
        self.0.connections.borrow_mut().insert(connection.descriptor(), Rc::clone(connection));
        if !self.0.looking.replace(true) {
            tokio::task::spawn_local(self.clone().look());
        }
    }

    /// Looks at it no more; before its descriptor is closed.
    pub(crate) fn forget(&self, connection: &ConnectionState) {
        self.0.connections.borrow_mut().remove(&connection.descriptor());
    }

    async fn look(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let connections: Vec<RawFd> = self.0.connections.borrow().keys().copied().collect();
            if connections.is_empty() {
                self.0.looking.set(false);
                return;
            }
            for (connection, departure) in connections.iter().zip(socket::departures(&connections)) {
                if let Some(departure) = departure {
                    self.tell(*connection, departure);
                }
            }
        }
    }

    fn tell(&self, connection: RawFd, departure: Departure) {
        let watched = self.0.connections.borrow();
        if let Some(connection) = watched.get(&connection)
            && connection.client_left(departure)
        {
            connection.wake();
        }
    }
}
