//! What a worker serves. HTTP is one service ([`crate::HttpService`]); the worker around it knows nothing of it.

use crate::Shared;
use hostler_wire::{Assignment, Page, WorkerSettings};
use std::{io, os::fd::OwnedFd, time::Duration};

/// A service that has not started.
pub trait Service {
    /// The service once it has.
    type Running: Running;

    /// Starts to serve, inside the runtime of the worker's thread. When it returns, the master is told that the worker
    /// serves.
    ///
    /// # Errors
    /// What keeps it from serving; the worker exits.
    fn start(self, resources: Resources) -> io::Result<Self::Running>;
}

/// What a service serves with.
pub struct Resources {
    /// Which worker it is.
    pub assignment: Assignment,
    /// Its page of the scoreboard.
    pub page: &'static Page,
    /// What it has in common with all workers.
    pub shared: Shared,
    /// How to serve.
    pub settings: WorkerSettings,
    /// The file with certificates, if TLS is served.
    pub certificates: Option<OwnedFd>,
}

/// A service that runs. All methods are called on the worker's thread.
pub trait Running {
    /// Waits until the worker has served as much as it was made for, and is to be recycled.
    fn limit_reached(&self) -> impl Future<Output = ()>;

    /// The server will stop soon: keeps serving, but closes connections with their next response.
    fn lame_duck(&self);

    /// There are more workers than before: leaves some of the connections to them.
    fn share_connections(&self) {}

    /// Serves new connections with the certificates in this file.
    fn renew_certificates(&self, file: OwnedFd);

    /// Takes nothing new, and returns when all that is in flight is finished. It is dropped when the grace period is over.
    /// If the others stop as well, `accepts_no_more` is called whenever what waited was accepted.
    fn drain(&self, others: Others, grace: Duration, accepts_no_more: impl Fn()) -> impl Future<Output = ()>;

    /// The other workers are stopping as well; comes while [`Running::drain`] runs.
    fn others_stop(&self);

    /// The kernel takes no new connections: accept what waits, for the last time; comes while [`Running::drain`] runs.
    fn accept_last(&self);

    /// Gives up what is in flight, and reports it.
    fn cut(&self, cause: Cut) -> impl Future<Output = ()>;

    /// How many clients the worker has, for the log.
    fn open(&self) -> usize;

    /// Tells at each heartbeat how much has been served in all, or `None` while something is in flight: a worker that
    /// stays idle gives memory back.
    fn activity(&self) -> impl Fn() -> Option<u64> + 'static;
}

/// What the other workers do while one drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They serve on, and take what is idle.
    GoOn,
    /// As [`Others::GoOn`], with changed code: what has no end is to be begun again there.
    Renewed,
    /// The server stops.
    Stop,
    /// The master is gone, or somebody else than it signalled this worker. They may serve on.
    Unknown,
}

/// Why what is in flight is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The first order, which has this name, was to exit at once.
    AtOnce(&'static str),
    /// The grace period is over.
    GraceOver,
    /// Their code was changed a moment ago.
    Renewed,
    /// An order to exit at once, by this name, came during the drain.
    Told(&'static str),
}
