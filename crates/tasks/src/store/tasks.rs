//! A task's life in the file.

use super::{Result, Store};
use crate::{Millis, NewTask, State, TaskId, TaskOptions};
use rusqlite::{OptionalExtension, Row, params, types::Type};

/// A task that could start.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) seq: i64,
    pub(crate) id: TaskId,
    pub(crate) name: String,
    pub(crate) queue: String,
    pub(crate) priority: i32,
    pub(crate) due: Millis,
    pub(crate) expires: Option<Millis>,
    pub(crate) enqueued: Millis,
    pub(crate) attempts: u32,
    /// Its start at the rate of its name has come.
    pub(crate) has_slot: bool,
    pub(crate) options: TaskOptions,
}

/// A task, by its id.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) seq: i64,
    pub(crate) id: TaskId,
    pub(crate) name: String,
    pub(crate) queue: String,
    pub(crate) state: State,
    /// When it was started last.
    pub(crate) started: Option<Millis>,
    pub(crate) attempts: u32,
    pub(crate) losses: u32,
    pub(crate) owner: Option<i64>,
    /// Somebody has cancelled it while it ran.
    pub(crate) is_cancelled: bool,
    /// Not to be started after then.
    pub(crate) expires: Option<Millis>,
    pub(crate) options: TaskOptions,
}

/// What became of a task that was to be accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It is new, and in this state.
    New(State),
    /// It was there, by its id or its key.
    There(TaskId),
}

/// How a task ends.
#[derive(Debug)]
pub(crate) struct Outcome<'a> {
    pub(crate) state: State,
    pub(crate) result: Option<&'a [u8]>,
    pub(crate) error: Option<&'a str>,
    pub(crate) keep_until: Millis,
}

impl Store {
    /// Adds a task that is ready, or due later. The same id twice is one task: its client had no answer the first time.
    pub(crate) fn insert(&self, task: &NewTask, arguments: &[u8], now: Millis) -> Result<Inserted> {
        if let Some(there) = self.with_key(task)? {
            return Ok(Inserted::There(there));
        }
        let due = task.due.unwrap_or(now).max(now);
        let state = if due > now { State::Scheduled } else { State::Ready };
        let options = json(&task.options);
        let mut insert = self.db.prepare_cached(
            "INSERT INTO task (id, name, queue, state, priority, due, expires, key, options, enqueued)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (id) DO NOTHING",
        )?;
        let (id, name, queue) = (&task.id.0[..], &task.name, &task.queue);
        let row =
            params![id, name, queue, state as u8, task.priority, due, task.expires, task.key, options, now];
        if insert.execute(row)? == 0 {
            return Ok(Inserted::There(task.id));
        }
        let seq = self.db.last_insert_rowid();
        self.db.prepare_cached("INSERT INTO argument VALUES (?1, ?2)")?.execute(params![seq, arguments])?;
        Ok(Inserted::New(state))
    }

    fn with_key(&self, task: &NewTask) -> Result<Option<TaskId>> {
        let Some(key) = &task.key else { return Ok(None) };
        let mut find = self.db.prepare_cached(
            "SELECT id FROM task WHERE name = ?1 AND key = ?2 AND key IS NOT NULL AND state < 4",
        )?;
        Ok(find.query_row(params![task.name, key], |row| id_of(row, 0)).optional()?)
    }

    /// The first tasks of a queue that could start, after one of these.
    pub(crate) fn heads(&self, queue: &str, after: Option<(i32, i64)>, limit: u32) -> Result<Vec<Head>> {
        let columns = "SELECT seq, id, name, queue, priority, expires, enqueued, attempts, has_slot, options, due FROM task";
        let order = "ORDER BY priority DESC, seq LIMIT ?2";
        let rows = match after {
            None => {
                let sql = format!("{columns} WHERE state = 0 AND queue = ?1 {order}");
                self.db
                    .prepare_cached(&sql)?
                    .query_map(params![queue, limit], head)?
                    .collect::<rusqlite::Result<_>>()
            }
            Some((priority, seq)) => {
                let sql = format!(
                    "{columns} WHERE state = 0 AND queue = ?1 AND (-priority, seq) > (-?3, ?4) {order}"
                );
                let values = params![queue, limit, priority, seq];
                self.db.prepare_cached(&sql)?.query_map(values, head)?.collect::<rusqlite::Result<_>>()
            }
        };
        Ok(rows?)
    }

    /// A worker has it from now on; its arguments.
    pub(crate) fn claim(&self, seq: i64, owner: i64, now: Millis) -> Result<Vec<u8>> {
        let mut claim = self.db.prepare_cached(
            "UPDATE task SET state = 3, owner = ?2, started = ?3, attempts = attempts + 1, has_slot = 0, progress = NULL, progress_text = NULL
             WHERE seq = ?1",
        )?;
        claim.execute(params![seq, owner, now])?;
        let mut arguments = self.db.prepare_cached("SELECT body FROM argument WHERE seq = ?1")?;
        Ok(arguments.query_row([seq], |row| row.get(0))?)
    }

    /// A task by its id.
    pub(crate) fn find(&self, id: TaskId) -> Result<Option<Found>> {
        let mut find = self.db.prepare_cached(
            "SELECT seq, id, queue, state, attempts, losses, owner, options, name, started, cancelled, expires FROM task WHERE id = ?1",
        )?;
        Ok(find.query_row([&id.0[..]], found).optional()?)
    }

    /// What these owners run.
    pub(crate) fn owned(&self, owner: i64) -> Result<Vec<Found>> {
        let mut find = self.db.prepare_cached(
            "SELECT seq, id, queue, state, attempts, losses, owner, options, name, started, cancelled, expires FROM task WHERE state = 3 AND owner = ?1",
        )?;
        Ok(find.query_map([owner], found)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Who runs tasks.
    pub(crate) fn owners(&self) -> Result<Vec<i64>> {
        let mut find = self
            .db
            .prepare_cached("SELECT DISTINCT owner FROM task WHERE state = 3 AND owner IS NOT NULL")?;
        Ok(find.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
    }

    /// Nothing more happens to it. Without a time to keep it for, it is removed.
    pub(crate) fn finish(&self, seq: i64, outcome: &Outcome<'_>, now: Millis) -> Result<()> {
        if outcome.state != State::Failed {
            self.db.prepare_cached("DELETE FROM argument WHERE seq = ?1")?.execute([seq])?;
        }
        if outcome.keep_until <= now {
            return self.delete(seq);
        }
        let mut finish = self.db.prepare_cached(
            "UPDATE task SET state = ?2, owner = NULL, finished = ?3, keep_until = ?4, error = ?5 WHERE seq = ?1",
        )?;
        finish.execute(params![seq, outcome.state as u8, now, outcome.keep_until, outcome.error])?;
        if let Some(result) = outcome.result {
            self.db
                .prepare_cached("INSERT OR REPLACE INTO result VALUES (?1, ?2)")?
                .execute(params![seq, result])?;
        }
        Ok(())
    }

    /// Waits again: from now on, or from a later time. `attempts` and `losses` are what it has from now on.
    pub(crate) fn put_back(&self, task: &Found, due: Option<Millis>, error: Option<&str>) -> Result<()> {
        let state = if due.is_some() { State::Scheduled } else { State::Ready };
        let mut put = self.db.prepare_cached(
            "UPDATE task SET state = ?2, owner = NULL, due = coalesce(?3, due), attempts = ?4, losses = ?5, error = coalesce(?6, error)
             WHERE seq = ?1",
        )?;
        put.execute(params![task.seq, state as u8, due, task.attempts, task.losses, error])?;
        Ok(())
    }

    /// Whether another task that waits or runs has the name and the key of this one.
    pub(crate) fn has_its_key_taken(&self, seq: i64) -> Result<bool> {
        let mut asked = self.db.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM task AS own JOIN task AS other ON other.name = own.name AND other.key = own.key
             WHERE own.seq = ?1 AND own.key IS NOT NULL AND other.key IS NOT NULL AND other.state < 4 AND other.seq <> own.seq)",
        )?;
        Ok(asked.query_row([seq], |row| row.get(0))?)
    }

    /// A task that could start waits for a worker that knows it.
    pub(crate) fn set_unknown(&self, seq: i64) -> Result<()> {
        self.db.prepare_cached("UPDATE task SET state = 2 WHERE seq = ?1")?.execute([seq])?;
        Ok(())
    }

    /// A task that could start waits for its turn at the rate of its name.
    pub(crate) fn set_slot(&self, seq: i64, due: Millis) -> Result<()> {
        let mut set =
            self.db.prepare_cached("UPDATE task SET state = 1, has_slot = 1, due = ?2 WHERE seq = ?1")?;
        set.execute(params![seq, due])?;
        Ok(())
    }

    /// Tasks that wait for their turns at rates are to have others; their queues.
    pub(crate) fn take_slots_back(&self) -> Result<Vec<String>> {
        let mut take = self.db.prepare_cached(
            "UPDATE task SET state = 0, has_slot = 0 WHERE state = 1 AND has_slot = 1 RETURNING queue",
        )?;
        Ok(take.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
    }

    /// Tasks whose time has come could start from now on; their queues.
    pub(crate) fn release_due(&self, now: Millis, limit: u32) -> Result<Vec<String>> {
        let mut release = self.db.prepare_cached(
            "UPDATE task SET state = 0 WHERE seq IN (SELECT seq FROM task WHERE state = 1 AND due <= ?1 ORDER BY due LIMIT ?2)
             RETURNING queue",
        )?;
        Ok(release.query_map(params![now, limit], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
    }

    /// Tasks of these names could start from now on; their queues.
    pub(crate) fn release_known(&self, name: &str) -> Result<Vec<String>> {
        let mut release = self
            .db
            .prepare_cached("UPDATE task SET state = 0 WHERE state = 2 AND name = ?1 RETURNING queue")?;
        Ok(release.query_map([name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
    }

    /// The names of tasks that no worker knew.
    pub(crate) fn unknown_names(&self) -> Result<Vec<String>> {
        let mut find = self.db.prepare_cached("SELECT DISTINCT name FROM task WHERE state = 2")?;
        Ok(find.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
    }

    /// When the next task is due.
    pub(crate) fn next_due(&self) -> Result<Option<Millis>> {
        Ok(self
            .db
            .prepare_cached("SELECT min(due) FROM task WHERE state = 1")?
            .query_row([], |row| row.get(0))?)
    }

    /// Tasks that were not started in time.
    pub(crate) fn expired(&self, now: Millis, limit: u32) -> Result<Vec<Found>> {
        let mut find = self.db.prepare_cached(
            "SELECT seq, id, queue, state, attempts, losses, owner, options, name, started, cancelled, expires FROM task
             WHERE expires IS NOT NULL AND state < 3 AND expires <= ?1 ORDER BY expires LIMIT ?2",
        )?;
        Ok(find.query_map(params![now, limit], found)?.collect::<rusqlite::Result<_>>()?)
    }

    /// When the next task is too old to be started.
    pub(crate) fn next_expiry(&self) -> Result<Option<Millis>> {
        let sql = "SELECT min(expires) FROM task WHERE expires IS NOT NULL AND state < 3";
        Ok(self.db.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    /// A task that runs is to end, and never runs again.
    pub(crate) fn set_cancelled(&self, seq: i64) -> Result<()> {
        self.db.prepare_cached("UPDATE task SET cancelled = 1 WHERE seq = ?1")?.execute([seq])?;
        Ok(())
    }

    /// How far a task is.
    pub(crate) fn set_progress(&self, id: TaskId, fraction: f64, text: &str) -> Result<()> {
        let mut set = self.db.prepare_cached(
            "UPDATE task SET progress = ?2, progress_text = ?3 WHERE id = ?1 AND state = 3",
        )?;
        set.execute(params![&id.0[..], fraction, text])?;
        Ok(())
    }

    /// Removes tasks that were kept for long enough; their queues and states.
    pub(crate) fn remove_old(&self, now: Millis, limit: u32) -> Result<Vec<(String, State)>> {
        let mut find = self.db.prepare_cached(
            "SELECT seq, queue, state FROM task WHERE state >= 4 AND keep_until <= ?1 ORDER BY keep_until LIMIT ?2",
        )?;
        let old: Vec<(i64, String, State)> = find
            .query_map(params![now, limit], |row| Ok((row.get(0)?, row.get(1)?, state_of(row, 2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        old.into_iter()
            .map(|(seq, queue, state)| {
                self.delete(seq)?;
                Ok((queue, state))
            })
            .collect()
    }

    /// When the next task has been kept for long enough.
    pub(crate) fn next_removal(&self) -> Result<Option<Millis>> {
        let mut find = self.db.prepare_cached("SELECT min(keep_until) FROM task WHERE state >= 4")?;
        Ok(find.query_row([], |row| row.get(0))?)
    }

    pub(crate) fn delete(&self, seq: i64) -> Result<()> {
        for table in ["task", "argument", "result"] {
            self.db.prepare_cached(&format!("DELETE FROM {table} WHERE seq = ?1"))?.execute([seq])?;
        }
        Ok(())
    }
}

fn head(row: &Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head {
        seq: row.get(0)?,
        id: id_of(row, 1)?,
        name: row.get(2)?,
        queue: row.get(3)?,
        priority: row.get(4)?,
        expires: row.get(5)?,
        enqueued: row.get(6)?,
        attempts: row.get(7)?,
        has_slot: row.get(8)?,
        options: options_of(row, 9)?,
        due: row.get(10)?,
    })
}

fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found {
        seq: row.get(0)?,
        id: id_of(row, 1)?,
        queue: row.get(2)?,
        state: state_of(row, 3)?,
        attempts: row.get(4)?,
        losses: row.get(5)?,
        owner: row.get(6)?,
        options: options_of(row, 7)?,
        name: row.get(8)?,
        started: row.get(9)?,
        is_cancelled: row.get(10)?,
        expires: row.get(11)?,
    })
}

pub(super) fn id_of(row: &Row<'_>, column: usize) -> rusqlite::Result<TaskId> {
    row.get(column).map(TaskId)
}

pub(super) fn state_of(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    let number: u8 = row.get(column)?;
    let unknown = || rusqlite::Error::IntegralValueOutOfRange(column, number.into());
    State::ALL.get(usize::from(number)).copied().ok_or_else(unknown)
}

pub(super) fn options_of(row: &Row<'_>, column: usize) -> rusqlite::Result<TaskOptions> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("structs with text keys are JSON")
}
