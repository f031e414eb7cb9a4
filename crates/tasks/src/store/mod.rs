//! The file: one SQLite database, which one process has.

mod crons;
mod examine;
mod lists;
mod open;
mod schema;
mod tasks;

pub(crate) use crons::CronRow;
pub use examine::examine;
pub(crate) use lists::{Known, Walk};
pub(crate) use tasks::{Found, Head, Inserted, Outcome};

use crate::StoreError;
use hostler_wire::Times;
use rusqlite::Connection;
use std::{fs::File, time::Instant};

/// The open file. All methods but [`Store::open`] work within the transaction that [`Store::begin`] has begun.
#[derive(Debug)]
pub struct Store {
    pub(super) db: Connection,
    /// SQLite's log (`-wal`), which is there as long as the connection is.
    log: File,
    /// Something was committed that may not have reached the disk.
    unsynced: bool,
    /// The log could not be synced: the kernel may have dropped what it says that it has written (fsync(2), `EIO`).
    pub(crate) log_failed: bool,
    /// How long it has waited for the disk.
    pub(crate) syncs: Times,
    /// How many rows were changed before.
    changes: u64,
}

pub(crate) type Result<T> = std::result::Result<T, StoreError>;

impl Store {
    /// Begins a transaction. When it is committed it is safe from the end of any process, and after [`Store::sync`] from that of the machine.
    pub(crate) fn begin(&mut self) -> Result<()> {
        Ok(self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(|_| ())?)
    }

    pub(crate) fn commit(&mut self) -> Result<()> {
        self.db.prepare_cached("COMMIT")?.execute([])?;
        let changes = self.db.total_changes();
        self.unsynced |= changes != self.changes;
        self.changes = changes;
        Ok(())
    }

    /// Takes back what was done since [`Store::begin`].
    pub(crate) fn roll_back(&mut self) {
        // SQLite may have done so already.
        if !self.db.is_autocommit() {
            let _ = self.db.execute_batch("ROLLBACK");
        }
    }

    /// Whether something was committed that may not have reached the disk.
    pub(crate) fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Has everything reach the disk: what was committed since SQLite has synced itself is in the log (<https://www.sqlite.org/wal.html>).
    pub(crate) fn sync(&mut self) -> Result<()> {
        let began = Instant::now();
        match self.log_failed {
            false => self.log.sync_data().inspect_err(|_| self.log_failed = true)?,
            true => self.empty_log()?,
        }
        self.syncs.add(began.elapsed().as_secs_f64());
        (self.unsynced, self.log_failed) = (false, false);
        Ok(())
    }

    /// Has SQLite write all that is in the log to the file, and sync that: a log that could not be synced once is not to be relied on.
    fn empty_log(&self) -> Result<()> {
        let is_busy: bool = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if is_busy { Err(StoreError::Locked) } else { Ok(()) }
    }
}
