//! Opening the file, and making it.

use super::{
    Result, Store,
    schema::{APPLICATION, CREATE, FORMAT, STEPS},
};
use crate::{OpenError, StoreError, engine::FAST};
use hostler_wire::Times;
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

/// How long to wait for another program that has locked the file: somebody who looks at it.
const LOCKED_LIMIT: Duration = Duration::from_secs(2);
/// After how many pages of the log its contents move to the file.
const CHECKPOINT_PAGES: i64 = 4000;
/// How large the log's file may stay.
const LOG_BYTES: i64 = 64 << 20;
/// How many KiB of pages are kept in memory.
const CACHE_KIB: i64 = 8 * 1024;

impl Store {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When it cannot be used, is damaged, of a later version, or another program's.
    pub fn open(path: &Path) -> std::result::Result<Self, OpenError> {
        let failed = |source: StoreError| OpenError::File { path: path.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        make_private(path).map_err(|error| failed(error.into()))?;
        let db = Connection::open_with_flags(path, flags).map_err(|error| failed(error.into()))?;
        let number = |name: &str| -> Result<i64> { Ok(db.pragma_query_value(None, name, |row| row.get(0))?) };
        prepare(&db).map_err(failed)?;
        let (application, format) =
            (number("application_id").map_err(failed)?, number("user_version").map_err(failed)?);
        if application == 0 && format == 0 {
            create(&db, path)?;
        } else if application != APPLICATION {
            return Err(OpenError::Foreign { path: path.to_owned() });
        } else if format > FORMAT {
            return Err(OpenError::Newer { path: path.to_owned(), found: format, known: FORMAT });
        } else {
            bring_up(&db, format).map_err(failed)?;
        }
        let log = begin_log(&db, path).map_err(failed)?;
        Ok(Self {
            unsynced: false,
            log_failed: false,
            syncs: Times::new(&FAST),
            changes: db.total_changes(),
            log,
            db,
        })
    }
}

impl Store {
    /// Writes all of it to a file that is not there yet. From then on nothing is done by the file's name, which may be another's.
    pub(crate) fn copy(&self, to: &Path) -> Result<()> {
        self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        make_private(to)?;
        let name = to.to_str().ok_or_else(|| std::io::Error::other("its name is no UTF-8"))?;
        self.db.execute("VACUUM INTO ?1", [name])?;
        Ok(())
    }
}

/// Arguments may be secret: a new file is for this user alone, and so are the files that SQLite puts beside it.
fn make_private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
}

fn prepare(db: &Connection) -> Result<()> {
    db.busy_timeout(LOCKED_LIMIT)?;
    db.set_prepared_statement_cache_capacity(64);
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| Ok(()))?;
    db.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
    db.pragma_update(None, "cache_size", -CACHE_KIB)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}

/// Has the log and its name in the directory reach the disk: SQLite does so when it syncs its first transaction. From then on it syncs
/// only when it moves the log's contents to the file.
fn begin_log(db: &Connection, path: &Path) -> Result<File> {
    db.pragma_update(None, "synchronous", "FULL")?;
    db.execute("INSERT INTO mark VALUES (1, 1) ON CONFLICT DO UPDATE SET value = value + 1", [])?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Ok(File::open(log)?)
}

/// Makes the tables, all or none: a process may be killed here as well.
fn create(db: &Connection, path: &Path) -> std::result::Result<(), OpenError> {
    let failed = |error: rusqlite::Error| OpenError::File { path: path.to_owned(), source: error.into() };
    let tables: i64 =
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    if tables > 0 {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let marks = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT};");
    db.execute_batch(&format!("BEGIN IMMEDIATE; {CREATE} {marks} COMMIT")).map_err(failed)
}

/// Makes a file of an earlier format one of this one, or leaves it as it is: a process may be killed here as well.
fn bring_up(db: &Connection, format: i64) -> Result<()> {
    let done = usize::try_from(format - 1).unwrap_or_default();
    let steps = STEPS.get(done..).unwrap_or_default();
    if steps.is_empty() {
        return Ok(());
    }
    let steps = steps.concat();
    let step = format!("BEGIN IMMEDIATE; {steps} PRAGMA user_version = {FORMAT}; COMMIT");
    db.execute_batch(&step).inspect_err(|_| drop(db.execute_batch("ROLLBACK")))?;
    Ok(())
}
