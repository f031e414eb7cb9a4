//! Schedules and sums in the file.

use super::{Result, Store, tasks::json};
use crate::{CronEntry, Millis, StoreError};
use rusqlite::params;
use std::collections::BTreeMap;

/// A schedule.
#[derive(Debug)]
pub(crate) struct CronRow {
    /// Which application has registered it.
    pub(crate) source: String,
    pub(crate) entry: CronEntry,
    /// When it fires next.
    pub(crate) next: Option<Millis>,
    /// Whether it fires: a worker has it, or had it when the last one left.
    pub(crate) is_live: bool,
}

impl Store {
    /// All schedules.
    pub(crate) fn crons(&self) -> Result<Vec<CronRow>> {
        let mut all =
            self.db.prepare_cached("SELECT source, entry, next, live FROM cron ORDER BY source, name")?;
        let rows =
            all.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?)))?;
        rows.map(|row| {
            let (source, entry, next, is_live) = row?;
            let entry =
                serde_json::from_str(&entry).map_err(|error| StoreError::Damaged(error.to_string()))?;
            Ok(CronRow { source, entry, next, is_live })
        })
        .collect()
    }

    /// Adds or changes an application's schedule; others that have one of this name have the same from now on.
    pub(crate) fn set_cron(&self, source: &str, entry: &CronEntry, next: Option<Millis>) -> Result<()> {
        let text = json(entry);
        let mut others = self.db.prepare_cached("UPDATE cron SET entry = ?2, next = ?3 WHERE name = ?1")?;
        others.execute(params![entry.name, text, next])?;
        let mut set = self.db.prepare_cached("INSERT OR REPLACE INTO cron VALUES (?1, ?2, ?3, ?4, 1)")?;
        set.execute(params![source, entry.name, text, next])?;
        Ok(())
    }

    /// When the schedule of this name fires next.
    pub(crate) fn set_next_tick(&self, name: &str, next: Option<Millis>) -> Result<()> {
        let mut set = self.db.prepare_cached("UPDATE cron SET next = ?2 WHERE name = ?1")?;
        set.execute(params![name, next])?;
        Ok(())
    }

    /// Whether the schedule of this name fires.
    pub(crate) fn set_live(&self, name: &str, is_live: bool) -> Result<()> {
        self.db
            .prepare_cached("UPDATE cron SET live = ?2 WHERE name = ?1")?
            .execute(params![name, is_live])?;
        Ok(())
    }

    /// Removes a schedule.
    pub(crate) fn remove_cron(&self, source: &str, name: &str) -> Result<()> {
        let mut remove = self.db.prepare_cached("DELETE FROM cron WHERE source = ?1 AND name = ?2")?;
        remove.execute([source, name])?;
        Ok(())
    }

    /// What has happened in all.
    pub(crate) fn totals(&self) -> Result<BTreeMap<String, u64>> {
        let mut all = self.db.prepare_cached("SELECT event, count FROM total")?;
        let rows = all.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Something has happened so many times more.
    pub(crate) fn add_to_total(&self, event: &str, count: u64) -> Result<()> {
        let mut add = self.db.prepare_cached(
            "INSERT INTO total VALUES (?1, ?2) ON CONFLICT DO UPDATE SET count = count + ?2",
        )?;
        add.execute(params![event, i64::try_from(count).unwrap_or(i64::MAX)])?;
        Ok(())
    }
}
