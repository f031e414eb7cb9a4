//! Says what came of a round.

use crate::{
    plan::{Does, Plan, Step, Stream, Streams, Talk},
    round::Outcome,
    shrink::Shrunk,
};
use std::fmt::Write;

/// One line for a round.
pub(crate) fn line(plan: &Plan, outcome: &Outcome) -> String {
    let excused: Vec<String> =
        outcome.excused.iter().map(|(cause, count)| format!("{cause:?} {count}")).collect();
    format!(
        "seed {} {}: {} responses, {} events, {:.1} s; excused: {}; {}",
        plan.seed,
        plan.setup,
        outcome.responses,
        plan.events.len(),
        outcome.millis as f64 / 1000.0,
        if excused.is_empty() { "none".into() } else { excused.join(", ") },
        verdict(outcome),
    )
}

/// Whether it was good.
pub(crate) fn verdict(outcome: &Outcome) -> String {
    match outcome.failures.len() {
        0 => "good".into(),
        count => format!("{count} FAILURES"),
    }
}

/// The failures of a round that has no plan.
pub(crate) fn failures(outcome: &Outcome) -> String {
    let mut text = String::from("\n");
    tell_failures(&mut text, outcome);
    let _ = writeln!(text, "  the log's end:\n{}", outcome.log);
    text
}

/// Everything about a failure.
pub(crate) fn failure(first: &Outcome, shrunk: &Shrunk) -> String {
    let (plan, outcome) = (&shrunk.plan, &shrunk.outcome);
    let mut text = format!("\nseed {} ({}) failed\n", plan.seed, plan.setup);
    tell_failures(&mut text, first);
    let _ = writeln!(
        text,
        "the shortest plan that failed in {} further runs has {} clients and {} events:",
        shrunk.runs,
        plan.clients.len(),
        plan.events.len()
    );
    tell_failures(&mut text, outcome);
    for event in &plan.events {
        let _ = writeln!(text, "  {:>6} ms  {:?}", event.at, event.act);
    }
    let seers: Vec<usize> = outcome.failures.iter().filter_map(|failure| failure.client).collect();
    for client in plan.clients.iter().filter(|client| plan.clients.len() <= 6 || seers.contains(&client.id)) {
        let _ = writeln!(
            text,
            "  {:>6} ms  client {}: {} over {:?}",
            client.begins, client.id, client.manner, client.way
        );
        text.push_str(&describe(&client.does));
    }
    let _ = writeln!(text, "  what was done:");
    for (at, what) in &outcome.history.story {
        let _ = writeln!(text, "  {at:>6} ms  {what}");
    }
    let _ = writeln!(text, "  the log's end:\n{}", outcome.log);
    let _ = writeln!(
        text,
        "again: cargo xtask torture --interface {} --seed {} --seconds 1",
        plan.setup.interface.name(),
        plan.seed
    );
    text
}

fn tell_failures(text: &mut String, outcome: &Outcome) {
    for failure in outcome.failures.iter().take(12) {
        let whose = failure.client.map_or_else(String::new, |id| format!("client {id}: "));
        let _ = writeln!(text, "  ✗ {whose}{}", failure.what);
    }
}

fn describe(does: &Does) -> String {
    match does {
        Does::Talk(talk) => describe_talk(talk),
        Does::Streams(script) => describe_streams(script),
        Does::WebSocket(socket) => format!("             {socket:?}\n"),
        Does::Upgrade(script) => format!("             {script:?}\n"),
        Does::Blocker(script) => format!("             {script:?}\n"),
        Does::Storm(count) => format!("             {count} connections\n"),
    }
}

fn describe_streams(script: &Streams) -> String {
    let Streams { at_once, rest, window, leaves, .. } = script;
    let mut text =
        format!("             {at_once} at once, rest {rest} ms, window {window}, leaves: {leaves}\n");
    for Stream { ask, manner } in script.streams.iter().take(12) {
        let _ = writeln!(text, "             {} {} {manner:?}", ask.verb(), ask.target());
    }
    text
}

fn describe_talk(talk: &Talk) -> String {
    let mut text = format!("             reads: {:?}\n", talk.reader);
    for ask in talk.asks.iter().take(4) {
        let head = String::from_utf8_lossy(&ask.head()).replace("\r\n", " | ");
        let _ = writeln!(text, "             {}", &head[..head.len().min(200)]);
    }
    if talk.asks.len() > 4 {
        let _ = writeln!(text, "             … {} requests", talk.asks.len());
    }
    let steps: Vec<&Step> = talk.steps.iter().take(12).collect();
    let _ = writeln!(text, "             {steps:?}{}", if talk.steps.len() > 12 { " …" } else { "" });
    text
}
