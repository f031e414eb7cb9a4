//! Commands that only tell: the status, and where threads are.

use super::{
    target::Target,
    waiting::{Awaited, Outcome, noun},
};
use crate::{launch::numbers, observer, run::Master};
use hostler_status::{Facts, Usage, companions, read, status};
use hostler_sys::proc;
use hostler_wire::{SlotId, ToWorker, WorkerId, control::Refusal};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long workers may take to tell where their threads are.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a process uses, as far as the kernel can say it at once: this is the master.
fn usage(pid: i32) -> Usage {
    Usage { memory_bytes: proc::resident_bytes(pid), cpu_seconds: proc::cpu_seconds(pid) }
}

impl Master {
    pub(super) fn tell_status(&self, only_workers: bool) -> Outcome {
        let options = &self.plan.spec.settings.options;
        let listeners = self.resources.listeners.iter();
        let facts = Facts {
            version: env!("CARGO_PKG_VERSION").into(),
            listeners: listeners.map(|it| observer::shown(&it.info, it.tls)).collect(),
            ready_workers: u32::from(options.metrics.ready_workers),
            task_queue: self.plan.spec.task_queue.as_ref().map(|file| file.display().to_string()),
        };
        let seen = read(&self.resources.board.scoreboard());
        let mut now = status(&seen, &facts, usage);
        now.companions = companions(&seen, &self.companion_views(), |root| Usage::of_tree(root, usage));
        let message = format!(
            "{}: {} of {} workers serve, {} requests in flight",
            now.server.state, now.server.workers_serving, now.server.workers_wanted, now.traffic.in_flight
        );
        let mut result = serde_json::to_value(&now)
            .map_err(|error| Refusal::failed("the status cannot be told").because(error.to_string()))?;
        if only_workers {
            let mut part = |key: &str| result[key].take();
            let (workers, task_workers) = (part("workers"), part("task_workers"));
            result =
                json!({"workers": workers, "task_workers": task_workers, "companions": part("companions")});
        }
        self.add_commands(&mut result["companions"]);
        Ok((message, result))
    }

    /// What companions run as: `hostler ctl` tells it, which asks as the server's user, and the observer does not.
    fn add_commands(&self, companions: &mut Value) {
        for companion in companions.as_array_mut().into_iter().flatten() {
            let its = self.plan.spec.companions.iter().find(|its| companion["name"] == its.companion.name);
            companion["command"] = its.map(|its| its.companion.command_line()).into();
        }
    }

    /// Asks workers where their threads are: by a message, and on their pages, where they look while their loops are blocked.
    pub(super) fn ask_for_all_stacks(
        &mut self,
        number: Option<u16>,
        name: Option<&str>,
    ) -> Result<Awaited, Refusal> {
        let one = match self.target(number, name)? {
            Target::Workers => None,
            Target::Worker(slot) => Some(slot),
            Target::Companion { name, .. } => {
                let refusal = Refusal::invalid(format!("`{name}` is a companion"));
                return Err(refusal.because("hostler knows only where the threads of its workers are"));
            }
        };

        self.control.asked = self.control.asked.wrapping_add(1).max(1);
        let asked = self.control.asked;
        let has_python = self.plan.spec.settings.options.app.target.is_some();
        let mut found: BTreeMap<WorkerId, Value> = BTreeMap::new();
        for (id, worker) in self.fleet.all() {
            let (slot, task_worker) = numbers(worker.assignment.slot);
            let is_meant = one.is_none_or(|one| one == worker.assignment.slot);
            let (Some(pid), true) = (worker.pid, is_meant) else {
                continue;
            };
            found.insert(
                id,
                json!({
                    "worker": slot, "task_worker": task_worker, "pid": pid, "generation": worker.assignment.generation.0,
                    "serves": self.arbiter.serves(id), "threads": proc::threads(pid), "python": null,
                }),
            );
            if has_python {
                self.fleet.page(&worker.assignment).ask_for_stacks(asked);
                self.fleet.tell(id, &ToWorker::TellStacks);
            }
        }
        match one {
            Some(SlotId { group, index }) if found.is_empty() => {
                Err(Refusal::busy(format!("{} {index} has no process now", noun(group))))
            }
            _ => {
                let open = if has_python { found.keys().copied().collect() } else { Vec::new() };
                Ok(Awaited::Stacks { asked, open, found, until: Instant::now() + PATIENCE })
            }
        }
    }
}
