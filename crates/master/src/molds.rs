//! The molds: one process for each generation that may still need workers.

use crate::{GenerationSpec, Spawner, mold::Mold, resources::Resources};
use hostler_settings::Log;
use hostler_sys::process;
use hostler_wire::{Generation, Role};
use nix::libc::SIGKILL;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tracing::{debug, warn};

/// How long to wait before a lost mold is replaced, and how long one may take to exit at the end.
pub(crate) const MOLD_PAUSE: Duration = Duration::from_secs(1);

/// A generation: what it is made of, and its mold.
pub(crate) struct GenerationEntry {
    pub(crate) spec: GenerationSpec,
    pub(crate) mold: MoldState,
    /// Whether it was told that `--request-timeout` cannot end its requests.
    unlimited_told: bool,
}

/// Where a generation stands with its mold.
pub(crate) enum MoldState {
    /// It needs none: the service is native, or nothing is to be forked for now.
    None,
    /// One is to be started at this time.
    Due(Instant),
    /// It runs.
    Running(Mold),
}

impl GenerationEntry {
    /// Logs once that a worker with so many threads for application calls cannot end them for `--request-timeout`:
    /// with one, the call blocks the thread that would respond.
    pub(crate) fn tell_unlimited(&mut self, threads: Option<usize>) {
        let limit = self.spec.settings.options.http.request_timeout;
        if threads != Some(1) || limit.is_none() || std::mem::replace(&mut self.unlimited_told, true) {
            return;
        }
        warn!(
            "--request-timeout does not end WSGI requests with one blocking thread: use --blocking-threads 2 or more"
        );
    }

    /// Whether workers are made by a mold.
    pub(crate) fn needs_mold(&self) -> bool {
        matches!(self.spec.spawner, Spawner::Mold(_))
    }

    /// Its mold, if it runs.
    pub(crate) fn mold(&self) -> Option<&Mold> {
        if let MoldState::Running(mold) = &self.mold { Some(mold) } else { None }
    }

    /// As [`GenerationEntry::mold`], to change it.
    pub(crate) fn mold_mut(&mut self) -> Option<&mut Mold> {
        if let MoldState::Running(mold) = &mut self.mold { Some(mold) } else { None }
    }

    fn due(&self) -> Option<Instant> {
        if let MoldState::Due(at) = self.mold { Some(at) } else { None }
    }
}

/// All generations that may still need workers.
#[derive(Default)]
pub(crate) struct Molds {
    entries: BTreeMap<Generation, GenerationEntry>,
    /// Molds that are to exit, and when they are killed if they do not.
    leaving: Vec<(i32, Option<Instant>)>,
}

/// How the start of a mold went: its process id, or what failed.
pub(crate) type Started = Result<i32, String>;

impl Molds {
    /// Adds a generation; its mold, if it needs one, is due at once.
    pub(crate) fn add(&mut self, generation: Generation, spec: GenerationSpec) {
        let mold = match spec.spawner {
            Spawner::Mold(_) => MoldState::Due(Instant::now()),
            Spawner::Native(_) => MoldState::None,
        };
        self.entries.insert(generation, GenerationEntry { spec, mold, unlimited_told: false });
    }

    /// Adds a generation after another one, whose mold becomes its own if it is the same process: its number, and whether it can
    /// fork. Otherwise one is due.
    pub(crate) fn add_after(
        &mut self,
        before: Generation,
        generation: Generation,
        spec: GenerationSpec,
    ) -> Option<(i32, bool)> {
        let same = |entry: &&mut GenerationEntry| entry.mold().is_some() && entry.spec.has_same_mold(&spec);
        let mold = self.entries.get_mut(&before).filter(same);
        let mold = mold.map(|entry| std::mem::replace(&mut entry.mold, MoldState::None));
        self.add(generation, spec);
        let entry = self.entries.get_mut(&generation)?;
        entry.mold = mold?;
        entry.mold().map(|mold| (mold.pid, mold.ready))
    }

    pub(crate) fn get(&self, generation: Generation) -> Option<&GenerationEntry> {
        self.entries.get(&generation)
    }

    pub(crate) fn get_mut(&mut self, generation: Generation) -> Option<&mut GenerationEntry> {
        self.entries.get_mut(&generation)
    }

    pub(crate) fn generations(&self) -> impl Iterator<Item = Generation> {
        self.entries.keys().copied()
    }

    pub(crate) fn newest(&self) -> Generation {
        self.entries.keys().next_back().copied().unwrap_or(Generation(0))
    }

    /// Keeps some generations. The molds of the others see their channel close, and exit; those that do not are killed:
    /// they are stuck in the application's import, or stopped.
    pub(crate) fn keep(&mut self, keep: impl Fn(Generation) -> bool) {
        let kill_at = Instant::now() + MOLD_PAUSE;
        let gone = self.running().filter(|(generation, _)| !keep(*generation));
        let gone: Vec<_> = gone.map(|(_, mold)| (mold.pid, Some(kill_at))).collect();
        self.leaving.extend(gone);
        self.entries.retain(|generation, _| keep(*generation));
    }

    /// Has all molds exit, until they are needed again; their generations.
    pub(crate) fn stop_all(&mut self) -> Vec<Generation> {
        let kill_at = Instant::now() + MOLD_PAUSE;
        let mut stopped = Vec::new();
        for (generation, entry) in &mut self.entries {
            if let MoldState::Running(mold) = std::mem::replace(&mut entry.mold, MoldState::None) {
                self.leaving.push((mold.pid, Some(kill_at)));
                stopped.push(*generation);
            }
        }
        stopped
    }

    /// Sees to it that a generation has a mold, now or soon.
    pub(crate) fn ensure(&mut self, generation: Generation) {
        if let Some(entry) = self.entries.get_mut(&generation)
            && matches!(entry.mold, MoldState::None)
            && matches!(entry.spec.spawner, Spawner::Mold(_))
        {
            entry.mold = MoldState::Due(Instant::now());
        }
    }

    /// Kills those that were to exit and did not.
    pub(crate) fn kill_overdue(&mut self) {
        let now = Instant::now();
        for (pid, kill_at) in &mut self.leaving {
            if kill_at.is_some_and(|at| now >= at) {
                *kill_at = None;
                debug!(pid, "a mold that is no longer needed does not exit: it is killed");
                let _ = process::signal(*pid, SIGKILL);
            }
        }
    }

    /// A mold was reaped; whether its generation has lost it, and not given it up before.
    pub(crate) fn reaped(&mut self, generation: Generation, pid: i32) -> bool {
        self.leaving.retain(|(leaving, _)| *leaving != pid);
        let mold = self.entries.get(&generation).and_then(GenerationEntry::mold);
        mold.is_some_and(|mold| mold.pid == pid)
    }

    /// What the generations are made of.
    pub(crate) fn specs(&self) -> impl Iterator<Item = &GenerationSpec> {
        self.entries.values().map(|entry| &entry.spec)
    }

    /// The processes of all molds.
    pub(crate) fn pids(&self) -> impl Iterator<Item = i32> {
        self.running().map(|(_, mold)| mold.pid).chain(self.leaving.iter().map(|(pid, _)| *pid))
    }

    /// The mold of a generation is lost; `again`: another one is started after a pause.
    pub(crate) fn lost(&mut self, generation: Generation, again: bool) {
        if let Some(entry) = self.entries.get_mut(&generation) {
            entry.mold = if again { MoldState::Due(Instant::now() + MOLD_PAUSE) } else { MoldState::None };
        }
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = (Generation, &Mold)> {
        self.entries.iter().filter_map(|(generation, entry)| Some((*generation, entry.mold()?)))
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.entries.values().filter_map(GenerationEntry::due).min()
    }

    /// When the next one that is to exit is killed.
    pub(crate) fn next_kill(&self) -> Option<Instant> {
        self.leaving.iter().filter_map(|(_, kill_at)| *kill_at).min()
    }

    /// Starts the molds that are due, which log like this; how it went with each.
    pub(crate) fn start_due(&mut self, resources: &Resources, log: &Log) -> Vec<(Generation, Started)> {
        let now = Instant::now();
        let mut started = Vec::new();
        for (generation, entry) in &mut self.entries {
            if entry.due().is_none_or(|due| due > now) {
                continue;
            }
            entry.mold = MoldState::None;
            let Spawner::Mold(command) = &entry.spec.spawner else { continue };
            match Mold::start(command, &entry.spec.settings, log, resources.of_role(Role::Http)) {
                Ok(mold) => {
                    started.push((*generation, Ok(mold.pid)));
                    entry.mold = MoldState::Running(mold);
                }
                Err(error) => {
                    let program = command.program.display();
                    let how = format!("the Python interpreter `{program}` could not be started: {error}");
                    started.push((*generation, Err(how)));
                }
            }
        }
        started
    }
}
