//! The file's format.

/// Says that the file is ours: "hstq" (`PRAGMA application_id`).
pub(super) const APPLICATION: i64 = 0x6873_7471;
/// The format that this version writes (`PRAGMA user_version`).
pub(super) const FORMAT: i64 = 2;

/// Format 2. States are the numbers of [`crate::State`], times milliseconds since 1970.
///
/// Arguments and results have tables of their own, so that a task that changes its state does not move them.
pub(super) const CREATE: &str = "
CREATE TABLE task (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    queue TEXT NOT NULL,
    state INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    due INTEGER NOT NULL,
    expires INTEGER,
    key TEXT,
    has_slot INTEGER NOT NULL DEFAULT 0,
    options TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    losses INTEGER NOT NULL DEFAULT 0,
    owner INTEGER,
    cancelled INTEGER NOT NULL DEFAULT 0,
    enqueued INTEGER NOT NULL,
    started INTEGER,
    finished INTEGER,
    keep_until INTEGER,
    progress REAL,
    progress_text TEXT,
    error TEXT
) STRICT;
CREATE INDEX task_ready ON task (queue, priority DESC, seq) WHERE state = 0;
CREATE INDEX task_scheduled ON task (due) WHERE state = 1;
CREATE INDEX task_unknown ON task (name) WHERE state = 2;
CREATE INDEX task_running ON task (owner) WHERE state = 3;
CREATE INDEX task_kept ON task (keep_until) WHERE state >= 4;
CREATE INDEX task_failed ON task (seq) WHERE state = 5;
CREATE UNIQUE INDEX task_key ON task (name, key) WHERE key IS NOT NULL AND state < 4;
CREATE INDEX task_expires ON task (expires) WHERE expires IS NOT NULL AND state < 3;
CREATE TABLE argument (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE result (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE cron (source TEXT NOT NULL, name TEXT NOT NULL, entry TEXT NOT NULL, next INTEGER, live INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (source, name)) STRICT;
CREATE TABLE total (event TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT;
CREATE TABLE mark (id INTEGER PRIMARY KEY, value INTEGER NOT NULL) STRICT;
";

/// What makes a file of a format one of the next: the first is for files of format 1.
pub(super) const STEPS: [&str; 1] = ["
ALTER TABLE task ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0;
CREATE INDEX task_expires ON task (expires) WHERE expires IS NOT NULL AND state < 3;
ALTER TABLE cron ADD COLUMN live INTEGER NOT NULL DEFAULT 1;
UPDATE cron SET next = (SELECT max(other.next) FROM cron AS other WHERE other.name = cron.name);
"];
