//! The file: one SQLite database, which one process has.

mod crons;
mod lists;
mod open;
mod schema;
mod tasks;

pub(crate) use lists::{Known, Walk};
pub(crate) use tasks::{Found, Head, Inserted, Outcome};

use crate::StoreError;
use hostler_wire::Times;
use rusqlite::Connection;
use std::time::Instant;

/// The open file. All methods but [`Store::open`] work within the transaction that [`Store::begin`] has begun.
#[derive(Debug)]
pub struct Store {
    pub(super) db: Connection,
    /// What the connection is set to.
    durable: bool,
    /// Something was committed that may not have reached the disk.
    unsynced: bool,
    /// How long it has waited for the disk.
    pub(crate) syncs: Times,
}

pub(crate) type Result<T> = std::result::Result<T, StoreError>;

impl Store {
    /// Begins a transaction. A `durable` one is on disk when it is committed; others are safe from the end of any process, and reach the disk
    /// with the next that is.
    pub(crate) fn begin(&mut self, durable: bool) -> Result<()> {
        if durable != self.durable {
            self.db.pragma_update(None, "synchronous", if durable { "FULL" } else { "NORMAL" })?;
            self.durable = durable;
        }
        Ok(self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(|_| ())?)
    }

    pub(crate) fn commit(&mut self) -> Result<()> {
        let began = Instant::now();
        self.db.prepare_cached("COMMIT")?.execute([])?;
        if self.durable {
            self.syncs.add(began.elapsed().as_secs_f64());
        }
        self.unsynced = !self.durable;
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

    /// Has everything reach the disk.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.begin(true)?;
        let write = || -> Result<()> {
            // A transaction that writes nothing is not synced.
            let mut statement = self.db.prepare_cached(
                "INSERT INTO mark VALUES (1, 1) ON CONFLICT DO UPDATE SET value = value + 1",
            )?;
            statement.execute([])?;
            Ok(())
        };
        match write().and_then(|()| self.commit()) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.roll_back();
                Err(error)
            }
        }
    }
}
