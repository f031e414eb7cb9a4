//! docs/COMING_FROM.md, from the tables.

use crate::{Becomes, Peer, Row};
use std::fmt::Write as _;

const HEAD: &str = "# Coming from another server

Printed by `hostler --print-peers`; do not edit.

hostler reads the command lines and environments of other servers as those do:

```sh
hostler as uvicorn main:app --host 0.0.0.0 --port 80 --workers 4    # in front of what stands there, `hostler as`
hostler link ~/.local/bin                                           # or links: `uvicorn main:app` is then served by hostler
hostler as uvicorn main:app --workers 4 --explain                   # what becomes of each option; starts nothing
```

`hostler migrate gunicorn.conf.py` (or `hypercorn.toml`, `uwsgi.ini`) prints a TOML file of hostler's that means the same, with comments for what
is not needed or remains to be done.

`hostler link` replaces no file that is not its own. `--explain` also prints hostler's own command line that means the same.
What has no effect here, or another meaning, is listed in the log, with a warning if something does not happen that happened
there; what hostler cannot do stops the start, and the message says what to do instead. Errors name the option or variable as it was written. Reloads (SIGHUP) and upgrades (SIGUSR2) read
everything again in the same way.

Where values come from, the first first: the server's command line, hostler's own variables (`HOSTLER_STALL_TIMEOUT=60`), the
server's variables, hostler's file (`HOSTLER_CONFIG`), what that server does by itself (its access log, its trust in proxies),
hostler's defaults. Options that only hostler has are given as variables.

hostler's own defaults hold where nobody depends on the other server's: connections may be idle for 75 s, requests have 30 s to finish
at a stop, and a worker whose event loop is blocked for 30 s is replaced (`HOSTLER_STALL_TIMEOUT=0` turns that off).
";

/// The page.
#[must_use]
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for peer in Peer::ALL.into_iter().chain([Peer::Uwsgi]) {
        let _ =
            write!(page, "\n## {}\n\n{}\n\n| option | becomes |\n|---|---|\n", peer.title(), peer.about());
        let rows = peer.rows().iter().filter(|row| !matches!(row.becomes, Becomes::Prints(_)));
        for row in rows {
            let _ = writeln!(page, "| {} | {} |", names(row), cell(&row.becomes.described()));
        }
    }
    page
}

fn names(row: &Row) -> String {
    let names = row.names.iter().copied().chain(row.negation);
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('*', "\\*").replace("__", "\\_\\_")
}
