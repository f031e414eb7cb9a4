//! What people ask about tasks.

use super::{
    Result, Store,
    tasks::{id_of, state_of},
};
use crate::{Millis, Shown, State, TaskId, TaskOptions};
use rusqlite::{OptionalExtension, Row, params};

const SHOWN: &str =
    "SELECT id, name, queue, state, priority, attempts, losses, enqueued, due, started, finished,
    progress, progress_text, error, options, seq FROM task";

/// Which tasks are listed.
#[derive(Debug)]
pub(crate) struct Which<'a> {
    pub(crate) state: Option<State>,
    pub(crate) queue: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    pub(crate) after: Option<TaskId>,
    pub(crate) limit: u32,
}

impl Store {
    /// A task as it is shown, and its result.
    pub(crate) fn show(&self, id: TaskId) -> Result<Option<(Shown, Vec<u8>)>> {
        let mut find = self.db.prepare_cached(&format!("{SHOWN} WHERE id = ?1"))?;
        let found =
            find.query_row([&id.0[..]], |row| Ok((shown(row)?, row.get::<_, i64>(15)?))).optional()?;
        let Some((task, seq)) = found else { return Ok(None) };
        let result = match task.state {
            State::Succeeded => self.result(seq)?,
            _ => Vec::new(),
        };
        Ok(Some((task, result)))
    }

    fn result(&self, seq: i64) -> Result<Vec<u8>> {
        let mut find = self.db.prepare_cached("SELECT body FROM result WHERE seq = ?1")?;
        Ok(find.query_row([seq], |row| row.get(0)).optional()?.unwrap_or_default())
    }

    /// Tasks, the oldest first.
    pub(crate) fn list(&self, which: &Which<'_>) -> Result<Vec<Shown>> {
        let mut find = self.db.prepare_cached(&format!(
            "{SHOWN} WHERE seq > coalesce((SELECT seq FROM task WHERE id = ?1), 0) AND (?2 IS NULL OR state = ?2)
             AND (?3 IS NULL OR queue = ?3) AND (?4 IS NULL OR name = ?4) ORDER BY seq LIMIT ?5"
        ))?;
        let (after, state) = (which.after.as_ref().map(|id| &id.0[..]), which.state.map(|state| state as u8));
        let rows = find.query_map(params![after, state, which.queue, which.name, which.limit], shown)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The oldest tasks of a state.
    pub(crate) fn ids(&self, state: State, queue: Option<&str>, limit: u32) -> Result<Vec<TaskId>> {
        let mut find = self.db.prepare_cached(
            "SELECT id FROM task WHERE state = ?1 AND (?2 IS NULL OR queue = ?2) ORDER BY seq LIMIT ?3",
        )?;
        let rows = find.query_map(params![state as u8, queue, limit], |row| id_of(row, 0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// How many tasks of which queue are in which state.
    pub(crate) fn counts(&self) -> Result<Vec<(String, State, u64)>> {
        let mut count =
            self.db.prepare_cached("SELECT queue, state, count(*) FROM task GROUP BY queue, state")?;
        let rows = count.query_map([], |row| {
            Ok((row.get(0)?, state_of(row, 1)?, row.get::<_, i64>(2)?.unsigned_abs()))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Since when the task waits that is to start next.
    pub(crate) fn oldest_ready(&self, queue: &str) -> Result<Option<Millis>> {
        let mut find = self.db.prepare_cached(
            "SELECT due FROM task WHERE state = 0 AND queue = ?1 ORDER BY priority DESC, seq LIMIT 1",
        )?;
        Ok(find.query_row([queue], |row| row.get(0)).optional()?)
    }
}

fn shown(row: &Row<'_>) -> rusqlite::Result<Shown> {
    let (fraction, text): (Option<f64>, Option<String>) = (row.get(11)?, row.get(12)?);
    let options = row.get_ref(14)?.as_str()?;
    let coding =
        serde_json::from_str::<TaskOptions>(options).map(|options| options.coding).unwrap_or_default();
    Ok(Shown {
        id: id_of(row, 0)?,
        name: row.get(1)?,
        queue: row.get(2)?,
        state: state_of(row, 3)?,
        priority: row.get(4)?,
        attempts: row.get(5)?,
        losses: row.get(6)?,
        enqueued: row.get(7)?,
        due: row.get(8)?,
        started: row.get(9)?,
        finished: row.get(10)?,
        progress: fraction.map(|fraction| (fraction, text.unwrap_or_default())),
        error: row.get(13)?,
        coding,
    })
}
