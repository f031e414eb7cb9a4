//! The observer: a process with the scoreboard for reading and the listening sockets. It is this program again, or, of a native
//! service, whose program is its own, a fork of the master.

use crate::{GenerationSpec, children::Child, programs::Running, run::Master};
use hostler_arbiter::{Event, Group, Policy};
use hostler_settings::HostPattern;
use hostler_sys::{bundle::Bundle, channel::Channel, process::WaitStatus};
use hostler_wire::{
    Descriptor, Generation, GroupId, ListenerInfo, OBSERVER_ARGUMENT, OBSERVER_CHANNEL, ObserverSetup,
    OtlpSettings, Role, WorkerId,
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    rc::Rc,
    time::Duration,
};
use tracing::{debug, error, warn};

/// Its name in the log.
pub(crate) const NAME: &str = "observer";
/// How long it may take to exit when it is told to. It has nothing to finish.
const EXIT_LIMIT: Duration = Duration::from_millis(500);

/// The process that shows operators what the server does.
#[derive(Clone)]
pub struct Observer {
    /// How it is made.
    pub program: ObserverProgram,
    /// How many workers have to serve for the server to be ready.
    pub ready_workers: u32,
    /// By which names browsers may ask it.
    pub hosts: Vec<HostPattern>,
    /// How old measurements of processes may be.
    pub measure_interval: Duration,
    /// Where metrics are exported to, if they are.
    pub otlp: Option<OtlpSettings>,
}

/// How an observer is made.
#[derive(Clone)]
pub enum ObserverProgram {
    /// By executing this program again.
    Own,
    /// By forking the master; the child runs this and exits with the code it returns.
    Forked(Rc<dyn Fn(ObserverContext) -> u8>),
}

/// What a freshly forked observer is given.
pub struct ObserverContext {
    /// What it is told.
    pub setup: ObserverSetup,
    /// Its channel, the scoreboard, its sockets and the workers'.
    pub descriptors: Bundle<OwnedFd>,
    /// The process at whose death it exits.
    pub master_pid: i32,
}

impl Observer {
    pub(crate) fn group(&self) -> Group {
        Group::program(GroupId::OBSERVER, Policy::unlimited(1, EXIT_LIMIT))
    }
}

/// An address as a client would write it.
pub(crate) fn shown(info: &ListenerInfo, tls: bool) -> String {
    match info {
        ListenerInfo::Tcp(address) if tls => format!("https://{address}"),
        ListenerInfo::Tcp(address) => format!("http://{address}"),
        ListenerInfo::Unix(_) => info.to_string(),
    }
}

/// A worker of this process has ended: its gauges that count only while it runs go, as prometheus_client's `mark_process_dead` does it.
pub(crate) fn forget_live_gauges(directory: &Path, pid: i32) {
    let own = format!("_{pid}.db");
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_its = name.to_str().is_some_and(|name| name.starts_with("gauge_live") && name.ends_with(&own));
        if is_its && let Err(error) = std::fs::remove_file(entry.path()) {
            debug!(path = %entry.path().display(), %error, "cannot remove gauges of a worker that is gone");
        }
    }
}

/// Logs its end.
pub(crate) fn tell_exit(pid: i32, status: WaitStatus, told: bool) {
    match told {
        true => debug!(pid, %status, "observer exited"),
        false => warn!(pid, %status, "observer exited: it is started again"),
    }
}

impl Master {
    pub(crate) fn start_observer(&mut self, id: WorkerId, generation: Generation) -> Event {
        let Some(spec) = self.molds.get(generation).map(|entry| entry.spec.clone()) else {
            return Event::SpawnFailed(id);
        };
        let Some(observer) = &spec.observer else { return Event::SpawnFailed(id) };
        let made = match &observer.program {
            ObserverProgram::Own => self.execute_observer(observer, &spec),
            ObserverProgram::Forked(main) => self.fork_observer(observer, &spec, Rc::clone(main)),
        };
        match made {
            Ok((pid, channel)) => {
                debug!(pid, "observer started");
                self.children.add(pid, Child::Program(id));
                self.programs.insert(id, Running { name: NAME, pid, channel: Some(channel), speaks: false });
                Event::Spawned(id)
            }
            Err(error) => {
                error!(%error, "cannot start the observer: metrics, probes and status are not served");
                Event::SpawnFailed(id)
            }
        }
    }

    /// What it is told.
    fn observer_setup(
        &self,
        observer: &Observer,
        spec: &GenerationSpec,
        bundle: &Bundle<BorrowedFd<'_>>,
    ) -> ObserverSetup {
        let addresses = || self.resources.listeners.iter().enumerate();
        ObserverSetup {
            descriptors: bundle.names(),
            appearance: self.appearance(),
            listeners: addresses().map(|(_, it)| shown(&it.info, it.tls)).collect(),
            sockets: addresses().flat_map(|(index, it)| it.sockets.iter().map(move |_| index)).collect(),
            ready_workers: observer.ready_workers,
            hosts: observer.hosts.clone(),
            measure_interval: observer.measure_interval,
            application_metrics: spec.application_metrics.clone(),
            otlp: observer.otlp.clone(),
            task_queue: spec.task_queue.clone(),
        }
    }

    /// Its process id, and the channel that is open as long as it is to run.
    fn execute_observer(&self, observer: &Observer, spec: &GenerationSpec) -> io::Result<(i32, Channel)> {
        let (ours, theirs) = Channel::pair()?;
        let bundle = self.resources.of_role(Role::Observer);
        // Before there is a process: what waits in the channel is not lost.
        ours.send(&self.observer_setup(observer, spec, &bundle), &bundle.descriptors())?;
        // One that does not read later holds nothing up.
        ours.set_nonblocking(true)?;
        let pid =
            self.execute_again(&spec.settings.identity, (OBSERVER_ARGUMENT, OBSERVER_CHANNEL), theirs)?;
        Ok((pid, ours))
    }

    /// The same of a fork of this process.
    fn fork_observer(
        &mut self,
        observer: &Observer,
        spec: &GenerationSpec,
        main: Rc<dyn Fn(ObserverContext) -> u8>,
    ) -> io::Result<(i32, Channel)> {
        let (ours, theirs) = Channel::pair()?;
        ours.set_nonblocking(true)?;
        let bundle = self.resources.of_role(Role::Observer).with(Descriptor::Channel, theirs.as_fd());
        let context = ObserverContext {
            setup: self.observer_setup(observer, spec, &bundle),
            descriptors: bundle.to_owned()?,
            master_pid: std::process::id().cast_signed(),
        };
        self.fork((ours, theirs), || main(context))
    }
}
