//! The clients of the control socket: few, and none of them can keep another from being served.

use super::connection::Connection;
use hostler_sys::{
    control::{self, Peer},
    socket,
};
use hostler_wire::control::{Refusal, RefusalKind, Reply};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};
use tracing::{debug, warn};

/// How many clients there are at most.
const MOST: usize = 32;
/// How many are accepted in a turn.
const ACCEPTED: usize = 64;
/// How long none is accepted when the kernel cannot.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a client that has asked for nothing may stay when others want its place.
const GRACE: Duration = Duration::from_millis(100);

/// A client; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClientId(u64);

/// All clients.
#[derive(Default)]
pub(super) struct Clients {
    all: BTreeMap<ClientId, Connection>,
    last: u64,
    /// Until then no client is accepted.
    paused: Option<Instant>,
}

impl Clients {
    /// What to wait on.
    pub(super) fn descriptors<'a>(
        &'a self,
        listener: Option<&'a OwnedFd>,
    ) -> impl Iterator<Item = (BorrowedFd<'a>, PollFlags)> {
        let listener = listener.filter(|_| self.paused.is_none());
        let clients = self.all.values().map(|client| (client.as_fd(), client.interest()));
        clients.chain(listener.map(|listener| (listener.as_fd(), PollFlags::POLLIN)))
    }

    /// When something is to be done, if nothing else happens.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.all.values().any(Connection::has_request) {
            return Some(Instant::now());
        }
        self.all.values().filter_map(Connection::deadline).chain(self.paused).min()
    }

    /// Reads and writes what can be, accepts new clients, and closes those that are over; the requests that came.
    pub(super) fn receive(&mut self, listener: Option<&OwnedFd>) -> Vec<(ClientId, Vec<u8>)> {
        let now = Instant::now();
        self.paused = self.paused.filter(|until| now < *until);
        if self.all.is_empty() && listener.is_none() {
            return Vec::new();
        }
        let ready = self.ready(listener);
        for (client, ready) in self.all.values_mut().zip(&ready) {
            client.act(*ready);
        }
        if let Some(listener) =
            listener.filter(|_| ready.len() > self.all.len() && !ready[self.all.len()].is_empty())
        {
            self.accept(listener.as_fd());
        }
        let requests =
            self.all.iter_mut().filter_map(|(id, client)| Some((*id, client.next_line()?))).collect();
        self.all.retain(|_, client| !client.is_over(now));
        requests
    }

    /// What the kernel says of each client, and of the listener.
    fn ready(&self, listener: Option<&OwnedFd>) -> Vec<PollFlags> {
        let mut watched: Vec<PollFd<'_>> = self
            .descriptors(listener)
            .map(|(descriptor, interest)| PollFd::new(descriptor, interest))
            .collect();
        match poll(&mut watched, PollTimeout::ZERO) {
            Ok(_) => watched.iter().map(|watched| watched.revents().unwrap_or(PollFlags::empty())).collect(),
            Err(_) => Vec::new(),
        }
    }

    fn accept(&mut self, listener: BorrowedFd<'_>) {
        for _ in 0..ACCEPTED {
            if let Some(until) = self.make_room() {
                self.paused = Some(until);
                return;
            }
            match socket::accept(listener) {
                Ok((socket, _)) => self.add(socket),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    warn!(%error, "the control socket accepts no clients for a second");
                    self.paused = Some(Instant::now() + PAUSE);
                    return;
                }
            }
        }
    }

    fn add(&mut self, socket: OwnedFd) {
        let Ok(peer) = control::peer(&socket) else { return };
        let mut client = Connection::new(socket, peer);
        if let Some(refusal) = denied(peer) {
            debug!(pid = peer.pid, user = peer.user, "a client of the control socket is of another user");
            return client.send_last(&Reply::Failed(refusal));
        }
        if self.all.len() >= MOST {
            let refusal = Refusal::busy(format!("{MOST} clients of the control socket wait for outcomes"));
            return client.send_last(&Reply::Failed(refusal.hint("try again later")));
        }
        self.last += 1;
        self.all.insert(ClientId(self.last), client);
    }

    /// Where there is no room for another client, closes the one that has asked for nothing for the longest time; or until when
    /// that one may stay. Those that wait for outcomes are never closed.
    fn make_room(&mut self) -> Option<Instant> {
        if self.all.len() < MOST {
            return None;
        }
        let idle = self.all.iter().filter_map(|(id, client)| Some((client.idle_since()?, *id)));
        let (since, longest) = idle.min()?;
        if since + GRACE > Instant::now() {
            return Some(since + GRACE);
        }
        self.all.remove(&longest);
        None
    }

    /// Who a client is, while it is there.
    pub(super) fn peer(&self, id: ClientId) -> Option<Peer> {
        self.all.get(&id).map(|client| client.peer)
    }

    /// Sends a reply. A client that is gone gets none.
    pub(super) fn send(&mut self, id: ClientId, reply: &Reply) {
        if let Some(client) = self.all.get_mut(&id) {
            client.send(reply);
        }
    }
}

/// Why a client may not ask for anything, if it may not.
fn denied(peer: Peer) -> Option<Refusal> {
    let own = control::own_user();
    (peer.user != 0 && peer.user != own).then(|| {
        let message = format!("user {} may not control this server", peer.user);
        Refusal::new(RefusalKind::Denied, message).hint(format!("be user {own}, whose server it is, or root"))
    })
}
