//! What people ask about tasks.

use super::{
    Result, Store,
    tasks::{id_of, options_of, state_of},
};
use crate::{Details, Filter, Millis, Shown, State, TaskId};
use rusqlite::{OptionalExtension, Row, params};

const SHOWN: &str =
    "SELECT id, name, queue, state, priority, attempts, losses, enqueued, due, started, finished,
    progress, progress_text, error, options, seq, owner FROM task";

/// How much of an error's message is in a list, in characters.
const MESSAGE: usize = 300;
/// How many priorities of a queue are looked at for the oldest task.
const PRIORITIES: usize = 16;

/// A way through the tasks in the order of their arrival.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    pub(crate) filter: Filter,
    /// Against that order.
    pub(crate) newest: bool,
    /// It goes on after this one.
    pub(crate) after: Option<i64>,
    /// How many are looked at in a step.
    pub(crate) look: u32,
}

/// All that is known of a task.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) task: Shown,
    /// Who runs it.
    pub(crate) owner: Option<i64>,
    pub(crate) details: Details,
    /// Its arguments and its result.
    pub(crate) body: Vec<u8>,
}

/// What a step of a walk has found.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) found: Vec<i64>,
    pub(crate) is_end: bool,
}

impl Walk {
    /// Where it goes, in SQL. Of what failed and what runs only that is looked at.
    fn source(&self) -> &'static str {
        match self.filter.states[..] {
            [State::Failed] => "task INDEXED BY task_failed WHERE state = 5",
            [State::Running] => "task INDEXED BY task_running WHERE state = 3",
            _ => "task WHERE true",
        }
    }

    /// Bits for the states that are meant.
    fn states(&self) -> i64 {
        match self.filter.states.is_empty() {
            true => -1,
            false => self.filter.states.iter().fold(0, |all, state| all | 1 << (*state as u8)),
        }
    }
}

impl Store {
    /// A task as it is shown, and its result.
    pub(crate) fn show(&self, id: TaskId) -> Result<Option<(Shown, Vec<u8>)>> {
        let mut find = self.db.prepare_cached(&format!("{SHOWN} WHERE id = ?1"))?;
        let found =
            find.query_row([&id.0[..]], |row| Ok((shown(row)?, row.get::<_, i64>(15)?))).optional()?;
        let Some((task, seq)) = found else { return Ok(None) };
        let result = match task.state {
            State::Succeeded => self.body("result", seq)?,
            _ => Vec::new(),
        };
        Ok(Some((task, result)))
    }

    /// All that is known of a task.
    pub(crate) fn details(&self, id: TaskId) -> Result<Option<Known>> {
        let mut find = self.db.prepare_cached(&format!("{SHOWN} WHERE id = ?1"))?;
        let found = find
            .query_row([&id.0[..]], |row| Ok((shown(row)?, row.get::<_, i64>(15)?, row.get(16)?)))
            .optional()?;
        let Some((task, seq, owner)) = found else { return Ok(None) };
        let mut more =
            self.db.prepare_cached("SELECT key, expires, keep_until, options FROM task WHERE seq = ?1")?;
        let mut details = more.query_row([seq], |row| {
            let options = options_of(row, 3)?;
            Ok(Details {
                key: row.get(0)?,
                expires: row.get(1)?,
                keep_until: row.get(2)?,
                options,
                arguments: 0,
            })
        })?;
        let mut body = self.body("argument", seq)?;
        details.arguments = body.len();
        body.extend(self.body("result", seq)?);
        Ok(Some(Known { task, owner, details, body }))
    }

    fn body(&self, table: &str, seq: i64) -> Result<Vec<u8>> {
        let mut find = self.db.prepare_cached(&format!("SELECT body FROM {table} WHERE seq = ?1"))?;
        Ok(find.query_row([seq], |row| row.get(0)).optional()?.unwrap_or_default())
    }

    /// A task in a list, without what is long in its error; and who runs it.
    pub(crate) fn listed(&self, seq: i64) -> Result<Option<(Shown, Option<i64>)>> {
        let mut find = self.db.prepare_cached(&format!("{SHOWN} WHERE seq = ?1"))?;
        let found = find.query_row([seq], |row| Ok((shown(row)?, row.get(16)?))).optional()?;
        Ok(found.map(|(task, owner)| {
            let error = task.error.as_deref().map(brief);
            (Shown { error, ..task }, owner)
        }))
    }

    /// The id of a task.
    pub(crate) fn id(&self, seq: i64) -> Result<Option<TaskId>> {
        let mut find = self.db.prepare_cached("SELECT id FROM task WHERE seq = ?1")?;
        Ok(find.query_row([seq], |row| id_of(row, 0)).optional()?)
    }

    /// A step of a walk, which finds `most` tasks at most.
    pub(crate) fn walk(&self, walk: &mut Walk, most: usize) -> Result<Step> {
        let (beyond, order) = if walk.newest { ("<", "DESC") } else { (">", "ASC") };
        let source = walk.source();
        let mut find = self.db.prepare_cached(&format!(
            "SELECT seq, (?2 >> state) & 1 AND (?3 IS NULL OR queue = ?3) AND (?4 IS NULL OR name = ?4) FROM {source}
             AND seq {beyond} ?1 ORDER BY seq {order} LIMIT ?5"
        ))?;
        let after = walk.after.unwrap_or(if walk.newest { i64::MAX } else { i64::MIN });
        let (states, Filter { queue, name, .. }) = (walk.states(), &walk.filter);
        let mut rows = find.query(params![after, states, queue, name, walk.look])?;
        let (mut found, mut seen) = (Vec::new(), 0);
        while found.len() < most {
            let Some(row) = rows.next()? else { break };
            seen += 1;
            let seq = row.get(0)?;
            walk.after = Some(seq);
            if row.get(1)? {
                found.push(seq);
            }
        }
        let is_end = found.len() < most && seen < walk.look;
        Ok(Step { found, is_end })
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

    /// Since when the task waits that has waited longest, of those that are first in line with their priorities.
    pub(crate) fn oldest_ready(&self, queue: &str) -> Result<Option<Millis>> {
        let mut find = self.db.prepare_cached(
            "SELECT due, priority FROM task WHERE state = 0 AND queue = ?1 AND priority < ?2 ORDER BY priority DESC, seq LIMIT 1",
        )?;
        let (mut oldest, mut below) = (None, i64::MAX);
        for _ in 0..PRIORITIES {
            let next: Option<(Millis, i64)> =
                find.query_row(params![queue, below], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let Some((due, priority)) = next else { break };
            below = priority;
            oldest = Some(oldest.map_or(due, |oldest: Millis| oldest.min(due)));
        }
        Ok(oldest)
    }
}

/// An error's type and the beginning of its message.
fn brief(error: &str) -> String {
    let Ok(error) = serde_json::from_str::<serde_json::Value>(error) else {
        return error.chars().take(MESSAGE).collect();
    };
    let part =
        |name: &str| error[name].as_str().unwrap_or_default().chars().take(MESSAGE).collect::<String>();
    serde_json::json!({"type": part("type"), "message": part("message")}).to_string()
}

fn shown(row: &Row<'_>) -> rusqlite::Result<Shown> {
    let (fraction, text): (Option<f64>, Option<String>) = (row.get(11)?, row.get(12)?);
    let coding = options_of(row, 14).map(|options| options.coding).unwrap_or_default();
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
        pid: None,
    })
}
