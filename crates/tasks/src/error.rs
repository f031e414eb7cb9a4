//! What goes wrong with the file.

use std::{io, path::PathBuf};

/// Why a queue cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file or its directory cannot be used.
    #[error("cannot open the task queue `{path}`")]
    File {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: StoreError,
    },
    /// A later version has written it.
    #[error("the task queue `{path}` has format {found}, and this version knows formats up to {known}")]
    Newer {
        /// Where.
        path: PathBuf,
        /// The file's format.
        found: i64,
        /// The latest that is known.
        known: i64,
    },
    /// Another program's database.
    #[error("`{path}` is an SQLite database of another program")]
    Foreign {
        /// Where.
        path: PathBuf,
    },
}

impl OpenError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "use the version that wrote it, or another file",
            Self::Foreign { .. } => "name a file of its own for the queue",
            Self::File { source: StoreError::Damaged(_), .. } => {
                "move the file away and restore it from a backup, or get out what can be read with `sqlite3 FILE .recover`"
            }
            Self::File { .. } => {
                "the file and its directory have to be writable for the user that the workers run as, on a local disk"
            }
        }
    }
}

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No space is left.
    #[error("the disk is full")]
    Full,
    /// Another program has locked the file.
    #[error("another program has locked the file")]
    Locked,
    /// The file is damaged.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// Anything else that SQLite says.
    #[error("{0}")]
    Sqlite(#[source] rusqlite::Error),
    /// The system's error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase};
        match error.sqlite_error_code() {
            Some(DiskFull) => Self::Full,
            Some(DatabaseBusy | DatabaseLocked) => Self::Locked,
            Some(DatabaseCorrupt | NotADatabase) => Self::Damaged(error.to_string()),
            _ => Self::Sqlite(error),
        }
    }
}
