//! Companions for people.

use crate::top::{
    reading::{Companion, LastExit},
    words::{bytes, time},
};

/// What it is called: with its number if there are several of its name.
pub(crate) fn name(companion: &Companion, all: &[Companion]) -> String {
    let several = all.iter().filter(|other| other.name == companion.name).nth(1).is_some();
    if several { format!("{}-{}", companion.name, companion.replica) } else { companion.name.clone() }
}

/// Its state, as words.
pub(crate) fn state(companion: &Companion) -> String {
    companion.state.replace('-', " ")
}

/// Why it is not as it is to be, and how it ended last.
pub(crate) fn news(companion: &Companion) -> Vec<String> {
    let mut news = Vec::new();
    if let Some(seconds) = companion.next_attempt_seconds {
        news.push(format!("next attempt in {}", time(seconds)));
    }
    if companion.failures > 1 {
        news.push(format!("failed {} times in a row", companion.failures));
    }
    if let Some(found) = &companion.not_ready_because {
        news.push(found.clone());
    }
    if let Some(LastExit { status, seconds_ago }) = &companion.last_exit {
        news.push(format!("last {status} {} ago", time(*seconds_ago)));
    }
    news
}

/// A line for each.
pub(crate) fn lines(all: &[Companion]) -> impl Iterator<Item = String> {
    all.iter().map(|it| {
        let mut parts = vec![format!("{}: {}", name(it, all), state(it))];
        parts.extend(it.pid.map(|pid| format!("process {pid}")));
        parts.extend(it.age_seconds.map(|age| format!("up {}", time(age))));
        parts.extend(it.memory_bytes.map(bytes));
        parts.extend(match it.restarts {
            0 => None,
            1 => Some("restarted once".into()),
            more => Some(format!("restarted {more} times")),
        });
        parts.extend(news(it));
        parts.join(", ")
    })
}

#[cfg(test)]
mod tests {
    use super::lines;
    use serde_json::json;

    #[test]
    fn a_line_has_what_an_operator_asks_for() {
        let all = json!([
            {"name": "cache", "replica": 1, "state": "ready", "pid": 7, "age_seconds": 61.0, "memory_bytes": 3 << 20},
            {"name": "beat", "replica": 1, "state": "ready", "pid": 8, "restarts": 1, "last_exit": {"status": "killed by SIGKILL", "seconds_ago": 3.0}},
            {"name": "beat", "replica": 2, "state": "backing-off", "pid": null, "restarts": 4, "failures": 5, "next_attempt_seconds": 2.5,
             "last_exit": {"status": "exited with code 3", "seconds_ago": 1.0}},
        ]);
        let all: Vec<_> = serde_json::from_value(all).unwrap();
        let lines: Vec<String> = lines(&all).collect();
        assert_eq!(
            lines,
            [
                "cache: ready, process 7, up 1m1s, 3M",
                "beat-1: ready, process 8, restarted once, last killed by SIGKILL 3.0s ago",
                "beat-2: backing off, restarted 4 times, next attempt in 2.5s, failed 5 times in a row, last exited with code 3 1.0s ago",
            ]
        );
    }
}
