//! The master's loop: everything that happens to the fleet passes through here, one event at a time.
//!
//! A turn is: wait for a signal, a message or a deadline; make it an [`hostler_arbiter::Event`]; perform the
//! actions that come back. `arbiter` decides, and is tested without processes; this crate acts, and has no rules about
//! workers.
//!
//! Files: `run` the loop, `receive` what comes in, `perform` what goes out, `signals`, `molds` one for each
//! generation, `fleet` the workers' processes, `watch` the scoreboard, `milestones` what the log says of a start and a stop as a whole,
//! `stacks` what a stuck worker wrote, `upgrade`
//! the server that takes over from this one, `control` commands of users, `changes` files that `--reload` watches, `development` what
//! follows from them, `reread` reading the configuration again, `certificates` those of TLS, `predecessor` the one that this one takes over from, `notify` systemd,
//! `scaling` numbers of workers that follow their load, `show` what the scoreboard says of the server, `appearance` how processes log and what they are called, `observer` and `admin` the
//! process that shows the scoreboard to operators and its addresses.
//!
//! Invariants
//! - One thread, no tokio, no Python: so that `fork` is sound and application code cannot hurt it.
//! - Nothing blocks except the wait at the top of the loop.
//! - A worker is forgotten when `waitpid` returned it, never because it was sent a signal.
//! - Listening sockets stay open here, so no accept queue dies with a worker; a stop ends them when all have accepted.
//!
//! Not here: accepting connections. If the master dies, workers see their channel close and drain.

#![deny(unsafe_code)]

mod admin;
mod again;
mod announce;
mod appearance;
mod certificates;
mod changes;
mod children;
mod companions;
mod control;
mod development;
mod fleet;
mod jitter;
mod keeper;
mod launch;
mod milestones;
mod mold;
mod molds;
mod native;
mod notify;
mod observer;
mod perform;
mod predecessor;
mod programs;
mod receive;
pub mod report;
mod reread;
mod resources;
mod run;
mod scaling;
mod show;
mod signals;
mod stacks;
mod upgrade;
mod watch;

pub use admin::{AdminError, AdminSocket, OPEN_TO_ALL};
pub use certificates::TlsSource;
pub use companions::{CompanionSocket, ForkedWatcher};
pub use control::{Control, ControlPlace};
pub use mold::MoldCommand;
pub use native::NativeWorkerContext;
pub use observer::{Observer, ObserverContext, ObserverProgram};
pub use predecessor::Predecessor;
pub use reread::{Found, Reread};
pub use upgrade::{CommandLine, VARIABLE as UPGRADE_VARIABLE};

use companions::Names;
use hostler_arbiter::{Bounds, Group, Launch, Policy};
use hostler_settings::{Supervision, WorkerCount};
use hostler_sys::own_file::OwnFile;
use hostler_wire::{
    CompanionSpec, ExitStatus, GroupId, ListenerInfo, ListenerSettings, WorkerSettings, control::ConfigEntry,
};
use std::{os::fd::OwnedFd, path::PathBuf, rc::Rc};
use tracing::debug;

/// What the master is to keep alive.
pub struct Plan {
    /// The listening sockets.
    pub listeners: Vec<Listening>,
    /// Those of the observer; it has none if there are none.
    pub admin: Vec<Listening>,
    /// What the first generation is.
    pub spec: GenerationSpec,
    /// Reads the configuration again, for the next generation; `None` if there is nothing to read.
    pub reread: Option<Reread>,
    /// Unix sockets that this server made, to be removed at its end.
    pub owned_files: Vec<OwnFile>,
    /// Where log lines are appended to, if not to standard error; opened again on SIGUSR1.
    pub log_file: Option<PathBuf>,
    /// Where the access log goes, if there is one; opened again on SIGUSR1 if it is a file.
    pub access_log: Option<PathBuf>,
    /// Where the process id stands while the server serves.
    pub pid_file: Option<PathBuf>,
    /// How to start another server like this one, for an upgrade.
    pub command_line: Option<CommandLine>,
    /// The server that this one is to replace.
    pub predecessor: Option<Predecessor>,
    /// Where commands are taken.
    pub control: Control,
}

/// A listening socket.
pub struct Listening {
    /// The address as the user wrote it; a successor finds its sockets by it.
    pub spec: String,
    /// Where it listens.
    pub info: ListenerInfo,
    /// The socket, or one for each slot.
    pub sockets: Vec<OwnedFd>,
    /// Whether its connections begin with a TLS handshake.
    pub tls: bool,
}

/// What the addresses of sockets begin with that a service manager passed to the server.
const PASSED: &str = "fd://";

impl Listening {
    /// Whether a service manager passed it to the server, and keeps it when that stops.
    pub(crate) fn is_passed(&self) -> bool {
        self.spec.starts_with(PASSED)
    }

    /// How workers are told of it.
    #[must_use]
    pub fn settings(&self) -> ListenerSettings {
        ListenerSettings { info: self.info.clone(), sockets: self.sockets.len(), tls: self.tls }
    }
}

/// What a generation is made of.
#[derive(Clone)]
pub struct GenerationSpec {
    /// What each worker is told.
    pub settings: WorkerSettings,
    /// How workers are made.
    pub spawner: Spawner,
    /// How many workers there are: numbers, whatever `--workers` says.
    pub workers: Bounds,
    /// How many task workers.
    pub task_workers: Bounds,
    /// Programs that run beside the workers.
    pub companions: Vec<CompanionSpec>,
    /// Sockets that they are handed.
    pub companion_sockets: Vec<Rc<CompanionSocket>>,
    /// How the processes that watch them are made: by forking the master; `None`: by executing this program again.
    pub companion_watcher: Option<ForkedWatcher>,
    /// Certificates and keys; `None` without TLS.
    pub tls: Option<TlsSource>,
    /// The process that shows operators what the server does, if there is one.
    pub observer: Option<Observer>,
    /// The options and where they were set; none of a native service.
    pub listing: Rc<[ConfigEntry]>,
    /// Where workers count the application's metrics with prometheus_client, if they do.
    pub application_metrics: Option<PathBuf>,
    /// The task queue's file, if there is one.
    pub task_queue: Option<PathBuf>,
}

impl GenerationSpec {
    /// A generation with these settings, and nothing beside the workers.
    #[must_use]
    pub fn new(settings: WorkerSettings, spawner: Spawner) -> Self {
        let workers = worker_bounds(settings.options.supervision.workers);
        let task_workers = worker_bounds(settings.options.tasks.workers);
        Self {
            settings,
            spawner,
            workers,
            task_workers,
            companions: Vec::new(),
            companion_sockets: Vec::new(),
            companion_watcher: None,
            tls: None,
            observer: None,
            listing: Rc::from([]),
            application_metrics: None,
            task_queue: None,
        }
    }

    /// Deadlines, and when workers are recycled.
    #[must_use]
    pub fn limits(&self) -> &Supervision {
        &self.settings.options.supervision
    }

    /// How many processes a group of workers may have.
    pub(crate) fn bounds(&self, group: GroupId) -> Bounds {
        match group {
            GroupId::TASKS if matches!(self.spawner, Spawner::Mold(_)) => self.task_workers,
            GroupId::HTTP => self.workers,
            _ => Bounds::fixed(0),
        }
    }

    /// Whether the mold of this generation can fork workers of the other: it is the same program with the same settings, and has
    /// loaded no application.
    pub(crate) fn has_same_mold(&self, other: &Self) -> bool {
        let (Spawner::Mold(own), Spawner::Mold(its)) = (&self.spawner, &other.spawner) else { return false };
        own == its && self.settings == other.settings && self.settings.options.app.preload.is_none()
    }

    /// How the arbiter is to supervise its processes.
    pub(crate) fn groups(&self, names: &Names, before: Option<&Self>) -> Vec<Group> {
        let launch = match self.spawner {
            Spawner::Mold(_) => Launch::Mold,
            Spawner::Native(_) => Launch::Direct,
        };
        let companions = names.groups(self, before);
        let after = names.before_workers(self);
        let observer = self.observer.iter().map(Observer::group);
        let http = Group { after, ..Group::http(launch, Policy::of(self.workers.least, self.limits())) };
        let keeper = self.task_queue.iter().map(|_| keeper::group());
        let task_workers = self.bounds(GroupId::TASKS);
        let tasks = (task_workers.most > 0).then(|| Group {
            after,
            ..Group::tasks(Policy::of_tasks(task_workers.least, task_workers.most, self.limits()))
        });
        [http].into_iter().chain(tasks).chain(companions).chain(keeper).chain(observer).collect()
    }

    /// As [`GenerationSpec::groups`], with the seed of their jitter.
    pub(crate) fn seeded_groups(&self, seed: u64, names: &Names) -> Vec<Group> {
        let mut groups = self.groups(names, None);
        groups.iter_mut().for_each(|group| group.policy.seed = seed);
        groups
    }
}

/// How many workers `--workers` asks for.
#[must_use]
pub fn worker_bounds(wanted: WorkerCount) -> Bounds {
    match wanted {
        WorkerCount::Fixed(count) => Bounds::fixed(count),
        WorkerCount::Auto => Bounds::fixed(usable_processors()),
        WorkerCount::Range { least, most } => {
            Bounds { least, most: most.unwrap_or_else(usable_processors).max(least) }
        }
    }
}

/// How many processors this process may use.
fn usable_processors() -> u16 {
    // Honours affinity and the cgroup's quota.
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let count = u16::try_from(count).unwrap_or(1024);
    debug!(workers = count, "one worker per available processor");
    count
}

/// How workers are made.
#[derive(Clone)]
pub enum Spawner {
    /// By a mold, which has Python.
    Mold(MoldCommand),
    /// By forking the master; the child runs this and exits with the code it returns.
    Native(Rc<dyn Fn(NativeWorkerContext) -> u8>),
}

/// Keeps the workers alive until told to stop.
#[must_use]
pub fn run(plan: Plan) -> ExitStatus {
    run::run(plan)
}
