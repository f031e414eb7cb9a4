//! Health, as orchestrators ask for it. No worker is asked: the answers come from memory, and are the same while all of them
//! are blocked.
//!
//! | path | 200 | 503 |
//! |---|---|---|
//! | `/livez` | the master runs | it is stopped (SIGSTOP), which only a restart or SIGCONT mends |
//! | `/readyz` | enough workers serve | the server starts, drains or stops, or too few workers serve |
//! | `/startupz` | all workers have served at some time | they have not yet |

use crate::respond::Observer;
use hostler_sys::proc;

/// What a probe says: whether it is well, and why not.
pub(crate) struct Health {
    pub(crate) well: bool,
    pub(crate) text: String,
}

impl Health {
    fn of(trouble: Option<String>) -> Self {
        match trouble {
            None => Self { well: true, text: "ok\n".into() },
            Some(why) => Self { well: false, text: format!("{why}\n") },
        }
    }
}

pub(crate) fn live(observer: &Observer) -> Health {
    let pid = observer.board.master.view().pid;
    let stopped = proc::state(pid) == "stopped";
    Health::of(stopped.then(|| format!("the master (process {pid}) is stopped")))
}

pub(crate) fn ready(observer: &Observer) -> Health {
    Health::of(hostler_status::read(&observer.board).unready(observer.facts.ready_workers))
}

pub(crate) fn started(observer: &Observer) -> Health {
    let master = observer.board.master.view();
    let trouble = || format!("starting: {} of {} workers serve", master.serving, master.wanted);
    Health::of((!master.has_started).then(trouble))
}
