//! Companions, as operators are shown them.

use crate::{Seen, Usage, read::seconds};
use hostler_wire::CompanionView;
use serde::Serialize;

/// A companion.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Companion {
    /// Its name.
    pub name: String,
    /// Which of its replicas, from 1.
    pub replica: u16,
    /// `waiting`, `starting`, `ready`, `stopping`, `backing-off`, `finished`, `failed` or `stopped`.
    pub state: &'static str,
    /// Its process; `null` if it has none.
    pub pid: Option<i32>,
    /// The generation whose settings it runs with; `null` if it does not run.
    pub generation: Option<u32>,
    /// For how long it has run; `null` if it does not.
    pub age_seconds: Option<f64>,
    /// How often it was started again.
    pub restarts: u64,
    /// How often it ended, or could not be started, without having been told to.
    pub crashes: u64,
    /// How often it failed in a row, which decides the wait before the next attempt.
    pub failures: u32,
    /// When the next attempt is made; `null` if none is due.
    pub next_attempt_seconds: Option<f64>,
    /// How it ended last; `null` if it never did.
    pub last_exit: Option<LastExit>,
    /// What was found when it was asked whether it is ready; `null` if it is.
    pub not_ready_because: Option<String>,
    /// What it uses, with all processes that it has started.
    #[serde(flatten)]
    pub usage: Usage,
}

/// How a companion ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastExit {
    /// In words.
    pub status: String,
    /// When.
    pub seconds_ago: f64,
    /// For how long it had run; `null` if it could not be started, or if that is not known.
    pub lived_seconds: Option<f64>,
}

/// What is shown of them. `measure` says what the processes use that this one has started.
#[must_use]
pub fn companions(
    seen: &Seen,
    views: &[CompanionView],
    mut measure: impl FnMut(i32) -> Usage,
) -> Vec<Companion> {
    let since = |at: u64| seconds(seen.now.saturating_sub(at));
    let shown = views.iter().map(|view| Companion {
        name: view.name.clone(),
        replica: view.replica,
        state: view.state.name(),
        pid: view.pid,
        generation: view.generation,
        age_seconds: view.started_at.map(since),
        restarts: view.starts.saturating_sub(1),
        crashes: view.crashes,
        failures: view.failures,
        next_attempt_seconds: view.next_attempt_at.map(|at| seconds(at.saturating_sub(seen.now))),
        last_exit: view.last_exit.as_ref().map(|exit| LastExit {
            status: exit.status.clone(),
            seconds_ago: since(exit.at),
            lived_seconds: exit.lived_ms.map(|lived| seconds(lived.saturating_mul(1_000_000))),
        }),
        not_ready_because: view.not_ready_because.clone(),
        usage: view.watcher.map(&mut measure).unwrap_or_default(),
    });
    shown.collect()
}
