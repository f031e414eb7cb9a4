//! Tasks that neither end nor let anything else run after their timeout: C code that keeps the GIL. The loop, which ends other tasks in
//! time, cannot run then; the attendant can, and ends the process. The keeper counts the task as one that took too long.

use super::observe;
use hostler_sys::{attendant, board, clock, process};
use hostler_wire::{ExitStatus, Page};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tracing::error;

/// How often to look while the loop is blocked.
const LOOK: Duration = Duration::from_millis(500);
/// The loop has this much more time to end what it can.
const MARGIN: Duration = Duration::from_secs(1);

/// The tasks that have a limit, by their entries on the page: until when the worker waits, and their names.
static LIMITS: Mutex<BTreeMap<usize, (u64, String)>> = Mutex::new(BTreeMap::new());

fn limits() -> MutexGuard<'static, BTreeMap<usize, (u64, String)>> {
    LIMITS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks after tasks from now on.
pub(super) fn watch() {
    attendant::add(LOOK, |_| {
        let now = clock::now();
        let overdue = limits().values().find(|(until, _)| now > *until).map(|(_, name)| name.clone());
        if let Some(task) = overdue {
            let (pid, stacks) = (std::process::id(), observe::stacks_of_all());
            // The stacks last: they are many lines.
            let task_worker = board::own().map(Page::slot_index);
            error!(
                task, task_worker, pid, %stacks,
                "a task did not end after its timeout and lets nothing else run: its worker is killed"
            );
            process::exit_now(ExitStatus::Failed.code());
        }
    });
}

/// A task begins, and its worker waits so many seconds for it.
pub(super) fn began(entry: usize, name: &str, now: u64, seconds: f64) {
    let limit = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).saturating_add(MARGIN);
    let until = now.saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
    limits().insert(entry, (until, name.to_owned()));
}

/// It has ended.
pub(super) fn ended(entry: Option<usize>) {
    if let Some(entry) = entry {
        limits().remove(&entry);
    }
}
