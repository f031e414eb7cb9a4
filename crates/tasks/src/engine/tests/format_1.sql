PRAGMA application_id = 0x68737471; PRAGMA user_version = 1;
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
CREATE TABLE argument (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE result (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE cron (source TEXT NOT NULL, name TEXT NOT NULL, entry TEXT NOT NULL, next INTEGER, PRIMARY KEY (source, name)) STRICT;
CREATE TABLE total (event TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT;
CREATE TABLE mark (id INTEGER PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT INTO task (seq, id, name, queue, state, priority, due, expires, options, enqueued) VALUES
    (1, x'00000000000000000000000000000001', 'add', 'default', 0, 0, 1690000000000, 1690000001000, '{}', 1690000000000);
INSERT INTO task (seq, id, name, queue, state, priority, due, options, attempts, owner, enqueued, started) VALUES
    (2, x'00000000000000000000000000000002', 'add', 'default', 3, 0, 1690000000000, '{}', 1, 77, 1690000000000, 1690000000000);
INSERT INTO argument VALUES (1, x'5b5d'), (2, x'5b5d');
INSERT INTO cron VALUES ('admin:app', 'tick', '{"name":"tick","expression":"* * * * *","zone":"UTC","task":"tick","queue":"default","priority":0,"options":{}}', 1690000000000), ('app:app', 'tick', '{"name":"tick","expression":"* * * * *","zone":"UTC","task":"tick","queue":"default","priority":0,"options":{}}', 1690000060000);
