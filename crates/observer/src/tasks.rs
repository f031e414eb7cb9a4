//! The task queue in numbers, of which its keeper is asked whenever somebody asks for metrics or the status.
//!
//! A keeper that is stopped, or waits for its disk, must hold no scrape up: it has a time limit, and once it has missed that, it is not
//! asked again for a while. What it said before is not repeated then: old numbers would look like a queue at rest.

use hostler_sys::control;
use hostler_wire::TaskStats;
use std::{
    cell::{Cell, RefCell},
    io,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::{Instant, timeout},
};
use tracing::{info, warn};

/// How long the keeper may take to answer.
const LIMIT: Duration = Duration::from_millis(250);
/// How long to wait where many others want to connect: the thread has other clients.
const CONNECT_LIMIT: Duration = Duration::from_millis(5);
/// For how long a keeper that does not answer is left alone.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest answer.
const MOST: usize = 4 << 20;

/// What is known of the task queue.
pub(crate) struct Tasks {
    /// Where its keeper listens.
    socket: PathBuf,
    connection: RefCell<Option<UnixStream>>,
    last: RefCell<Option<Rc<TaskStats>>>,
    silent_until: Cell<Option<Instant>>,
}

impl Tasks {
    /// Of the queue in this file.
    pub(crate) fn new(file: &Path) -> Self {
        Self {
            socket: hostler_wire::keeper_socket(file),
            connection: RefCell::default(),
            last: RefCell::default(),
            silent_until: Cell::default(),
        }
    }

    /// What the keeper has said; none if it does not answer.
    pub(crate) fn last(&self) -> Option<Rc<TaskStats>> {
        self.last.borrow().clone()
    }

    /// Asks the keeper.
    pub(crate) async fn renew(&self) {
        if self.silent_until.get().is_some_and(|until| Instant::now() < until) {
            return;
        }
        let answer = timeout(LIMIT, self.ask()).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let was_silent = self.silent_until.get().is_some();
        match answer {
            Ok(stats) => {
                self.last.replace(Some(Rc::new(stats)));
                self.silent_until.set(None);
                if was_silent {
                    info!("the task queue is observed again");
                }
            }
            Err(error) => {
                self.last.replace(None);
                self.silent_until.set(Some(Instant::now() + PAUSE));
                if !was_silent {
                    warn!(%error, "the keeper of the task queue does not answer: its metrics are missing");
                }
            }
        }
    }

    /// The connection is kept, unless something went wrong with it, or the answer came too late.
    async fn ask(&self) -> io::Result<TaskStats> {
        if let Some(kept) = self.connection.take()
            && let Ok(stats) = self.ask_on(kept).await
        {
            return Ok(stats);
        }
        // There may be another keeper by now, which may still be opening the file.
        loop {
            match control::connect(&self.socket, CONNECT_LIMIT) {
                Ok(connection) => {
                    connection.set_nonblocking(true)?;
                    return self.ask_on(UnixStream::from_std(connection)?).await;
                }
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
                {
                    tokio::time::sleep(CONNECT_LIMIT).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn ask_on(&self, mut connection: UnixStream) -> io::Result<TaskStats> {
        connection.write_all(&TaskStats::question()).await?;
        let mut lengths = [0; 8];
        connection.read_exact(&mut lengths).await?;
        let length = TaskStats::length(lengths);
        if length > MOST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; length];
        connection.read_exact(&mut bytes).await?;
        let stats = TaskStats::answer(&bytes).ok_or(io::ErrorKind::InvalidData)?;
        self.connection.replace(Some(connection));
        Ok(stats)
    }
}
