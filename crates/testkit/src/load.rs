//! Clients that send requests without a pause, and note failures.

use crate::{Conn, wait::wait_with};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A load that runs until it is dropped or ended.
pub struct Load {
    stop: Arc<AtomicBool>,
    notes: Arc<Notes>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Notes {
    answered: AtomicU64,
    slowest_micros: AtomicU64,
    failures: Mutex<Vec<String>>,
}

/// The outcome of a load.
#[derive(Debug)]
pub struct Outcome {
    /// Requests with a response of status 200.
    pub answered: u64,
    /// How the others failed.
    pub failures: Vec<String>,
    /// The slowest response.
    pub slowest: Duration,
}

impl Load {
    /// Half of the clients keep their connections, half make a new one for each request.
    #[must_use]
    pub fn start(address: SocketAddr, path: &'static str, clients: usize) -> Self {
        let (stop, notes) = (Arc::new(AtomicBool::new(false)), Arc::new(Notes::default()));
        let clients = (0..clients).map(|number| {
            let (stop, notes) = (Arc::clone(&stop), Arc::clone(&notes));
            #[expect(clippy::disallowed_methods, reason = "this process forks nothing by itself")]
            thread::spawn(move || ask(address, path, number % 2 == 0, &stop, &notes))
        });
        let clients = clients.collect();
        Self { stop, notes, clients }
    }

    /// How many requests have had a response.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.notes.answered.load(Relaxed)
    }

    /// Waits for so many more responses.
    pub fn wait_for(&self, more: u64) {
        let goal = self.answered() + more;
        let failure = || format!("the load is blocked: {:?}", self.notes.failures.lock());
        wait_with(|| self.answered() >= goal, failure);
    }

    /// Ends it.
    #[must_use]
    pub fn end(mut self) -> Outcome {
        self.halt();
        Outcome {
            answered: self.answered(),
            failures: std::mem::take(&mut self.notes.failures.lock().expect("no client panics")),
            slowest: Duration::from_micros(self.notes.slowest_micros.load(Relaxed)),
        }
    }

    fn halt(&mut self) {
        self.stop.store(true, Relaxed);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.halt();
    }
}

fn ask(address: SocketAddr, path: &str, keep: bool, stop: &AtomicBool, notes: &Notes) {
    let mut kept: Option<Conn> = None;
    while !stop.load(Relaxed) {
        let begun = Instant::now();
        let ended = kept.take().map_or_else(|| Conn::try_to(address), Ok).and_then(|mut conn| {
            let reply = conn.try_get(path, keep)?;
            if reply.status != 200 {
                return Err(std::io::Error::other(format!("{}: {}", reply.status, reply.text())));
            }
            let closing = reply.header("connection") == Some("close");
            Ok((keep && !closing).then_some(conn))
        });
        notes.slowest_micros.fetch_max(begun.elapsed().as_micros() as u64, Relaxed);
        match ended {
            Ok(conn) => {
                kept = conn;
                notes.answered.fetch_add(1, Relaxed);
            }
            Err(error) => {
                let mut failures = notes.failures.lock().expect("no client panics");
                if failures.len() < 100 {
                    failures.push(format!("{} connection: {error}", if keep { "kept" } else { "new" }));
                }
            }
        }
    }
}
