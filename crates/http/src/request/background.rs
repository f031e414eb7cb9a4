//! Background tasks: what applications still run after their responses.
//!
//! A background task is in flight like a request, but holds no connection: [`Connections::all_ended`] waits for it, the
//! scoreboard shows it, and a worker whose graceful timeout is over can cancel it and log what it was.

use crate::{Began, Connections, Load, RequestId, connections::Shared, log::facts::RequestName};
use hostler_sys::clock;
use hyper::{HeaderMap, Method, Request, Uri};
use std::{collections::HashMap, fmt, net::SocketAddr, time::Duration};

/// Where an application registers background tasks; cheap to clone, for one thread.
#[derive(Clone)]
pub struct BackgroundTasks {
    connections: Connections,
    load: Load,
    client: Option<SocketAddr>,
}

/// The background tasks that run, by their ids.
#[derive(Default)]
pub(crate) struct Running {
    next_id: u64,
    tasks: HashMap<u64, Entry>,
}

struct Entry {
    began_nanos: u64,
    method: Method,
    path: String,
    cancel: Option<Box<dyn FnOnce()>>,
}

impl BackgroundTasks {
    pub(crate) fn new(connections: Connections, load: Load, client: Option<SocketAddr>) -> Self {
        Self { connections, load, client }
    }

    /// The request that the application is called for, to be asked in [`App::call`](crate::App::call).
    #[must_use]
    pub fn current(&self) -> Began {
        self.load.current()
    }

    /// That request, for lines about it.
    #[inline]
    pub(crate) fn name<B>(
        &self,
        request: &Request<B>,
        client: impl FnOnce() -> Option<SocketAddr>,
    ) -> RequestName {
        let (method, uri) = (request.method(), request.uri());
        let is_shown = self.load.shows_current(method, uri.path());
        let line = (!is_shown).then(|| Box::new((method.clone(), uri.clone(), client())));
        RequestName::new(self.current(), line)
    }

    /// The client of the connection.
    #[must_use]
    pub fn client(&self) -> Option<SocketAddr> {
        self.client
    }

    /// The id that the request has in its header, if one is configured for ids.
    #[must_use]
    pub fn given_id(&self, headers: &HeaderMap) -> Option<RequestId> {
        self.load.ids().given(headers)
    }

    /// Registers what runs on after the response to a request, until the guard is dropped. `cancel` is called if the
    /// worker stops waiting for it.
    #[must_use]
    pub fn begin(&self, method: &Method, uri: &Uri, cancel: Box<dyn FnOnce()>) -> BackgroundTask {
        let began_nanos = clock::now();
        let slot = self.load.page().work_began(began_nanos, method.as_str(), uri.path());
        let entry =
            Entry { began_nanos, method: method.clone(), path: uri.path().to_owned(), cancel: Some(cancel) };
        let mut running = self.connections.shared().background.borrow_mut();
        let id = running.next_id;
        running.next_id += 1;
        running.tasks.insert(id, entry);
        drop(running);
        BackgroundTask { tasks: self.clone(), id, slot }
    }
}

impl BackgroundTasks {
    /// Whether the worker ends its connections: it drains, or stops at once.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.connections.phase().is_drain()
    }
}

/// A background task that runs, until this is dropped.
pub struct BackgroundTask {
    tasks: BackgroundTasks,
    id: u64,
    slot: Option<usize>,
}

impl fmt::Debug for BackgroundTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackgroundTask").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for BackgroundTask {
    fn drop(&mut self) {
        self.tasks.load.page().work_ended(self.slot);
        let entry = self.tasks.connections.shared().background.borrow_mut().tasks.remove(&self.id);
        drop(entry);
        if self.tasks.connections.phase().is_drain() {
            self.tasks.connections.wake_watchers();
        }
    }
}

impl Shared {
    pub(crate) fn has_background(&self) -> bool {
        !self.background.borrow().tasks.is_empty()
    }
}

impl Connections {
    /// When the background tasks that run began, in nanoseconds of the scoreboard's clock.
    #[must_use]
    pub fn background_began(&self) -> Vec<u64> {
        self.shared().background.borrow().tasks.values().map(|task| task.began_nanos).collect()
    }

    /// Cancels the background tasks that run. Which they were: `POST /orders 2.5s; GET /report 31.0s`; `None` if there
    /// was none.
    pub fn cancel_background(&self) -> Option<String> {
        let now = clock::now();
        let mut cancels = Vec::new();
        let mut shown: Vec<(u64, String)> = Vec::new();
        for task in self.shared().background.borrow_mut().tasks.values_mut() {
            let age = Duration::from_nanos(now.saturating_sub(task.began_nanos)).as_secs_f64();
            shown.push((task.began_nanos, format!("{} {} {age:.1}s", task.method, task.path)));
            cancels.extend(task.cancel.take());
        }
        cancels.into_iter().for_each(|cancel| cancel());
        shown.sort_unstable();
        let shown: Vec<String> = shown.into_iter().map(|(_, text)| text).collect();
        (!shown.is_empty()).then(|| shown.join("; "))
    }

    /// Waits until no background task runs.
    pub async fn background_ended(&self) {
        self.watch(|shared| !shared.has_background()).await;
    }
}
