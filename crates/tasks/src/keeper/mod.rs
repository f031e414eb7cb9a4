//! The process that has the file: one thread, which waits for its connections, and does in each turn what all of them have said.
//!
//! While it waits for the disk, more is said; the next turn does all of it, with one wait. So there is nothing to tune: one client has the disk's
//! latency, and many share it.

mod connection;
mod files;
mod place;
mod restore;
mod waiting;

pub use place::KeeperError;
pub use waiting::Waiting;

use crate::{Ask, ClientId, Engine, Incoming, Millis, Outgoing, StoreError};
use connection::Connection;
use files::Files;
use hostler_sys::{
    clock, control,
    own_file::{Inode, OwnFile},
};
use hostler_wire::TasksWaiting;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{Shutdown, shutdown},
};
use place::Place;
use restore::Locks;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tracing::{error, info, warn};

/// How long to wait after accept(2) has failed.
const PAUSE: Duration = Duration::from_millis(200);
/// How much is read at once.
const BUFFER: usize = 64 * 1024;
/// The byte of the lock file that the keeper holds; workers hold others.
const KEEPER: i64 = 0;

/// The keeper of a queue.
pub struct Keeper {
    engine: Engine,
    place: Place,
    listener: UnixListener,
    socket: OwnFile,
    /// Those of lock files that were removed as well: workers have theirs there.
    locks: Vec<Locks>,
    /// The lock file that there was last.
    lock: Option<Inode>,
    files: Files,
    /// When to look after the files, if that is to be without a notice.
    look_at: Option<Millis>,
    /// The files were removed, and are not there again: nobody is served.
    is_away: bool,
    /// Where the tasks of files that were removed have been written to.
    written: Option<PathBuf>,
    connections: BTreeMap<ClientId, Connection>,
    /// The processes of workers that are connected: readable when they have exited.
    processes: BTreeMap<ClientId, OwnedFd>,
    /// Connections of processes that have exited; what they have said before is still to be read.
    exited: BTreeSet<ClientId>,
    next_client: u64,
    next_turn: Option<Millis>,
    /// The same by the clock that nobody sets (`clock::now`): the other one may be set back.
    due: Option<u64>,
    /// accept(2) has failed: not before this time again (`clock::now`, nanoseconds).
    accept_after: u64,
    /// What is read goes through it.
    buffer: Box<[u8]>,
    /// What the store said last, so that it is logged once.
    fault: Option<String>,
}

impl Keeper {
    /// Becomes the keeper of the queue in this file, if no other process is; otherwise none.
    ///
    /// # Errors
    /// When the file, its lock or its socket cannot be used.
    pub fn open(path: &Path) -> Result<Option<Self>, KeeperError> {
        let place = Place::of(path)?;
        let Some(locks) = Locks::take(&place)? else { return Ok(None) };
        let locks = vec![locks];
        let engine = restore::engine(&place, &locks)?;
        let (listener, socket) = place.listen()?;
        let (lock, files) = (Inode::of(&place.lock).ok(), Files::of(&place));
        info!(path = %place.file.display(), "task queue opened");
        Ok(Some(Self {
            engine,
            place,
            listener,
            socket,
            locks,
            lock,
            files,
            look_at: None,
            is_away: false,
            written: None,
            connections: BTreeMap::new(),
            processes: BTreeMap::new(),
            exited: BTreeSet::new(),
            next_client: 0,
            next_turn: Some(0),
            due: None,
            accept_after: 0,
            buffer: vec![0; BUFFER].into(),
            fault: None,
        }))
    }

    /// How many programs are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Waits for what comes, for so long at most, and does it; whether `until` is readable.
    ///
    /// # Errors
    /// The kernel's (poll(2)).
    pub fn turn(&mut self, until: BorrowedFd<'_>, limit: Option<Duration>) -> io::Result<bool> {
        let Some(ready) = self.wait(until, limit)? else { return Ok(true) };
        if ready.files || self.look_at.is_some_and(|at| at <= now()) {
            self.look_after_files();
            return Ok(false);
        }
        if self.is_away {
            return Ok(false);
        }
        if ready.listener {
            self.accept();
        }
        ready.exited.into_iter().for_each(|id| self.has_exited(id));
        let mut incoming = Vec::new();
        for id in ready.connections {
            self.serve(id, &mut incoming);
        }
        let is_due = self.next_turn.is_some_and(|next| next <= now())
            || self.due.is_some_and(|due| due <= clock::now());
        if is_due || !incoming.is_empty() {
            let turn = self.engine.turn(now(), incoming);
            self.send(turn.out);
            let failed = self.settle().or(turn.failed);
            self.next_turn = self.engine.next_turn(now(), failed.is_some());
            self.due = self.next_turn.map(|next| clock::now().saturating_add(nanos(next - now())));
            self.tell_fault(failed.as_ref());
        }
        Ok(false)
    }

    /// What is to be told of tasks that wait for workers, if something is.
    pub fn news(&mut self, waiting: &mut Waiting) -> Option<TasksWaiting> {
        let engine = &self.engine;
        waiting.news(engine.waiting(), clock::now(), || {
            let since = engine.waits_since().ok().flatten();
            let millis = since.map_or(0, |since| (now() - since).max(0));
            Duration::from_millis(u64::try_from(millis).unwrap_or(0))
        })
    }

    /// Ends: what was said is answered as far as it can be, and all is on disk.
    pub fn close(mut self) {
        if self.is_away {
            self.look_after_files();
        }
        let turn = self.engine.turn(now(), Vec::new());
        self.send(turn.out);
        self.settle();
        self.engine.close();
        let _ = self.socket.remove();
    }

    fn wait(&self, until: BorrowedFd<'_>, limit: Option<Duration>) -> io::Result<Option<Ready>> {
        let listens = self.accept_after <= clock::now() && !self.is_away;
        let mut ids = Vec::with_capacity(self.connections.len());
        let mut watched = vec![PollFd::new(until, PollFlags::POLLIN)];
        let listening = if listens { PollFlags::POLLIN } else { PollFlags::empty() };
        // One that is shut down would be ready all the time.
        let listener = if self.is_away { until } else { self.listener.as_fd() };
        watched.push(PollFd::new(listener, listening));
        let notices = self.files.notices();
        let noticing = if notices.is_some() { PollFlags::POLLIN } else { PollFlags::empty() };
        watched.push(PollFd::new(notices.unwrap_or(until), noticing));
        for (id, connection) in &self.connections {
            ids.push(*id);
            watched.push(PollFd::new(connection.as_fd(), connection.interest()));
        }
        watched
            .extend(self.processes.values().map(|process| PollFd::new(process.as_fd(), PollFlags::POLLIN)));
        let timeout = self.timeout(limit, listens);
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut watched, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |it: &PollFd<'_>| it.revents().is_some_and(|events| !events.is_empty());
        if is_ready(&watched[0]) {
            return Ok(None);
        }
        let (connections, processes) = watched[3..].split_at(ids.len());
        let ready = |ids: Vec<ClientId>, watched: &[PollFd<'_>]| {
            ids.into_iter().zip(watched).filter(|(_, it)| is_ready(it)).map(|(id, _)| id).collect()
        };
        let exited = ready(self.processes.keys().copied().collect(), processes);
        let [listener, files] = [1, 2].map(|at| is_ready(&watched[at]));
        Ok(Some(Ready { listener, files, connections: ready(ids, connections), exited }))
    }

    /// How long to wait in milliseconds; for ever is -1.
    fn timeout(&self, limit: Option<Duration>, listens: bool) -> i32 {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let turn = self.next_turn.filter(|_| !self.is_away);
        let turn = turn.into_iter().chain(self.look_at).min().map(|next| (next - now()).max(0));
        let by_due = self.due.filter(|_| !self.is_away).map(|due| {
            let left = due.saturating_sub(clock::now()).div_ceil(1_000_000);
            i64::try_from(left).unwrap_or(i64::MAX)
        });
        let pause = (!listens && !self.is_away).then_some(millis(PAUSE));
        let least = [turn, by_due, pause, limit.map(millis)].into_iter().flatten().min();
        least.map_or(-1, |least| i32::try_from(least).unwrap_or(i32::MAX))
    }

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((socket, _)) if is_trusted(&socket) => match Connection::new(socket) {
                    Ok(connection) => {
                        self.next_client += 1;
                        self.connections.insert(ClientId(self.next_client), connection);
                    }
                    Err(error) => warn!(%error, "cannot serve a connection to the task queue"),
                },
                Ok(_) => warn!("a connection to the task queue by another user was refused"),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    warn!(%error, "cannot accept connections to the task queue");
                    self.accept_after = clock::now() + u64::try_from(PAUSE.as_nanos()).unwrap_or(0);
                    return;
                }
            }
        }
    }

    /// Reads and writes what can be.
    fn serve(&mut self, id: ClientId, incoming: &mut Vec<Incoming>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let mut is_worker = false;
        let is_open = connection.read(&mut self.buffer, |frame| {
            is_worker |= matches!(frame.message, Ask::Work { .. });
            incoming.push(Incoming::Asked(id, frame));
        }) && connection.write();
        if is_worker && let Some(process) = control::peer_process(connection) {
            self.processes.insert(id, process);
        }
        if !is_open {
            self.end(id, incoming);
        }
    }

    /// A worker's process has exited. Others may have its connection open, which it has forked: nothing more is to come from them.
    fn has_exited(&mut self, id: ClientId) {
        self.processes.remove(&id);
        self.exited.insert(id);
        if let Some(connection) = self.connections.get(&id) {
            // What is there can still be read, up to an end that is there now.
            let _ = shutdown(connection.as_fd().as_raw_fd(), Shutdown::Both);
        }
    }

    fn end(&mut self, id: ClientId, incoming: &mut Vec<Incoming>) {
        if let Some(connection) = self.connections.remove(&id) {
            if let Some(fault) = connection.fault() {
                warn!(fault, "a connection to the task queue was closed");
            }
            self.processes.remove(&id);
            let has_exited = self.exited.remove(&id);
            incoming.push(if has_exited { Incoming::Exited(id) } else { Incoming::Gone(id) });
        }
    }

    fn send(&mut self, out: Vec<Outgoing>) {
        let mut written = Vec::new();
        for Outgoing { to, frame } in out {
            if let Some(connection) = self.connections.get_mut(&to) {
                connection.push(&frame);
                if written.last() != Some(&to) {
                    written.push(to);
                }
            }
        }
        let mut incoming = Vec::new();
        for id in written {
            let is_open = self.connections.get_mut(&id).is_none_or(Connection::write);
            if !is_open {
                self.end(id, &mut incoming);
            }
        }
        if !incoming.is_empty() {
            let turn = self.engine.turn(now(), incoming);
            self.send(turn.out);
        }
    }

    /// Has what was accepted reach the disk, and says so to its clients.
    fn settle(&mut self) -> Option<StoreError> {
        let (promises, failed) = self.engine.settle(now());
        self.send(promises);
        failed
    }

    /// Says once what is wrong with the store, and that it is right again.
    fn tell_fault(&mut self, failed: Option<&StoreError>) {
        let fault = failed.map(ToString::to_string);
        if fault == self.fault {
            return;
        }
        match &fault {
            Some(fault) => error!(
                error = fault,
                "the task queue cannot be written: no task is accepted; it is tried again each second"
            ),
            None => info!("the task queue is written again"),
        }
        self.fault = fault;
    }
}

struct Ready {
    listener: bool,
    files: bool,
    connections: Vec<ClientId>,
    exited: Vec<ClientId>,
}

/// The user of this process, or root.
fn is_trusted(socket: &impl AsFd) -> bool {
    control::peer(socket).is_ok_and(|peer| peer.user == control::own_user() || peer.user == 0)
}

fn nanos(millis: Millis) -> u64 {
    u64::try_from(millis).unwrap_or(0).saturating_mul(1_000_000)
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

pub(crate) fn listener(socket: OwnedFd) -> io::Result<UnixListener> {
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
}
