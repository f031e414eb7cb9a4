//! What log lines say of a request in flight, in parts: the same in its worker, and in the master when the worker is gone.

use crate::random::mix;
use hostler_wire::{InFlight, Page, Role};

/// The digits of an id that is made.
pub const ID_DIGITS: usize = 32;

/// A request in flight, in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The client's address; empty if it has none.
    pub client: String,
    /// The id.
    pub request_id: String,
}

impl Facts {
    /// Of a request that this page shows.
    #[must_use]
    pub fn of(page: &Page, request: &InFlight) -> Self {
        let made = || String::from_utf8_lossy(&made_id(page.seed(), request.started_at)).into_owned();
        Self {
            method: request.method.clone(),
            path: request.path.clone(),
            client: request.peer.map(|peer| peer.to_string()).unwrap_or_default(),
            request_id: request.id.clone().unwrap_or_else(made),
        }
    }
}

/// The id of a request that began then, in the worker that has this seed. It costs nothing until it is asked for.
#[must_use]
pub fn made_id([high, low]: [u64; 2], began: u64) -> [u8; ID_DIGITS] {
    hexadecimal(u128::from(mix(high ^ began)) << 64 | u128::from(mix(low.wrapping_add(began))))
}

/// The lowest digits of a number.
#[must_use]
pub fn hexadecimal<const N: usize>(number: u128) -> [u8; N] {
    let mut digits = [b'0'; N];
    for (index, digit) in digits.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[usize::try_from(number >> (4 * index) & 15).unwrap_or(0)];
    }
    digits
}

/// By which number log lines call a worker: as one for requests, or as one that runs tasks.
#[must_use]
pub fn numbers(page: &Page) -> (Option<u32>, Option<u32>) {
    match page.role() {
        Some(Role::Tasks) => (None, Some(page.slot_index())),
        _ => (Some(page.slot_index()), None),
    }
}

/// Has the log tell of each of these requests of a worker, what has become of it.
#[cold]
pub fn tell_of_each(page: &Page, pid: i32, requests: &[InFlight], what: &str) {
    for request in requests {
        let Facts { method, path, client, request_id } = Facts::of(page, request);
        let (worker, task_worker) = numbers(page);
        tracing::warn!(method, path, client, request_id, worker, task_worker, pid, "{what}");
    }
}

/// Tells of each task that a worker had begun when it ended. The task queue knows it by its id, and starts it again.
pub fn tell_of_tasks(page: &Page, pid: i32, tasks: &[InFlight]) {
    for task in tasks {
        let (task, task_worker) = (Facts::of(page, task).path, page.slot_index());
        tracing::warn!(task, task_worker, pid, "task interrupted: its worker has exited");
    }
}
