//! `hostler ctl tasks`: asks the keeper of a task queue, that of a server or one that is started for it.
//!
//! Files: `find` which keeper, `keeper` the conversation, `print` answers for people, `json` for programs.

mod find;
mod json;
mod keeper;
mod print;

pub(crate) use find::reach_now;
pub(crate) use keeper::Keeper;

use hostler_config::{TasksAsk, TasksCtl, TasksFilter};
use hostler_tasks::{Answer, Ask, Filter, State, TaskId};
use hostler_wire::{ExitStatus, Failure, TaskStats};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long a keeper may take for an answer, unless it is told otherwise. What changes many tasks has no limit.
const LIMIT: Duration = Duration::from_secs(30);

/// Asks; what is to be printed. `start` starts a keeper for a file that no server keeps.
///
/// # Errors
/// When there is no queue to ask, the answer is no, or is not known.
pub fn ask(
    ctl: &TasksCtl,
    variable: &dyn Fn(&str) -> Option<PathBuf>,
    start: &dyn Fn(&Path) -> Result<(), Failure>,
) -> Result<String, Failure> {
    // Before anything is started for it.
    let asked = Asked::new(&ctl.ask)?;
    let limit = match ctl.ask {
        TasksAsk::Retry { .. } | TasksAsk::Purge { .. } => ctl.timeout,
        _ => Some(ctl.timeout.unwrap_or(LIMIT)),
    };
    let mut keeper = find::keeper(ctl, variable, start)?;
    keeper.answer_within(limit.map(|limit| Instant::now() + limit));
    let text = asked.done(&mut keeper, ctl.json)?;
    Ok(crate::print::harmless(&text))
}

/// A question whose words are understood.
enum Asked {
    Queues,
    List { filter: Filter, newest: bool, after: Option<TaskId>, limit: u32 },
    Show(TaskId),
    Retry(Vec<TaskId>, Filter),
    Cancel(Vec<TaskId>),
    Purge(Filter, bool),
}

impl Asked {
    fn new(ask: &TasksAsk) -> Result<Self, Failure> {
        Ok(match ask {
            TasksAsk::Queues => Self::Queues,
            TasksAsk::List { filter, oldest, limit, after } => Self::List {
                filter: meant(filter),
                newest: !oldest,
                after: after.as_deref().map(id).transpose()?,
                limit: *limit,
            },
            TasksAsk::Show { id: text } => Self::Show(id(text)?),
            TasksAsk::Retry { ids: texts, filter } => Self::Retry(ids(texts)?, meant(filter)),
            TasksAsk::Cancel { ids: texts } => Self::Cancel(ids(texts)?),
            TasksAsk::Purge { filter, confirmed } => Self::Purge(meant(filter), *confirmed),
        })
    }

    fn done(self, keeper: &mut Keeper, as_json: bool) -> Result<String, Failure> {
        match self {
            Self::Queues => {
                let stats = keeper.stats()?;
                Ok(if as_json { json::line(&json::queues(&stats)) } else { print::queues(&stats) })
            }
            Self::List { filter, newest, after, limit } => {
                let answer = keeper.ask(|n| Ask::List { n, filter, newest, after, limit })?.message;
                let Answer::Tasks { tasks, more, .. } = answer else { return Err(keeper::odd()) };
                Ok(if as_json { json::line(&json::tasks(&tasks, more)) } else { print::tasks(&tasks, more) })
            }
            Self::Show(id) => {
                let frame = keeper.ask(|n| Ask::Show { n, id })?;
                let Answer::Details { task, details, .. } = frame.message else { return Err(keeper::odd()) };
                let shown = json::task_with_details(&task, &details, &frame.body);
                Ok(if as_json { json::line(&shown) } else { print::task(&task, &details, &shown) })
            }
            Self::Retry(ids, filter) => {
                changed(keeper, as_json, "put back into the queue", |n| Ask::Retry { n, ids, filter })
            }
            Self::Cancel(ids) => cancel(keeper, &ids, as_json),
            Self::Purge(filter, true) => {
                changed(keeper, as_json, "cancelled or removed", |n| Ask::Purge { n, filter })
            }
            Self::Purge(filter, false) => Err(not_confirmed(&keeper.stats()?, &filter)),
        }
    }
}

/// States by their words, and by those that stand for several.
fn meant(TasksFilter { states, queue, name }: &TasksFilter) -> Filter {
    let states = states.iter().flat_map(|word| match word.as_str() {
        "waiting" => vec![State::Ready, State::Unknown],
        "dead" => vec![State::Failed],
        "done" => vec![State::Succeeded],
        word => State::ALL.into_iter().filter(|state| state.name() == word).collect(),
    });
    Filter { states: states.collect(), queue: queue.clone(), name: name.clone() }
}

fn id(text: &str) -> Result<TaskId, Failure> {
    let refused = |error: hostler_tasks::NoId| {
        Failure::new(ExitStatus::Usage, format!("`{text}` is no id of a task")).because(error.to_string())
    };
    text.parse().map_err(refused)
}

fn ids(texts: &[String]) -> Result<Vec<TaskId>, Failure> {
    texts.iter().map(|text| id(text)).collect()
}

fn changed(
    keeper: &mut Keeper,
    as_json: bool,
    what: &str,
    ask: impl FnOnce(u64) -> Ask,
) -> Result<String, Failure> {
    let Answer::Changed { count, .. } = keeper.ask(ask)?.message else { return Err(keeper::odd()) };
    let tasks = if count == 1 { "1 task was".into() } else { format!("{count} tasks were") };
    Ok(if as_json { json::line(&json!({ "changed": count })) } else { format!("{tasks} {what}\n") })
}

fn cancel(keeper: &mut Keeper, ids: &[TaskId], as_json: bool) -> Result<String, Failure> {
    let mut all = Vec::new();
    for id in ids {
        let Answer::Cancelled { state, .. } = keeper.ask(|n| Ask::Cancel { n, id: *id })?.message else {
            return Err(keeper::odd());
        };
        all.push((*id, state));
    }
    Ok(match as_json {
        true => {
            let all = all.iter().map(|(id, state)| json!({"id": id, "state": state}));
            json::line(&json!({ "tasks": all.collect::<Vec<_>>() }))
        }
        false => all.iter().map(|(id, state)| print::cancelled(*id, *state)).collect(),
    })
}

fn not_confirmed(stats: &TaskStats, filter: &Filter) -> Failure {
    let queues = stats.queues.iter().filter(|(queue, _)| filter.queue.as_ref().is_none_or(|it| it == *queue));
    let count: u64 =
        queues.flat_map(|(_, it)| filter.states.iter().filter_map(|state| it.tasks.get(state.name()))).sum();
    let states: Vec<&str> = filter.states.iter().map(|state| state.name()).collect();
    let which = if filter.name.is_some() { "up to " } else { "" };
    Failure::new(ExitStatus::Usage, "nothing was purged: it was not confirmed")
        .because(format!("{which}{count} tasks are in these states: {}", states.join(", ")))
        .hint("add --yes to cancel those of them that wait, and remove those that are finished")
}
