//! Finds a shorter plan that fails as well: clients and events are left out as long as it still does.

use crate::{
    Environment,
    plan::Plan,
    round::{Failure, Outcome, play},
};
use std::time::{Duration, Instant};

/// What a failed plan was shortened to.
pub(crate) struct Shrunk {
    pub(crate) plan: Plan,
    pub(crate) outcome: Outcome,
    /// How often the shortest plan failed of how many times.
    pub(crate) runs: usize,
}

/// Shortens a plan that failed, within so many runs and this time.
pub(crate) fn shrink(
    plan: &Plan,
    outcome: Outcome,
    environment: &Environment,
    mut runs: usize,
    time: Duration,
) -> Shrunk {
    let end = Instant::now() + time;
    // Another failure would be another story.
    let kinds: Vec<String> = outcome.failures.iter().map(Failure::kind).collect();
    let mut best = Shrunk { plan: plan.clone(), outcome, runs: 0 };
    let mut queue = first_ideas(&best);
    while let Some(idea) = queue.pop() {
        if runs == 0 || Instant::now() > end {
            break;
        }
        if idea.clients.len() + idea.events.len() >= best.plan.clients.len() + best.plan.events.len() {
            continue;
        }
        runs -= 1;
        best.runs += 1;
        if let Ok(outcome) = play(&idea, environment)
            && outcome.failures.iter().any(|failure| kinds.contains(&failure.kind()))
        {
            best.plan = idea;
            best.outcome = outcome;
            queue = halves(&best.plan);
        }
    }
    best
}

/// The last is tried first.
fn first_ideas(failed: &Shrunk) -> Vec<Plan> {
    let plan = &failed.plan;
    let seers: Vec<usize> = failed.outcome.failures.iter().filter_map(|failure| failure.client).collect();
    let mut ideas = halves(plan);
    if !seers.is_empty() {
        let mut seen = plan.clone();
        seen.clients.retain(|client| seers.contains(&client.id));
        ideas.push(seen.clone());
        seen.events.clear();
        ideas.push(seen);
    }
    ideas
}

/// The plan without each half of its events, and of its clients; without each event when there are few.
fn halves(plan: &Plan) -> Vec<Plan> {
    let mut ideas = Vec::new();
    let (events, clients) = (plan.events.len(), plan.clients.len());
    if events > 0 {
        let part = if events > 6 { events.div_ceil(2) } else { 1 };
        for from in (0..events).step_by(part) {
            let mut less = plan.clone();
            less.events.drain(from..events.min(from + part));
            ideas.push(less);
        }
    }
    if clients > 0 {
        let part = if clients > 4 { clients.div_ceil(2) } else { 1 };
        for from in (0..clients).step_by(part) {
            let mut less = plan.clone();
            less.clients.drain(from..clients.min(from + part));
            ideas.push(less);
        }
    }
    ideas
}
