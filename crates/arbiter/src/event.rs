//! What comes in and what goes out.

use crate::{DrainReason, Group, KillCause, RecycleReason};
use hostler_wire::{ExitStatus, Generation, GroupId, SlotId, WorkerId};
use std::time::Duration;

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The mold of this generation was started; it can spawn once it has booted.
    Preparing(Generation),
    /// The mold of this generation can fork.
    CanSpawn(Generation),
    /// The mold of this generation is gone: for now no process of this generation can be forked by one.
    CannotSpawn(Generation),
    /// The user asked for a new generation, which the master is preparing, with these groups.
    Reload(Generation, Vec<Group>),
    /// The code was changed: a new generation takes over at once, proven or not, and the processes of the old one end soon.
    Restart(Generation, Vec<Group>),
    /// The new generation could not be prepared.
    ReloadFailed(Generation),
    /// The worker asked for exists.
    Spawned(WorkerId),
    /// The worker asked for could not be made.
    SpawnFailed(WorkerId),
    /// The worker serves.
    Ready(WorkerId),
    /// The worker told why it can't boot; its exit follows.
    BootFailed(WorkerId, ExitStatus),
    /// The whole start failed before there was any worker to blame.
    StartFailed(ExitStatus),
    /// The worker's loop turned since the last time.
    Beat(WorkerId),
    /// A debugger holds the worker: it is given all the time that it takes.
    Debugged(WorkerId),
    /// The worker reached one of its limits, or the user wants it replaced.
    Recycle(WorkerId, RecycleReason),
    /// The user wants a process in this slot now: one that still prepares to serve is replaced, and a slot whose process has ended gets
    /// another one, whatever it has waited for and however often it has failed.
    TryNow(SlotId),
    /// The user no longer wants the worker replaced.
    Keep(WorkerId),
    /// The server stops, and the worker has accepted what waited: it accepts only if it is told to.
    AcceptsNoMore(WorkerId),
    /// The worker's process ended.
    Exited(WorkerId),
    /// The process ended as it was to, and is not to be started again.
    Finished {
        /// The process.
        worker: WorkerId,
        /// Whether what it was to do is done.
        well: bool,
    },
    /// Whether memory allows a worker and its successor at the same time.
    Headroom(bool),
    /// The machine was suspended for this long: deadlines move by it.
    Suspended(Duration),
    /// A group is to have this many slots.
    Scale(GroupId, u16),
    /// A group is to have one slot less: this one, whose process has nothing to do.
    Retire(SlotId),
    /// The user asked for an end after the requests in flight.
    StopGracefully,
    /// The user asked for an end now.
    StopQuickly,
    /// Another server was started to take over from this one.
    UpgradeBegan,
    /// It runs, and heeds orders from now on.
    SuccessorRuns,
    /// It serves the same sockets: this server hands everything over.
    HandOver,
    /// The server that this one replaces has handed on what it had to, or is gone.
    ProcessesHandedOn,
    /// Its process exited. `clean`: as after an order to stop.
    SuccessorEnded {
        /// Whether the exit code was 0.
        clean: bool,
    },
    /// Time passed.
    Tick,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a worker for this slot.
    Spawn(WorkerId, SlotId, Generation),
    /// Tell the worker that the server will stop: its responses close their connections.
    LameDuck(WorkerId),
    /// Tell the worker to finish what it has and exit. `hand_over`: other workers keep serving, and take
    /// idle connections.
    Drain {
        /// The worker.
        worker: WorkerId,
        /// Why.
        reason: DrainReason,
        /// Whether idle connections go to others.
        hand_over: bool,
    },
    /// Tell the worker to exit at once.
    Quit(WorkerId),
    /// Tell a worker that was still booting to exit. It may serve by now; then it finishes what it accepted.
    Dismiss {
        /// The worker.
        worker: WorkerId,
        /// Idle connections go to other workers.
        hand_over: bool,
    },
    /// Send the process SIGTERM: that is how processes of its group are stopped.
    SendTerm {
        /// The process.
        worker: WorkerId,
        /// Why.
        reason: DrainReason,
    },
    /// Have the worker write its stacks.
    Report(WorkerId, KillCause),
    /// Send the worker SIGTERM, and tell the user why, with what was reported.
    Terminate(WorkerId, KillCause),
    /// Kill the worker, for this reason.
    Kill(WorkerId, KillCause),
    /// The new generation serves; the old one drains.
    Reloaded(Generation),
    /// The new generation is given up; the old one keeps serving.
    NotReloaded(Generation),
    /// The new generation is given up because a newer one is on its way.
    Superseded(Generation),
    /// The mold of this generation takes too long: kill it.
    GiveUp(Generation),
    /// Tell the successor to stop.
    StopSuccessor {
        /// At once.
        quickly: bool,
    },
    /// Kill the successor.
    KillSuccessor,
    /// Leave the process to the successor, which goes on with it. It is no process of this server from now on.
    HandOn(WorkerId),
    /// The successor has the service from now on.
    HandedOver,
    /// The successor exited before it served; this server keeps serving.
    NotUpgraded,
    /// The successor exited after it had taken over; this server serves again.
    TookBack,
    /// The processes of this slot are in a crash loop; the next attempt is made after this wait.
    CrashLoop(SlotId, Duration),
    /// A worker has accepted what waited, or none accepts any more: have the kernel take no new connections, unless the sockets are another server's, too. What
    /// waits can still be accepted.
    RefuseConnections,
    /// Tell the worker to accept what waits, for the last time.
    AcceptLast(WorkerId),
    /// Nothing waits any more: end the listening sockets, unless they are another server's, too.
    EndListening,
    /// No process is left: exit with this status.
    Exit(ExitStatus),
}
