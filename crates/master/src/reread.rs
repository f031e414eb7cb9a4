//! Reading the configuration again. Its files may be programs, and interpreters are asked what they are, which can take long: a
//! process that is forked from this one does it, while this one goes on watching workers.
//!
//! What was found comes through a pipe, and counts when the process has exited. A process that does not end is killed.

use crate::{GenerationSpec, MoldCommand, children::Child, fleet::Fleet, molds::Molds, native, run::Master};
use hostler_arbiter::Event;
use hostler_sys::{
    message,
    process::{self, WaitStatus},
    signal::SignalPipe,
    title,
};
use hostler_wire::{
    CompanionSpec, ExitStatus, Failure, Generation, Reload, WorkerSettings, control::ConfigEntry,
};
use nix::libc::SIGKILL;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::VecDeque,
    io::{self, PipeReader, PipeWriter, Read as _, Write as _},
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};
use tracing::{debug, error, info};

/// How long all of it may take; each program that it executes has a shorter limit of its own.
const LIMIT: Duration = Duration::from_secs(90);

/// How the configuration is read again.
pub struct Reread {
    /// The options and where they are set. In a process of its own.
    pub listing: Box<dyn Fn() -> Result<Vec<ConfigEntry>, Failure>>,
    /// What the next generation is to be made of. In a process of its own, which logs what there is to say of it.
    pub find: Box<dyn Fn() -> Result<Found, Failure>>,
    /// What that makes, in the master.
    pub make: Box<dyn Fn(Found) -> Result<GenerationSpec, Failure>>,
}

/// What was found of the next generation.
#[derive(Debug, Serialize, Deserialize)]
pub struct Found {
    /// What each worker is told.
    pub settings: WorkerSettings,
    /// How its mold is started.
    pub mold: MoldCommand,
    /// Programs that run beside the workers.
    pub companions: Vec<CompanionSpec>,
    /// The options and where they were set.
    pub listing: Vec<ConfigEntry>,
}

/// What the configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Reload,
    /// For clients who ask what a reload would change.
    Compare,
}

/// A process that reads it.
struct Reader {
    pid: i32,
    purpose: Purpose,
    /// Where it tells what it has found, until it has.
    pipe: Option<PipeReader>,
    found: Vec<u8>,
    kill_at: Option<Instant>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Readers(Vec<Reader>);

/// How a reload began.
pub(crate) enum Begun {
    /// The configuration is read first.
    Reading,
    /// There is none to read.
    Generation(Generation),
}

impl Readers {
    /// Whether the configuration is read for a reload.
    pub(crate) fn reload(&self) -> bool {
        self.0.iter().any(|reader| reader.purpose == Purpose::Reload)
    }

    /// What to wait on for what they find.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().filter_map(|reader| reader.pipe.as_ref()).map(AsFd::as_fd)
    }

    /// Takes what they have found so far.
    pub(crate) fn receive(&mut self) {
        self.0.iter_mut().for_each(Reader::receive);
    }

    /// When the next one is killed.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().filter_map(|reader| reader.kill_at).min()
    }

    /// Kills those that take too long; `all`: all of them.
    pub(crate) fn kill_overdue(&mut self, all: bool) {
        let now = Instant::now();
        for reader in &mut self.0 {
            if reader.kill_at.is_some_and(|at| all || now >= at) {
                reader.kill_at = None;
                let _ = process::signal(reader.pid, SIGKILL);
            }
        }
    }

    /// Gives up what is read for a reload: another one reads it again.
    fn forget_reload(&mut self) {
        for reader in self.0.extract_if(.., |reader| reader.purpose == Purpose::Reload) {
            let _ = process::signal(reader.pid, SIGKILL);
        }
    }
}

impl Master {
    /// Begins a new generation: configuration and environment files are read again, and a new mold imports the application anew.
    /// Why there is none.
    pub(crate) fn reload(&mut self, signal: &str, events: &mut VecDeque<Event>) -> Result<Begun, Failure> {
        if self.arbiter.is_stopping() {
            info!(signal, "not reloaded: the server is stopping");
            return Err(Failure::new(ExitStatus::Failed, "the server is stopping"));
        }
        self.announcer.reloading();
        if self.plan.reread.is_none() {
            return Ok(Begun::Generation(self.bring_up(self.plan.spec.clone(), events)));
        }
        self.readers.forget_reload();
        match self.read_again(Purpose::Reload) {
            Ok(pid) => {
                debug!(pid, "reading the configuration again");
                Ok(Begun::Reading)
            }
            Err(error) => {
                let failure = Failure::new(ExitStatus::Failed, "the configuration could not be read again");
                let failure = failure.because(error.to_string());
                self.cannot_reload(&failure, events);
                Err(failure)
            }
        }
    }

    /// Whether a reload is under way.
    pub(crate) fn is_reloading(&self) -> bool {
        self.arbiter.is_reloading() || self.readers.reload()
    }

    /// Begins to read the configuration for a client who asks what a reload would change; the process that does.
    pub(crate) fn read_to_compare(&mut self) -> io::Result<i32> {
        self.read_again(Purpose::Compare)
    }

    fn read_again(&mut self, purpose: Purpose) -> io::Result<i32> {
        let (reader, writer) = io::pipe()?;
        message::set_nonblocking(reader.as_fd())?;
        let mut reader = Some(reader);
        let master = std::process::id().cast_signed();
        // Never the master's, not even before the child has its own: upgrades tell masters from others by it.
        let short_name = title::Borrowed::new(&hostler_sys::proc::pending_fork_name(master));
        let forked = native::fork(|| reader.take(), || self.find(purpose, writer, master));
        short_name.give_back();
        let pid = forked?;
        self.children.add(pid, Child::Reader);
        let kill_at = Some(Instant::now() + LIMIT);
        self.readers.0.push(Reader { pid, purpose, pipe: reader, found: Vec::new(), kill_at });
        Ok(pid)
    }

    /// The process that reads: its exit code.
    fn find(&mut self, purpose: Purpose, mut writer: PipeWriter, master: i32) -> u8 {
        if process::die_with(master).is_err() {
            return ExitStatus::Failed.code();
        }
        self.give_up_all();
        let name = self.plan.spec.settings.options.process.name.as_deref();
        title::set(name, title::Role::Reader, self.plan.spec.settings.title());
        let Some(reread) = &self.plan.reread else { return ExitStatus::Failed.code() };
        let text = match purpose {
            Purpose::Reload => serde_json::to_vec(&(reread.find)()),
            Purpose::Compare => serde_json::to_vec(&(reread.listing)()),
        };
        match text.map(|text| writer.write_all(&text)) {
            Ok(Ok(())) => ExitStatus::Clean.code(),
            Ok(Err(_)) | Err(_) => ExitStatus::Failed.code(),
        }
    }

    /// Closes what must close with the master, in a process that was forked from it.
    fn give_up_all(&mut self) {
        let none = Fleet::new(self.resources.board.pages(), self.resources.board.master());
        self.fleet = none;
        self.molds = Molds::default();
        self.readers = Readers::default();
        self.programs.clear();
        drop(self.companions.give_up());
        self.plan.predecessor = None;
        self.plan.owned_files.clear();
        self.upgrade = Default::default();
        self.resources.close();
        drop(self.control.close());
        drop(self.certificates.give_up());
        if let Ok(silent) = SignalPipe::new(&[]) {
            self.signals = silent;
        }
    }

    /// A process that has read the configuration has ended.
    pub(crate) fn reader_ended(&mut self, pid: i32, status: WaitStatus, events: &mut VecDeque<Event>) {
        // Otherwise it was given up.
        let Some(index) = self.readers.0.iter().position(|reader| reader.pid == pid) else { return };
        let reader = self.readers.0.swap_remove(index);
        match reader.purpose {
            Purpose::Reload => {
                let begun = self.found(reader.read(status), events);
                self.reload_read(&begun);
            }
            Purpose::Compare => self.tell_changes(pid, reader.read(status)),
        }
    }

    /// What was found of the next generation begins, or fails.
    fn found(
        &mut self,
        found: Result<Found, Failure>,
        events: &mut VecDeque<Event>,
    ) -> Result<Generation, Failure> {
        if self.arbiter.is_stopping() {
            info!("not reloaded: the server is stopping");
            return Err(Failure::new(ExitStatus::Failed, "the server is stopping"));
        }
        let spec = match (found, &self.plan.reread) {
            (Ok(found), Some(reread)) => (reread.make)(found),
            (Ok(_), None) => Ok(self.plan.spec.clone()),
            (Err(failure), _) => Err(failure),
        };
        match spec {
            Ok(spec) => Ok(self.bring_up(spec, events)),
            Err(failure) => {
                self.cannot_reload(&failure, events);
                Err(failure)
            }
        }
    }

    fn cannot_reload(&mut self, failure: &Failure, events: &mut VecDeque<Event>) {
        if self.serve_failure(failure, events) {
            return;
        }
        let (cause, hint) = (failure.cause.as_deref(), failure.hint.as_deref());
        error!(cause, hint, "not reloaded: {}; the running workers keep serving", failure.message);
        self.show_reload(Reload::Failed, self.last_generation);
        if !self.arbiter.is_reloading() {
            self.announcer.reload_ended(&self.arbiter);
        }
    }

    /// Begins a generation.
    fn bring_up(&mut self, spec: GenerationSpec, events: &mut VecDeque<Event>) -> Generation {
        let generation = self.next_generation();
        info!(generation = generation.0, "reloading");
        self.show_reload(Reload::Running, generation);
        self.own_files_of(&spec);
        let arbiter = &self.arbiter;
        self.companions.names.know(&spec.companions, |group| arbiter.has(group));
        let groups = self.groups_of(&spec);
        if self.is_developing() {
            self.restart(generation, spec, groups, events);
            return generation;
        }
        self.milestones.reload_begins();
        self.molds.add(generation, spec);
        events.push_back(Event::Reload(generation, groups));
        generation
    }
}

impl Reader {
    fn receive(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read_to_end(&mut self.found) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => self.pipe = None,
        }
    }

    /// What it has found.
    fn read<T: DeserializeOwned>(mut self, status: WaitStatus) -> Result<T, Failure> {
        self.receive();
        serde_json::from_slice(&self.found).unwrap_or_else(|_| {
            let failure = Failure::new(ExitStatus::Failed, "the configuration could not be read again");
            Err(match self.kill_at {
                None => failure
                    .because(format!("it took longer than {} s", LIMIT.as_secs()))
                    .hint("does a file of settings, or a Python, wait for something?"),
                Some(_) => failure.because(format!("the process that read it {}", how(status))),
            })
        })
    }
}

fn how(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_) => status.to_string(),
        WaitStatus::Signaled { .. } => format!("was {status}"),
    }
}
