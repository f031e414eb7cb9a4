//! The observer's process, from its start to its loop.

use crate::{
    documents::Documents, export, hosts::Hosts, measure::Measured, respond::Observer, serve, tasks::Tasks,
};
use hostler_status::Facts;
use hostler_sys::{board, bundle::Bundle, channel::Channel, disposition, logging, orphan, process, title};
use hostler_wire::{
    Appearance, Descriptor, ExitStatus, OBSERVER_CHANNEL, ObserverSetup, OtlpSettings, timing,
};
use std::{io, os::fd::OwnedFd, rc::Rc};
use tokio::sync::watch;

/// Observes, in a program that was executed for this, until it is stopped; its exit status. `version` is shown.
#[must_use]
pub fn run(version: &str) -> ExitStatus {
    ended(receive().and_then(|(setup, bundle, channel)| observe(prepare(setup, bundle, channel, version)?)))
}

/// The same in a process that was forked from the master, whose id is `master_pid`. Its log goes where the
/// master's does.
#[must_use]
pub fn run_forked(
    setup: ObserverSetup,
    mut bundle: Bundle<OwnedFd>,
    master_pid: i32,
    version: &str,
) -> ExitStatus {
    disposition::for_observer();
    appear(&setup.appearance);
    let prepared = orphan::die_with(master_pid, timing::ORPHAN_LIMIT)
        .and_then(|()| bundle.take(Descriptor::Channel))
        .and_then(|channel| prepare(setup, bundle, channel.into(), version));
    ended(prepared.and_then(observe))
}

fn ended(outcome: io::Result<()>) -> ExitStatus {
    match outcome {
        Ok(()) => ExitStatus::Clean,
        Err(error) => {
            tracing::error!(%error, "the observer cannot start");
            ExitStatus::Failed
        }
    }
}

/// What observes, the addresses' sockets, and the channel that is open as long as it is to.
type Prepared = (Observer, Vec<OwnedFd>, Channel, Option<OtlpSettings>);

/// What the master has sent; from then on the process looks and logs as an observer.
fn receive() -> io::Result<(ObserverSetup, Bundle<OwnedFd>, Channel)> {
    disposition::for_observer();
    let channel = Channel::from(process::take_descriptor(OBSERVER_CHANNEL)?);
    let (setup, descriptors) = channel
        .recv::<ObserverSetup>()?
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the master sent nothing"))?;
    let bundle = Bundle::received(setup.descriptors.clone(), descriptors)?;
    let receiver = logging::open_receiver(&setup.appearance.log);
    appear(&setup.appearance);
    if let Err(error) = receiver {
        tracing::warn!(%error, "the observer logs to standard error: --log-target cannot be reached");
    }
    Ok((setup, bundle, channel))
}

fn prepare(
    setup: ObserverSetup,
    mut bundle: Bundle<OwnedFd>,
    channel: Channel,
    version: &str,
) -> io::Result<Prepared> {
    let board = board::map_scoreboard(bundle.take(Descriptor::Scoreboard)?)?;
    let facts = Facts {
        version: version.into(),
        listeners: setup.listeners,
        ready_workers: setup.ready_workers,
        task_queue: setup.task_queue.as_ref().map(|file| file.display().to_string()),
    };
    let sockets = setup.sockets.into_iter().zip(bundle.take_all(Descriptor::Listener)).collect();
    let measured = Measured::new(setup.measure_interval);
    Ok((
        Observer {
            board,
            facts,
            sockets,
            measured,
            companions: Default::default(),
            tasks: setup.task_queue.as_deref().map(Tasks::new),
            application_metrics: setup.application_metrics,
            hosts: Hosts::new(setup.hosts),
            documents: Documents::default(),
            ending: watch::Sender::default(),
        },
        bundle.take_all(Descriptor::Admin),
        channel,
        setup.otlp,
    ))
}

/// Logs and is called as the master says.
pub(crate) fn appear(Appearance { process_name, title, log }: &Appearance) {
    logging::follow(log);
    title::set(process_name.as_deref(), title::Role::Observer, title);
}

fn observe((observer, sockets, channel, otlp): Prepared) -> io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
    let observer = Rc::new(observer);
    runtime.block_on(async move {
        if let Some(settings) = otlp {
            tokio::task::spawn_local(export::run(Rc::clone(&observer), settings));
        }
        serve::all(observer, sockets, channel).await
    })
}
