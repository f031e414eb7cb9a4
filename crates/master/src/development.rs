//! `--reload`: what follows when files change, or when the application cannot be loaded.
//!
//! A reload (SIGHUP) is for service: what ran goes on until the new code is proven. Here what ran is out of date: it goes at once,
//! clients wait for what comes, and if that fails they are told why.

use crate::{GenerationSpec, changes::Changes, children::Child, run::Master};
use hostler_arbiter::{Event, Group};
use hostler_wire::{Failure, Generation, GroupId};
use std::collections::VecDeque;
use tracing::{error, info};

impl Master {
    /// Whether a developer is at work, who wants to see what is wrong.
    pub(crate) fn is_developing(&self) -> bool {
        self.plan.spec.settings.is_development()
    }

    /// Reloads if files have changed.
    pub(crate) fn follow_changes(&mut self, events: &mut VecDeque<Event>) {
        let Some(changed) = self.changes.as_mut().and_then(Changes::take) else { return };
        if self.arbiter.is_stopping() {
            return;
        }
        info!(changed, "files changed: reloading");
        // Why there is none it tells itself.
        let _ = self.reload("files changed", events);
    }

    /// Begins a generation that takes over at once. If nothing but code has changed, the mold serves on: it has not loaded any.
    pub(crate) fn restart(
        &mut self,
        generation: Generation,
        spec: GenerationSpec,
        groups: Vec<Group>,
        events: &mut VecDeque<Event>,
    ) {
        let taken_over = self.molds.add_after(self.arbiter.generation(), generation, spec);
        events.push_back(Event::Restart(generation, groups));
        if let Some((pid, ready)) = taken_over {
            self.children.add(pid, Child::Mold(generation));
            events.push_back(if ready { Event::CanSpawn(generation) } else { Event::Preparing(generation) });
        }
    }

    /// Has workers serve why the application could not be loaded; whether they will.
    pub(crate) fn serve_failure(&mut self, failure: &Failure, events: &mut VecDeque<Event>) -> bool {
        let current = self.molds.get(self.arbiter.generation()).map(|entry| entry.spec.clone());
        let current = current.unwrap_or_else(|| self.plan.spec.clone());
        if !self.is_developing() || self.arbiter.is_stopping() || current.settings.failure.is_some() {
            return false;
        }
        let generation = self.next_generation();
        self.tell_failure(generation, failure);
        let mut spec = current;
        spec.settings.failure = Some(failure.clone());
        let groups = self.groups_of(&spec);
        self.restart(generation, spec, groups, events);
        true
    }

    /// Tells once for each generation why the application cannot be served.
    pub(crate) fn tell_failure(&mut self, generation: Generation, failure: &Failure) {
        if self.failure_told.replace(generation) != Some(generation) {
            error!("{}\n(this is served until files change)", failure.text());
        }
    }

    /// Undoes what a worker that was killed at a prompt has done to the terminal.
    pub(crate) fn restore_terminal(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.restore();
        }
    }

    /// The number of the next generation.
    pub(crate) fn next_generation(&mut self) -> Generation {
        let generation = Generation(self.molds.newest().0.max(self.last_generation.0) + 1);
        self.last_generation = generation;
        generation
    }

    /// How the processes of a new generation are supervised.
    pub(crate) fn groups_of(&self, spec: &GenerationSpec) -> Vec<Group> {
        let mut groups = spec.groups(&self.companions.names, Some(&self.plan.spec));
        for group in groups.iter_mut().filter(|group| matches!(group.id, GroupId::HTTP | GroupId::TASKS)) {
            group.policy.workers = self.workers_after(group.id, spec.bounds(group.id));
        }
        groups
    }
}
