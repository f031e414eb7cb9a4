//! The command line of `hostler ctl tasks`.

use crate::{ServerChoice, source::Source};
use clap::{Arg, ArgAction, ArgMatches, Command, builder::PossibleValuesParser, value_parser};
use hostler_wire::Failure;
use std::{path::PathBuf, time::Duration};

/// What a command line of `hostler ctl tasks` asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct TasksCtl {
    /// The server whose queue is meant.
    pub server: ServerChoice,
    /// The queue's file, if that was named.
    pub queue_file: Option<PathBuf>,
    /// What is asked.
    pub ask: TasksAsk,
    /// Print it as JSON.
    pub json: bool,
    /// How long to wait for it.
    pub timeout: Option<Duration>,
}

/// Which tasks are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TasksFilter {
    /// In these states, of [`TASK_STATES`].
    pub states: Vec<String>,
    /// In this queue.
    pub queue: Option<String>,
    /// With this name.
    pub name: Option<String>,
}

/// A question about tasks, or an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TasksAsk {
    /// The queues in numbers.
    Queues,
    /// Tasks.
    List {
        /// Which.
        filter: TasksFilter,
        /// Those that were enqueued first come first.
        oldest: bool,
        /// At most so many.
        limit: u32,
        /// From the one on that follows this one.
        after: Option<String>,
    },
    /// All of a task.
    Show {
        /// Its id.
        id: String,
    },
    /// Try failed tasks again.
    Retry {
        /// These, or all of the filter.
        ids: Vec<String>,
        /// Which.
        filter: TasksFilter,
    },
    /// Cancel tasks.
    Cancel {
        /// Their ids.
        ids: Vec<String>,
    },
    /// Cancel those that wait, and remove those that are finished.
    Purge {
        /// Which.
        filter: TasksFilter,
        /// It is meant so.
        confirmed: bool,
    },
}

/// Words for the states of tasks.
pub const TASK_STATES: &[&str] = &[
    "waiting",
    "ready",
    "unknown",
    "scheduled",
    "running",
    "failed",
    "dead",
    "done",
    "succeeded",
    "cancelled",
    "expired",
];

const ABOUT: &str = "Tells of the task queue and its tasks, tries them again, cancels and removes them";
const STATES: &str = "\
States: `waiting` is `ready` (a worker may start it) and `unknown` (no worker knows its name); `scheduled` waits for its time: a countdown, the
pause before a retry, its turn at a rate; `failed`, also `dead`: its retries are used up; `done`, also `succeeded`.

The queue is that of the server, which is found as for other commands of `hostler ctl`, or the file of --task-queue, also where no server runs;
without a server, that of $HOSTLER_TASK_QUEUE.";

pub(crate) fn command() -> Command {
    let of = |name: &'static str, about: &'static str| Command::new(name).about(about);
    let state = || {
        Arg::new("state")
            .long("state")
            .value_name("STATE")
            .value_parser(PossibleValuesParser::new(TASK_STATES))
            .hide_possible_values(true)
            .value_delimiter(',')
            .action(ArgAction::Append)
    };
    let queue = || Arg::new("queue").long("queue").value_name("QUEUE").help("Only in this queue");
    let name = || Arg::new("name").long("name").value_name("NAME").help("Only with this name");
    let ids = || Arg::new("id").value_name("ID").action(ArgAction::Append);
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let limit = Arg::new("limit")
        .long("limit")
        .value_name("N")
        .default_value("50")
        .value_parser(value_parser!(u32).range(1..=500))
        .help("How many at most, up to 500");
    Command::new("tasks")
        .about(ABOUT)
        .after_help(STATES)
        .arg_required_else_help(true)
        .subcommand_required(true)
        .arg(
            Arg::new("task-queue")
                .long("task-queue")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .global(true)
                .conflicts_with_all(["socket", "pid"])
                .help("The queue's file, where no server runs"),
        )
        .subcommands([
            of("queues", "Print the queues: how many tasks are in which state, and how long they wait"),
            of("list", "Print tasks, the newest first")
                .arg(
                    state().help(
                        "Only in this state (see `hostler ctl tasks --help`); may be given several times",
                    ),
                )
                .args([queue(), name(), limit, flag("oldest", "The oldest first")])
                .arg(
                    Arg::new("after")
                        .long("after")
                        .value_name("ID")
                        .help("From the task on that follows this one"),
                ),
            of("show", "Print all that is known of a task").arg(ids().required(true).action(ArgAction::Set)),
            of("retry", "Try failed tasks again, as if they were new").arg(ids().help("Their ids")).args([
                queue(),
                name(),
                flag("all-failed", "All that have failed"),
            ]),
            of(
                "cancel",
                "Cancel tasks: those that wait at once, those that run by raising TaskCancelled in them",
            )
            .arg(ids().required(true).help("Their ids")),
            of("purge", "Cancel the tasks of a queue that wait, and remove those that are finished")
                .args([queue(), name(), flag("all-queues", "In all queues")])
                .arg(state().help(
                    "Only in this state; `waiting` and `scheduled` unless given; may be given several times",
                ))
                .arg(flag("yes", "Do it")),
        ])
}

/// What this subcommand asks for. `common` is the server, `--json` and `--timeout`.
pub(crate) fn asked(
    tasks: &ArgMatches,
    (server, json, timeout): (ServerChoice, bool, Option<Duration>),
) -> Result<TasksCtl, Failure> {
    let Some((name, own)) = tasks.subcommand() else {
        return Err(Source::Argv.failure("no command was given"));
    };
    let queue_file = own.get_one::<PathBuf>("task-queue").cloned();
    Ok(TasksCtl { server, queue_file, ask: ask(name, own)?, json, timeout })
}

fn ask(name: &str, own: &ArgMatches) -> Result<TasksAsk, Failure> {
    let one = |name: &str| own.get_one::<String>(name).cloned();
    Ok(match name {
        "list" => TasksAsk::List {
            filter: filter(own),
            oldest: own.get_flag("oldest"),
            limit: own.get_one("limit").copied().unwrap_or(50),
            after: one("after"),
        },
        "show" => TasksAsk::Show { id: one("id").unwrap_or_default() },
        "cancel" => TasksAsk::Cancel { ids: ids(own) },
        "retry" => {
            let (ids, filter) = (ids(own), filter(own));
            let is_filtered = own.get_flag("all-failed") || filter != TasksFilter::default();
            if ids.is_empty() != is_filtered {
                let failure = Source::Argv.failure("which tasks are to be tried again?");
                return Err(failure.hint("name their ids, or else --all-failed, --queue or --name"));
            }
            TasksAsk::Retry { ids, filter }
        }
        "purge" => {
            let mut filter = filter(own);
            if filter.queue.is_none() && !own.get_flag("all-queues") {
                let failure = Source::Argv.failure("which queue is to be purged?");
                return Err(failure.hint("name it with --queue, or say --all-queues"));
            }
            if filter.states.iter().any(|state| state == "running") {
                let failure = Source::Argv.failure("tasks that run cannot be purged");
                return Err(failure.hint("`hostler ctl tasks cancel` ends them"));
            }
            if filter.states.is_empty() {
                filter.states = vec!["waiting".into(), "scheduled".into()];
            }
            TasksAsk::Purge { filter, confirmed: own.get_flag("yes") }
        }
        _ => TasksAsk::Queues,
    })
}

fn ids(own: &ArgMatches) -> Vec<String> {
    own.get_many("id").into_iter().flatten().cloned().collect()
}

/// What of it the subcommand has.
fn filter(own: &ArgMatches) -> TasksFilter {
    let states = own.try_get_many::<String>("state").ok().flatten();
    TasksFilter {
        states: states.into_iter().flatten().cloned().collect(),
        queue: own.get_one::<String>("queue").cloned(),
        name: own.get_one::<String>("name").cloned(),
    }
}
