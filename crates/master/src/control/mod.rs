//! The control socket: commands of `hostler ctl`, and the answers when their outcome is known (docs/CONTROL.md).
//!
//! A command becomes events of the arbiter, as a signal does. What it waits for is looked at in each turn ([`waiting`]), so that a
//! client that leaves in the meantime changes nothing. Reading and writing never block, and what clients may take of
//! this process is bounded ([`clients`]).
//!
//! Files: `place` where the socket is, `connection` one client, `clients` all of them, `waiting` when an outcome is known, and
//! what the answer is, `commands` what each command does, `target` those about one process, `tell` those that only tell.

mod clients;
mod commands;
mod connection;
mod place;
mod target;
mod tell;
mod waiting;

pub use place::ControlPlace;
pub(crate) use waiting::Notice;

use clients::Clients;
use hostler_settings::LogLevel;
use hostler_sys::own_file::OwnFile;
use nix::poll::PollFlags;
use place::Place;
use std::{
    os::fd::{BorrowedFd, OwnedFd},
    path::Path,
    time::Instant,
};
use tracing::{debug, warn};
use waiting::Waiting;

/// The control socket, its clients, and what they wait for.
#[derive(Default)]
pub struct Control {
    place: Place,
    socket: Option<(OwnedFd, OwnFile)>,
    clients: Clients,
    waiting: Vec<Waiting>,
    notices: Vec<Notice>,
    /// The number of the last question where threads are.
    asked: u32,
    /// The level that was set in place of the configured one.
    pub(crate) level: Option<LogLevel>,
}

impl Control {
    /// That of a server without a control socket so far.
    fn at(place: Place) -> Self {
        Self { place, ..Self::default() }
    }

    /// Where it is, if there is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.socket.as_ref().map(|(_, file)| file.path())
    }

    /// Opens the socket at the moment at which this server becomes the service, in place of its predecessor's if that has the
    /// same path. Failing that, there is none.
    pub(crate) fn open(&mut self, predecessors: Option<&Path>) {
        if self.socket.is_some() {
            return;
        }
        match self.place.open(predecessors) {
            Ok(socket) => self.socket = socket,
            Err(error) => {
                let hint = "name another path with --control-socket, or turn it off";
                warn!(%error, hint, "there is no control socket: `hostler ctl` cannot reach this server");
            }
        }
        if let Some(path) = self.path() {
            debug!(path = %path.display(), "control socket");
        }
    }

    /// Takes no more clients: another server does, or none.
    pub fn leave(&mut self) {
        if let Some((_, file)) = self.socket.take() {
            crate::run::remove(&file);
        }
    }

    /// What to wait on.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.clients.descriptors(self.socket.as_ref().map(|(socket, _)| socket))
    }

    /// When something is to be done, if nothing else happens.
    pub(crate) fn next(&self) -> Option<Instant> {
        let deadlines = self.waiting.iter().filter_map(Waiting::deadline);
        deadlines.chain(self.clients.next()).min()
    }

    /// Something happened that a client may wait for.
    pub(crate) fn notice(&mut self, notice: Notice) {
        if !self.waiting.is_empty() {
            self.notices.push(notice);
        }
    }

    /// Closes everything in a process that was forked from the master.
    pub(crate) fn close(&mut self) -> impl Sized + use<> {
        std::mem::take(self)
    }
}

/// Logs that the control socket is open; at the start of the server, when log lines have their form.
pub(crate) fn tell(control: &Control) {
    if let Some(path) = control.path() {
        debug!(path = %path.display(), "control socket");
    }
}
