//! Schedules and sums in the file.

use super::{Result, Store, tasks::json};
use crate::{CronEntry, Millis, StoreError};
use rusqlite::params;
use std::collections::BTreeMap;

impl Store {
    /// All schedules, with who registered them and when each fires next.
    pub(crate) fn crons(&self) -> Result<Vec<(String, CronEntry, Option<Millis>)>> {
        let mut all = self.db.prepare_cached("SELECT source, entry, next FROM cron ORDER BY source, name")?;
        let rows = all.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?)))?;
        rows.map(|row| {
            let (source, entry, next) = row?;
            let entry =
                serde_json::from_str(&entry).map_err(|error| StoreError::Damaged(error.to_string()))?;
            Ok((source, entry, next))
        })
        .collect()
    }

    /// Adds or changes a schedule.
    pub(crate) fn set_cron(&self, source: &str, entry: &CronEntry, next: Option<Millis>) -> Result<()> {
        let mut set = self.db.prepare_cached("INSERT OR REPLACE INTO cron VALUES (?1, ?2, ?3, ?4)")?;
        set.execute(params![source, entry.name, json(entry), next])?;
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
