//! The picture, made for 80×24; a larger terminal shows more workers and longer paths.

use super::{
    companions, queues,
    reading::{Reading, Worker, pace, percentile, rate},
    state::{Order, State},
    words::{bytes, count, time},
};
use crate::print::number;
use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Cell, Paragraph, Row, Sparkline, Table},
};

/// From this time on a worker that makes no pause is shown as blocked.
const BLOCKED: f64 = 0.2;

pub(super) const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
pub(super) const DIM: Style = Style::new().add_modifier(Modifier::DIM);
pub(super) const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const GOOD: Style = Style::new().fg(Color::Green);
pub(super) const WARN: Style = Style::new().fg(Color::Yellow);

pub(crate) fn draw(frame: &mut Frame<'_>, state: &State) {
    let queues = state.now().map_or(0, queues::height);
    let beside = state.now().map_or(0, companions::height);
    let [head, rates, chart, table, tasks, programs, keys] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(2),
        Constraint::Length(4),
        Constraint::Min(3),
        Constraint::Length(queues),
        Constraint::Length(beside),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    match state.now() {
        Some(now) => {
            frame.render_widget(Paragraph::new(summary(now)), head);
            frame.render_widget(Paragraph::new(traffic(state.before().unwrap_or(now), now)), rates);
            load(frame, state, chart);
            workers(frame, state, now, table);
            queues::draw(frame, state.before().unwrap_or(now), now, tasks);
            companions::draw(frame, state.before().unwrap_or(now), now, programs);
        }
        None => frame.render_widget(Paragraph::new("waiting for the server …"), head),
    }
    frame.render_widget(footer(state), keys);
}

fn summary(now: &Reading) -> Vec<Line<'_>> {
    let server = &now.server;
    let style = if server.state == "serving" { GOOD } else { WARN };
    let first = Line::from(vec![
        Span::styled(format!("hostler {} ", server.version), BOLD),
        Span::styled(server.state.clone(), style),
        Span::raw(format!(
            "  pid {}  generation {}  up {}  {}",
            server.pid,
            server.generation,
            time(server.uptime_seconds),
            server.listeners.join(" ")
        )),
    ]);
    let serving = format!("workers {}/{}", server.workers_serving, server.workers_wanted);
    let style = if server.workers_serving < server.workers_wanted { WARN } else { Style::new() };
    let mut second = vec![
        Span::styled(serving, style),
        Span::raw(format!(
            "  in flight {}  connections {}  websockets {}",
            now.traffic.in_flight, now.traffic.connections, now.traffic.websockets
        )),
    ];
    let memory: u64 = now
        .workers
        .iter()
        .chain(&now.task_workers)
        .filter_map(|worker| worker.memory_bytes)
        .chain(server.memory_bytes)
        .sum();
    if memory > 0 {
        second.push(Span::raw(format!("  memory {}", bytes(memory))));
    }
    if let Some(why) = &server.not_ready_because {
        second.push(Span::styled(format!("  not ready: {why}"), WARN));
    }
    vec![first, Line::from(second)]
}

fn traffic<'a>(before: &Reading, now: &Reading) -> Vec<Line<'a>> {
    let of_class = |class: &'static str| {
        rate(before, now, |traffic| traffic.requests_by_status.get(class).copied().unwrap_or(0))
    };
    let failed = of_class("5xx");
    let first = Line::from(vec![
        Span::styled(format!("requests {}/s", count(rate(before, now, |traffic| traffic.requests))), BOLD),
        Span::styled(format!("  5xx {}/s", count(failed)), if failed > 0.0 { BAD } else { Style::new() }),
        Span::raw(format!(
            "  4xx {}/s  sent {}B/s  total {}",
            count(of_class("4xx")),
            count(rate(before, now, |traffic| traffic.bytes_written)),
            now.traffic.requests
        )),
        Span::styled(
            if now.traffic.requests_lost > 0 {
                format!("  lost {}", now.traffic.requests_lost)
            } else {
                String::new()
            },
            BAD,
        ),
    ]);
    let shown = |what: Option<f64>| what.map_or_else(|| "-".into(), time);
    let latency = |part| shown(percentile(&before.traffic.latency, &now.traffic.latency, part));
    let queue = |part| shown(percentile(&before.traffic.queue, &now.traffic.queue, part));
    let second = Line::from(format!(
        "latency p50 {}  p90 {}  p99 {}   queue p50 {}  p99 {}",
        latency(0.5),
        latency(0.9),
        latency(0.99),
        queue(0.5),
        queue(0.99)
    ));
    vec![first, second]
}

fn load(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let [title, chart] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    let (history, most) = state.history(usize::from(area.width));
    let label = format!("requests/s, a column for each second, up to {}", count(most));
    frame.render_widget(Paragraph::new(label).style(DIM), title);
    frame.render_widget(Sparkline::default().data(history).style(Style::new().fg(Color::Cyan)), chart);
}

fn workers(frame: &mut Frame<'_>, state: &State, now: &Reading, area: Rect) {
    let before = state.before().unwrap_or(now);
    let (http, tasks) = (now.workers.iter(), now.task_workers.iter());
    let mut all: Vec<(&Worker, bool, f64, Option<f64>)> = http
        .map(|worker| (worker, false))
        .chain(tasks.map(|worker| (worker, true)))
        .map(|(worker, is_task)| {
            let (requests, cpu) = pace(before, now, worker);
            (worker, is_task, requests, cpu)
        })
        .collect();
    let most_first = |a: f64, b: f64| b.total_cmp(&a);
    match state.order() {
        Order::Slot => {}
        Order::Cpu => all.sort_by(|a, b| most_first(a.3.unwrap_or(0.0), b.3.unwrap_or(0.0))),
        Order::Memory => all.sort_by_key(|(worker, ..)| std::cmp::Reverse(worker.memory_bytes)),
        Order::Requests => all.sort_by(|a, b| most_first(a.2, b.2)),
    }
    let rows = all
        .into_iter()
        .skip(state.scrolled())
        .map(|(worker, is_task, requests, cpu)| row((worker, is_task), requests, cpu));
    let widths = [3, 8, 8, 4, 7, 6, 6, 5, 4, 5].map(Constraint::Length);
    let widths = widths.into_iter().chain([Constraint::Min(10)]);
    let head = ["#", "pid", "state", "gen", "age", "req/s", "flight", "conns", "cpu%", "mem", "doing"];
    let head = head.iter().zip(0..).map(|(name, column)| cell((*name).to_owned(), column));
    frame.render_widget(Table::new(rows, widths).header(Row::new(head).style(BOLD)), area);
}

/// Numbers are aligned to the right, except the process's.
fn cell<'a>(text: String, column: usize) -> Cell<'a> {
    let alignment = if matches!(column, 0 | 3..=9) { Alignment::Right } else { Alignment::Left };
    Cell::from(Line::from(text).alignment(alignment))
}

fn row((worker, is_task): (&Worker, bool), requests: f64, cpu: Option<f64>) -> Row<'_> {
    let style = match worker.state.as_str() {
        "stuck" | "killed" => BAD,
        "serving" if is_blocked(worker) => WARN,
        "serving" => Style::new(),
        _ => DIM,
    };
    let cells = [
        number(worker, is_task),
        worker.pid.map_or_else(|| "-".into(), |pid| pid.to_string()),
        if is_blocked(worker) { "blocked".into() } else { worker.state.clone() },
        worker.generation.to_string(),
        time(worker.age_seconds),
        if is_task { "-".into() } else { count(requests) },
        worker.in_flight.to_string(),
        if is_task { "-".into() } else { worker.connections.to_string() },
        cpu.map_or_else(|| "-".into(), |cpu| format!("{cpu:.0}")),
        worker.memory_bytes.map_or_else(|| "-".into(), bytes),
        doing(worker),
    ];
    Row::new(cells.into_iter().zip(0..).map(|(text, column)| cell(text, column))).style(style)
}

fn is_blocked(worker: &Worker) -> bool {
    worker.state == "serving" && worker.blocked_seconds >= BLOCKED
}

/// What it does, in a few words: why it goes, its oldest request, and for how long its loop is blocked.
pub(crate) fn doing(worker: &Worker) -> String {
    let leaving = worker.leaving.as_ref().map(|why| format!("leaves: {why}"));
    let blocked = is_blocked(worker).then(|| format!("blocked {}", time(worker.blocked_seconds)));
    let oldest = worker.handling.first().map(|what| {
        let age = time(what.age_seconds);
        match what.kind.as_str() {
            "request" => format!("{} {} {age}", what.method, what.path),
            "task" => format!("{} {age}", what.path),
            kind => format!("{kind} {} {} {age}", what.method, what.path),
        }
    });
    [leaving, oldest, blocked].into_iter().flatten().collect::<Vec<_>>().join("  ")
}

fn footer(state: &State) -> Paragraph<'_> {
    if let Some(lost) = state.lost() {
        return Paragraph::new(format!("{lost}   q quit")).style(BAD);
    }
    let order = state.order().name();
    let paused = if state.is_paused() { "  PAUSED" } else { "" };
    Paragraph::new(format!("q quit   s sort: {order}   p pause   ↑↓ scroll{paused}")).style(DIM)
}
