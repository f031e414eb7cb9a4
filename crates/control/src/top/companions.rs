//! The companions: a line for each.

use super::{
    draw::{BAD, BOLD, DIM, WARN},
    reading::{Companion, Reading},
    words::{bytes, time},
};
use crate::companions::{name, news, state};
use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Rect},
    style::Style,
    text::Line,
    widgets::{Cell, Row, Table},
};

/// How many companions are shown; those that are not as they are to be come first.
const MOST: usize = 5;

/// How many lines it needs.
pub(super) fn height(now: &Reading) -> u16 {
    match now.companions.len() {
        0 => 0,
        some => u16::try_from(some.min(MOST)).unwrap_or(0) + 1,
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, before: &Reading, now: &Reading, area: Rect) {
    let head = ["companion", "pid", "state", "age", "restarts", "cpu%", "mem", "last"];
    let widths = [8, 11, 7, 8, 4, 5].map(Constraint::Length);
    let widths = [Constraint::Length(16)].into_iter().chain(widths).chain([Constraint::Min(10)]);
    let rows = lines(before, now).into_iter().map(|(cells, style)| row(cells).style(style));
    let head = row(head.map(str::to_owned)).style(BOLD);
    frame.render_widget(Table::new(rows, widths).header(head), area);
}

fn row<'a>(cells: [String; 8]) -> Row<'a> {
    let aligned = |column: usize| if (3..7).contains(&column) { Alignment::Right } else { Alignment::Left };
    let cells = cells.into_iter().enumerate();
    Row::new(cells.map(|(column, text)| Cell::from(Line::from(text).alignment(aligned(column)))))
}

fn lines(before: &Reading, now: &Reading) -> Vec<([String; 8], Style)> {
    let rank = |it: &Companion| match it.state.as_str() {
        "failed" | "backing-off" => 0,
        "ready" | "finished" => 2,
        _ => 1,
    };
    let mut all: Vec<&Companion> = now.companions.iter().collect();
    all.sort_by_key(|it| rank(it));
    let line = |it: &Companion| {
        let cells = [
            name(it, &now.companions),
            it.pid.map_or_else(|| "-".into(), |pid| pid.to_string()),
            state(it),
            it.age_seconds.map_or_else(|| "-".into(), time),
            it.restarts.to_string(),
            cpu(before, now, it).map_or_else(|| "-".into(), |cpu| format!("{cpu:.0}")),
            it.memory_bytes.map_or_else(|| "-".into(), bytes),
            news(it).join(", "),
        ];
        let style = match (it.state.as_str(), rank(it)) {
            (_, 0) => BAD,
            ("starting", _) => WARN,
            ("ready", _) => Style::new(),
            _ => DIM,
        };
        (cells, style)
    };
    all.into_iter().take(MOST).map(line).collect()
}

/// How busy its processors were, in percent.
fn cpu(before: &Reading, now: &Reading, it: &Companion) -> Option<f64> {
    let seconds = now.time - before.time;
    let same = |old: &&Companion| old.pid == it.pid && old.name == it.name && old.replica == it.replica;
    let old = before.companions.iter().find(same).filter(|_| seconds > 0.0)?;
    Some((it.cpu_seconds? - old.cpu_seconds?).max(0.0) / seconds * 100.0)
}

#[cfg(test)]
mod tests {
    use super::{BAD, height, lines};
    use crate::top::reading::Reading;
    use serde_json::json;

    #[test]
    fn what_has_failed_comes_first() {
        let reading = |time: f64| -> Reading {
            let companions = json!([
                {"name": "cache", "replica": 1, "state": "ready", "pid": 7, "age_seconds": 5.0, "memory_bytes": 1 << 20, "cpu_seconds": time / 4.0},
                {"name": "beat", "replica": 1, "state": "backing-off", "restarts": 4, "next_attempt_seconds": 2.0},
            ]);
            serde_json::from_value(json!({"time": time, "companions": companions})).unwrap()
        };
        let (before, now) = (reading(1.0), reading(3.0));
        let lines = lines(&before, &now);
        assert_eq!((lines[0].0[0].as_str(), lines[0].1), ("beat", BAD));
        assert_eq!(lines[1].0, ["cache", "7", "ready", "5.0s", "0", "25", "1M", ""].map(str::to_owned));
        assert_eq!((height(&now), height(&Reading::default())), (3, 0));
    }
}
