//! The processes of the fleet: which worker sits where, and the lines to them.

use hostler_sys::{channel::Channel, process::WaitStatus};
use hostler_wire::{FromWorker, SeatId, ToWorker};
use std::{
    collections::{BTreeMap, HashMap},
    io,
};
use tracing::debug;

/// A worker, from the moment it was asked for.
pub(crate) struct Worker {
    /// `None` until the mold told it.
    pub(crate) pid: Option<i32>,
    pub(crate) channel: Channel,
}

/// All workers, by seat.
#[derive(Default)]
pub(crate) struct Fleet {
    workers: BTreeMap<SeatId, Worker>,
    /// Exits of processes that may turn out to be workers whose birth has not been told yet.
    strangers: HashMap<i32, WaitStatus>,
}

impl Fleet {
    pub(crate) fn add(&mut self, seat: SeatId, channel: Channel, pid: Option<i32>) {
        self.workers.insert(seat, Worker { pid, channel });
    }

    pub(crate) fn remove(&mut self, seat: SeatId) -> Option<Worker> {
        self.workers.remove(&seat)
    }

    pub(crate) fn channels(&self) -> impl Iterator<Item = (SeatId, &Channel)> {
        self.workers.iter().map(|(seat, worker)| (*seat, &worker.channel))
    }

    pub(crate) fn pid(&self, seat: SeatId) -> Option<i32> {
        self.workers.get(&seat)?.pid
    }

    pub(crate) fn seat_of(&self, pid: i32) -> Option<SeatId> {
        self.workers.iter().find(|(_, worker)| worker.pid == Some(pid)).map(|(seat, _)| *seat)
    }

    /// The seats whose workers have been asked for and not been born.
    pub(crate) fn unborn(&self) -> Vec<SeatId> {
        self.workers.iter().filter(|(_, worker)| worker.pid.is_none()).map(|(seat, _)| *seat).collect()
    }

    /// The mold told that a worker was born; returns how it ended if it has ended already.
    pub(crate) fn born(&mut self, seat: SeatId, pid: i32) -> Option<WaitStatus> {
        if let Some(worker) = self.workers.get_mut(&seat) {
            worker.pid = Some(pid);
        }
        let ended = self.strangers.remove(&pid);
        if self.unborn().is_empty() {
            self.strangers.clear();
        }
        ended
    }

    /// A process ended that is no known worker. As PID 1 or subreaper we get such from anybody.
    pub(crate) fn stranger_ended(&mut self, pid: i32, status: WaitStatus) {
        if !self.unborn().is_empty() {
            self.strangers.insert(pid, status);
        }
    }

    /// The next message of a worker; `None` if there is none.
    pub(crate) fn message(&self, seat: SeatId) -> Option<FromWorker> {
        match self.workers.get(&seat)?.channel.recv::<FromWorker>() {
            Ok(message) => message.map(|(message, _)| message),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                debug!(%seat, %error, "cannot read what the worker says");
                None
            }
        }
    }

    /// Tells a worker something. One that is dead is reaped in its time.
    pub(crate) fn tell(&self, seat: SeatId, message: &ToWorker) {
        if let Some(worker) = self.workers.get(&seat)
            && let Err(error) = worker.channel.send(message, &[])
        {
            debug!(%seat, %error, "the worker does not listen");
        }
    }
}
