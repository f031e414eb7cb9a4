//! The process that watches one companion: it starts it, takes its output to the log, sees when it is ready, stops it, and leaves
//! nothing of it behind.
//!
//! The master supervises these processes as it does workers, and knows when to start and to stop them. What would cost it
//! time is here: reading what programs print, asking whether they answer, looking for what they have forked. All that a companion starts
//! stays a descendant of this process (it is a subreaper), which ends when the last of them has ended. If the master dies, its channel is
//! closed, and the companion is stopped as if the master had said so.
//!
//! Files: `watch` the loop, `start` from settings to a process, `ready` whether it is ready, `notify` its word that it is,
//! `lines` bytes as lines, `output` its pipes.

#![forbid(unsafe_code)]

mod lines;
mod notify;
mod output;
mod ready;
mod start;
mod watch;

use hostler_sys::{bundle::Bundle, channel::Channel, disposition, logging, process};
use hostler_wire::{COMPANION_CHANNEL, CompanionSetup, ExitStatus};
use std::{io, os::fd::OwnedFd};

/// Watches a companion, in a program that was executed for this; its exit status.
#[must_use]
pub fn run() -> ExitStatus {
    disposition::for_observer();
    ended(receive())
}

/// The same in a process that was forked from the master, and has the other end of this channel.
#[must_use]
pub fn run_forked(channel: OwnedFd) -> ExitStatus {
    disposition::for_observer();
    let channel = Channel::from(channel);
    ended(first_message(channel))
}

/// Watches the companion to its end.
fn ended(received: io::Result<Received>) -> ExitStatus {
    let companion = received.as_ref().ok().map(|(setup, ..)| setup.spec.companion.name.clone());
    match received.and_then(|(setup, bundle, channel)| watch::watch(setup, bundle, channel)) {
        Ok(()) => ExitStatus::Clean,
        Err(error) => {
            tracing::error!(companion, %error, "the process that watches a companion failed");
            ExitStatus::Failed
        }
    }
}

type Received = (CompanionSetup, Bundle<OwnedFd>, Channel);

fn receive() -> io::Result<Received> {
    let (setup, bundle, channel) =
        first_message(Channel::from(process::take_descriptor(COMPANION_CHANNEL)?))?;
    if let Err(error) = logging::open_receiver(&setup.appearance.log) {
        tracing::warn!(%error, "a companion logs to standard error: --log-target cannot be reached");
    }
    Ok((setup, bundle, channel))
}

fn first_message(channel: Channel) -> io::Result<Received> {
    let received = channel.recv::<CompanionSetup>()?;
    let (setup, descriptors) =
        received.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the master sent nothing"))?;
    let bundle = Bundle::received(setup.descriptors.clone(), descriptors)?;
    Ok((setup, bundle, channel))
}
