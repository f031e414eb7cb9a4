//! The task queues: a line for each.

use super::{
    draw::{BAD, BOLD, DIM},
    reading::{Reading, per_second},
    words::{count, time},
};
use hostler_wire::TaskStats;
use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Rect},
    text::Line,
    widgets::{Cell, Paragraph, Row, Table},
};

/// How many queues are shown; those with most tasks.
const MOST: usize = 5;

/// How many lines it needs.
pub(super) fn height(now: &Reading) -> u16 {
    match (&now.tasks, &now.server.task_queue) {
        (Some(stats), _) => u16::try_from(stats.queues.len().min(MOST)).unwrap_or(0) + 1,
        (None, Some(_)) => 1,
        (None, None) => 0,
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, before: &Reading, now: &Reading, area: Rect) {
    let Some(stats) = &now.tasks else {
        if now.server.task_queue.is_some() {
            frame.render_widget(
                Paragraph::new("tasks: the keeper of the queue does not answer").style(BAD),
                area,
            );
        }
        return;
    };
    let head = ["queue", "ready", "later", "running", "failed", "waits", "start/s", "done/s", "fail/s"];
    let widths = [7; 8].map(Constraint::Length);
    let rows = lines(before, now, stats).into_iter().map(|(cells, fails)| {
        let style = if fails { BAD } else { DIM };
        Row::new(cells.into_iter().enumerate().map(|(column, text)| cell(text, column))).style(style)
    });
    let head = head.into_iter().enumerate().map(|(column, text)| cell(text.into(), column));
    let table = Table::new(rows, [Constraint::Min(12)].into_iter().chain(widths));
    frame.render_widget(table.header(Row::new(head).style(BOLD)), area);
}

fn cell<'a>(text: String, column: usize) -> Cell<'a> {
    let alignment = if column == 0 { Alignment::Left } else { Alignment::Right };
    Cell::from(Line::from(text).alignment(alignment))
}

/// What is in each line, and whether tasks of this queue have just failed.
fn lines(before: &Reading, now: &Reading, stats: &TaskStats) -> Vec<([String; 9], bool)> {
    let seconds = now.time - before.time;
    let of = |stats: Option<&TaskStats>, queue: &str, event: &str| -> u64 {
        let all = stats.into_iter().flat_map(|it| &it.tasks).filter(|it| it.queue == queue);
        all.filter_map(|it| it.events.get(event)).sum()
    };
    let mut queues: Vec<_> = stats.queues.iter().collect();
    queues.sort_by_key(|(_, it)| {
        let state = |name: &str| it.tasks.get(name).copied().unwrap_or(0);
        std::cmp::Reverse(state("ready") + state("running") + state("scheduled"))
    });
    let line = |queue: &str, it: &hostler_wire::QueueStats| {
        let state =
            |names: &[&str]| names.iter().filter_map(|name| it.tasks.get(*name)).sum::<u64>().to_string();
        // A keeper that is another one counts on where the one before had written it down.
        let rate = |event: &str| match seconds > 0.0 && before.tasks.is_some() {
            true => {
                let gained =
                    of(Some(stats), queue, event).saturating_sub(of(before.tasks.as_ref(), queue, event));
                per_second(gained, seconds)
            }
            false => 0.0,
        };
        let fails = rate("failed") > 0.0;
        let cells = [
            queue.to_owned(),
            state(&["ready", "unknown"]),
            state(&["scheduled"]),
            state(&["running"]),
            state(&["failed"]),
            it.oldest_wait.map_or_else(|| "-".into(), time),
            count(rate("started")),
            count(rate("succeeded")),
            count(rate("failed")),
        ];
        (cells, fails)
    };
    queues.into_iter().take(MOST).map(|(queue, it)| line(queue, it)).collect()
}

#[cfg(test)]
mod tests {
    use super::{height, lines};
    use crate::top::reading::Reading;
    use hostler_wire::TaskStats;
    use serde_json::json;

    fn reading(time: f64, started: u64) -> Reading {
        let stats = json!({
            "queues": {"mail": {"tasks": {"ready": 4, "unknown": 1, "failed": 2}, "oldest_wait": 2.5}, "rest": {}},
            "tasks": [{"queue": "mail", "name": "a", "events": {"started": started, "failed": started}},
                      {"queue": "mail", "name": "b", "events": {"started": 5}}],
        });
        let stats: TaskStats = serde_json::from_value(stats).unwrap();
        Reading { time, tasks: Some(stats), ..Reading::default() }
    }

    #[test]
    fn a_line_has_what_waits_and_how_fast_it_is_done() {
        let (before, now) = (reading(1.0, 10), reading(3.0, 50));
        assert_eq!(height(&now), 3);
        let lines = lines(&before, &now, now.tasks.as_ref().unwrap());
        let expected = ["mail", "5", "0", "0", "2", "2.5s", "20", "0", "20"].map(str::to_owned);
        assert_eq!((&lines[0], lines[1].0[0].as_str()), (&(expected, true), "rest"));
        assert_eq!(height(&Reading::default()), 0);
    }
}
