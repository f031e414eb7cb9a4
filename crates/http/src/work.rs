//! Work that applications go on with after their answers, such as background tasks.
//!
//! It is in flight like a request, but holds no connection: [`Connections::all_ended`] waits for it, the scoreboard
//! shows it, and who stops the worker at last can stop it and say what it was.

use crate::{Connections, Load, connections::Shared};
use hostler_sys::clock;
use hyper::{Method, Uri};
use std::{collections::HashMap, fmt, time::Duration};

/// Where an application says that it goes on with a request's work; cheap to clone, for one thread.
#[derive(Clone)]
pub struct Works {
    connections: Connections,
    load: Load,
}

/// What is under way, by its number.
#[derive(Default)]
pub(crate) struct UnderWay {
    next: u64,
    works: HashMap<u64, Entry>,
}

struct Entry {
    began: u64,
    method: Method,
    path: String,
    stop: Option<Box<dyn FnOnce()>>,
}

impl Works {
    pub(crate) fn new(connections: Connections, load: Load) -> Self {
        Self { connections, load }
    }

    /// The work of a request goes on, in flight until the guard is dropped. `stop` is called if it is not waited for.
    #[must_use]
    pub fn begin(&self, method: &Method, uri: &Uri, stop: Box<dyn FnOnce()>) -> Work {
        let began = clock::now();
        let slot = self.load.page().request_began(began, method.as_str(), uri.path(), None);
        let entry = Entry { began, method: method.clone(), path: uri.path().to_owned(), stop: Some(stop) };
        let mut under_way = self.connections.shared().works.borrow_mut();
        let number = under_way.next;
        under_way.next += 1;
        under_way.works.insert(number, entry);
        drop(under_way);
        Work { works: self.clone(), number, slot }
    }
}

/// Work under way, until it is dropped.
pub struct Work {
    works: Works,
    number: u64,
    slot: Option<usize>,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.works.load.page().work_ended(self.slot);
        let entry = self.works.connections.shared().works.borrow_mut().works.remove(&self.number);
        drop(entry);
        if self.works.connections.phase().is_drain() {
            self.works.connections.wake_watchers();
        }
    }
}

impl Shared {
    pub(crate) fn has_work(&self) -> bool {
        !self.works.borrow().works.is_empty()
    }
}

impl Connections {
    /// When the works under way began, by the clock of the scoreboard.
    #[must_use]
    pub fn works_since(&self) -> Vec<u64> {
        self.shared().works.borrow().works.values().map(|work| work.began).collect()
    }

    /// Stops the work that is under way; says what it was: `POST /orders 2.5s; GET /report 31.0s`. None if there is none.
    pub fn stop_works(&self) -> Option<String> {
        let now = clock::now();
        let mut stops = Vec::new();
        let mut shown: Vec<(u64, String)> = Vec::new();
        for work in self.shared().works.borrow_mut().works.values_mut() {
            let age = Duration::from_nanos(now.saturating_sub(work.began)).as_secs_f64();
            shown.push((work.began, format!("{} {} {age:.1}s", work.method, work.path)));
            stops.extend(work.stop.take());
        }
        stops.into_iter().for_each(|stop| stop());
        shown.sort_unstable();
        let shown: Vec<String> = shown.into_iter().map(|(_, text)| text).collect();
        (!shown.is_empty()).then(|| shown.join("; "))
    }

    /// Waits until no work is under way.
    pub async fn works_ended(&self) {
        self.watch(|shared| !shared.has_work()).await;
    }
}
