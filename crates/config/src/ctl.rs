//! The command line of `hostler ctl` and `hostler top`.

use crate::{
    ctl_tasks::{self, TasksCtl},
    source::Source,
};
use clap::{
    Arg, ArgAction, ArgMatches, Command, builder::PossibleValuesParser, error::ErrorKind, value_parser,
};
use hostler_settings::OptionValue;
use hostler_wire::{
    Failure,
    control::{Command as Asked, LevelChoice},
};
use std::{ffi::OsString, path::PathBuf, time::Duration};

/// What a command line of `hostler ctl` asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ctl {
    /// The server.
    pub server: ServerChoice,
    /// What it is asked to do.
    pub command: Asked,
    /// Print the server's reply as it is.
    pub json: bool,
    /// How long to wait for the outcome.
    pub timeout: Option<Duration>,
}

/// Which server is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerChoice {
    /// That of this control socket.
    pub socket: Option<PathBuf>,
    /// That of this process.
    pub pid: Option<i32>,
}

/// What `hostler top` is to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopOutcome {
    /// This server.
    Show(ServerChoice),
    /// Print this.
    Print(String),
}

/// A worker, or a companion.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    /// The worker for requests of this number.
    Number(u16),
    /// A task worker or a companion.
    Name(String),
}

impl Which {
    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) => Ok(Self::Number(number)),
            Err(_) if text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Err("it is no number of a worker".into())
            }
            Err(_) => Ok(Self::Name(text.into())),
        }
    }
}

/// What to do about a command line.
#[derive(Clone, Debug, PartialEq)]
pub enum CtlOutcome {
    /// Ask a server.
    Ask(Ctl),
    /// Ask the keeper of a task queue.
    AskTasks(TasksCtl),
    /// Print this.
    Print(String),
}

const ABOUT: &str = "Controls a running server, and waits for the outcome";
const EXAMPLES: &str = "\
Without --socket or --pid the server is asked whose socket $HOSTLER_CONTROL_SOCKET names, or else the only one of this user that runs.

Exit status: 0 done; 1 failed; 2 the command line is wrong; 5 no server, or more than one, can be asked; 6 the server is busy with
something else, or does not take commands of this user; 7 the outcome is not known: --timeout is over, or the server was killed.";

/// `hostler top`, for completions as well.
pub(crate) fn top() -> Command {
    Command::new("top")
        .bin_name("hostler top")
        .about("Shows what a running server does, live; q quits")
        .max_term_width(100)
        .args(choice())
}

/// Reads a command line, from `top` on.
///
/// # Errors
/// What is wrong with it.
pub fn parse_top(args: impl IntoIterator<Item = OsString>) -> Result<TopOutcome, Failure> {
    match top().try_get_matches_from(args) {
        Ok(matches) => Ok(TopOutcome::Show(chosen(&matches))),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp) => {
            Ok(TopOutcome::Print(error.to_string()))
        }
        Err(error) => Err(usage(&error)),
    }
}

fn choice() -> [Arg; 2] {
    let socket = Arg::new("socket").long("socket").value_name("PATH").value_parser(value_parser!(PathBuf));
    let pid = Arg::new("pid").long("pid").value_name("PID").value_parser(value_parser!(i32).range(1..));
    [
        socket.global(true).help("The server's control socket"),
        pid.global(true).conflicts_with("socket").help("The process id of the server"),
    ]
}

fn chosen(matches: &ArgMatches) -> ServerChoice {
    ServerChoice {
        socket: matches.get_one::<PathBuf>("socket").cloned(),
        pid: matches.get_one::<i32>("pid").copied(),
    }
}

/// `hostler ctl`, for completions as well.
pub(crate) fn command() -> Command {
    let level =
        Arg::new("level").value_name("LEVEL").value_parser(PossibleValuesParser::new(LevelChoice::NAMES));
    let worker = || Arg::new("worker").value_name("WORKER").value_parser(Which::parse);
    let number = |name: &'static str| Arg::new("workers").value_name(name).value_parser(value_parser!(u16));
    let of = |name: &'static str, about: &'static str| Command::new(name).about(about);
    let commands = [
        of("status", "Print what the server does"),
        of("workers", "Print what each worker does"),
        of("stacks", "Print where the threads and tasks of each worker are, without disturbing it")
            .arg(worker().help("Its number, or `t1` for the first task worker; all of them without one")),
        of("reload", "Read configuration and application again, and replace all workers once the new ones serve"),
        of("restart", "Replace all workers one after another, or one of them, or restart a companion; the configuration is not read again").arg(
            worker().value_name("WORKER|COMPANION").help(
                "A worker's number, `t1` for the first task worker, or a companion's name, with `-2` for its second replica; all \
                 workers for requests without one",
            ),
        ),
        of("drain", "Replace one worker, and wait until its process has ended")
            .arg(worker().required(true).help("Its number, or `t1` for the first task worker")),
        of("scale", "Have another number of workers, until the server is started anew or reloaded with another --workers")
            .arg(number("N").required(true).help("How many")),
        of("stop", "Finish the requests in flight and end the server")
            .arg(Arg::new("now").long("now").action(ArgAction::SetTrue).help("At once, without waiting for requests")),
        of("upgrade", "Start the program anew, and leave the sockets to it once it serves"),
        of("config", "Print the options of the running server, and where each was set").arg(
            Arg::new("changes").long("changes").action(ArgAction::SetTrue).help("Only those that a reload would find changed"),
        ),
        of("log-level", "Print or change the level of log lines in all processes, until the server is started anew")
            .arg(level.help("The least important level to log; `configured` is that of the configuration")),
        ctl_tasks::command(),
    ];
    Command::new("ctl")
        .bin_name("hostler ctl")
        .about(ABOUT)
        .after_help(EXAMPLES)
        .max_term_width(100)
        .disable_help_subcommand(true)
        .arg_required_else_help(true)
        .subcommand_required(true)
        .args(choice())
        .args([
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .global(true)
                .help("Print the reply as JSON"),
            Arg::new("timeout")
                .long("timeout")
                .value_name("DURATION")
                .global(true)
                .help("How long to wait for the outcome; what has begun goes on [default: no limit]"),
        ])
        .subcommands(commands)
}

/// Reads a command line, from `ctl` on.
///
/// # Errors
/// What is wrong with it.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<CtlOutcome, Failure> {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp) => {
            return Ok(CtlOutcome::Print(error.to_string()));
        }
        Err(error) => return Err(usage(&error)),
    };
    let Some((name, own)) = matches.subcommand() else {
        return Err(Source::Argv.failure("no command was given"));
    };
    let options = own.subcommand().map_or(own, |(_, options)| options);
    let timeout = options.get_one::<String>("timeout").map(|text| duration(text)).transpose()?;
    let server = chosen(options);
    if name == "tasks" {
        let common = (server, options.get_flag("json"), timeout);
        return ctl_tasks::asked(own, common).map(CtlOutcome::AskTasks);
    }
    Ok(CtlOutcome::Ask(Ctl { server, command: asked(name, own), json: own.get_flag("json"), timeout }))
}

fn asked(name: &str, own: &ArgMatches) -> Asked {
    let which = || match own.get_one::<Which>("worker") {
        Some(Which::Number(number)) => (Some(*number), None),
        Some(Which::Name(name)) => (None, Some(name.clone())),
        None => (None, None),
    };
    match name {
        "status" => Asked::Status,
        "workers" => Asked::Workers,
        "stacks" => {
            let (worker, name) = which();
            Asked::Stacks { worker, name }
        }
        "restart" => {
            let (worker, name) = which();
            Asked::Restart { worker, name }
        }
        "drain" => {
            let (worker, name) = which();
            Asked::Drain { worker, name }
        }
        "scale" => Asked::Scale { workers: own.get_one::<u16>("workers").copied().unwrap_or_default() },
        "stop" => Asked::Stop { quickly: own.get_flag("now") },
        "upgrade" => Asked::Upgrade,
        "config" => Asked::Config { changes: own.get_flag("changes") },
        "log-level" => {
            let level = own.get_one::<String>("level").and_then(|name| LevelChoice::from_name(name));
            Asked::LogLevel { level }
        }
        _ => Asked::Reload,
    }
}

fn duration(text: &str) -> Result<Duration, Failure> {
    let rules = hostler_settings::Supervision::graceful_timeout().rules;
    let refused = || {
        Source::Argv
            .failure(format!("invalid value '{text}' for --timeout"))
            .because("it must be a duration, such as 30, 1.5, 500ms or 2m")
    };
    Duration::parse(text, &rules).ok_or_else(refused)
}

fn usage(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    Source::Argv.failure(message).hint(tip.unwrap_or("`hostler ctl --help` lists all commands"))
}

#[cfg(test)]
mod tests {
    use super::{Asked, Ctl, CtlOutcome, ServerChoice, TasksCtl, command, parse};
    use crate::ctl_tasks::{TasksAsk, TasksFilter};
    use hostler_wire::control::LevelChoice;
    use std::{ffi::OsString, time::Duration};

    fn line(text: &str) -> impl Iterator<Item = OsString> {
        ["ctl"].into_iter().chain(text.split_ascii_whitespace()).map(OsString::from)
    }

    fn asked(text: &str) -> Ctl {
        match parse(line(text)).unwrap() {
            CtlOutcome::Ask(ctl) => ctl,
            other => panic!("{other:?}"),
        }
    }

    fn about_tasks(text: &str) -> TasksCtl {
        match parse(line(text)).unwrap() {
            CtlOutcome::AskTasks(tasks) => tasks,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn questions_about_tasks_are_read() {
        let whole = about_tasks(
            "tasks list --state waiting,failed --state done --queue mail --limit 7 --json --pid 3",
        );
        let TasksAsk::List { filter, oldest, limit, .. } = whole.ask else { panic!("{whole:?}") };
        assert_eq!(
            (filter.states.join(" "), filter.queue.as_deref()),
            ("waiting failed done".into(), Some("mail"))
        );
        assert_eq!((oldest, limit, whole.json, whole.server.pid), (false, 7, true, Some(3)));
        let purge = about_tasks("tasks --task-queue q.db purge --queue mail --yes --timeout 1m");
        assert_eq!(
            (purge.queue_file.unwrap().to_str(), purge.timeout),
            (Some("q.db"), Some(Duration::from_secs(60)))
        );
        let TasksAsk::Purge { filter, confirmed: true } = purge.ask else { panic!("{:?}", purge.ask) };
        assert_eq!(filter.states, ["waiting", "scheduled"]);
        let retry = about_tasks("tasks retry --name send").ask;
        let filter = TasksFilter { name: Some("send".into()), ..TasksFilter::default() };
        assert_eq!(retry, TasksAsk::Retry { ids: vec![], filter });
        assert_eq!(
            about_tasks("tasks cancel a b").ask,
            TasksAsk::Cancel { ids: vec!["a".into(), "b".into()] }
        );
    }

    #[test]
    fn commands_and_their_options_are_read() {
        command().debug_assert();
        assert_eq!(asked("reload").command, Asked::Reload);
        assert_eq!(asked("restart").command, Asked::Restart { worker: None, name: None });
        assert_eq!(asked("restart 2").command, Asked::Restart { worker: Some(2), name: None });
        assert_eq!(
            asked("restart cache").command,
            Asked::Restart { worker: None, name: Some("cache".into()) }
        );
        assert_eq!(asked("stacks t1").command, Asked::Stacks { worker: None, name: Some("t1".into()) });
        assert_eq!(asked("stop --now").command, Asked::Stop { quickly: true });
        assert_eq!(asked("log-level debug").command, Asked::LogLevel { level: Some(LevelChoice::Debug) });
        let whole = asked("scale 4 --pid 12 --json --timeout 1m");
        assert_eq!(whole.server, ServerChoice { socket: None, pid: Some(12) });
        assert_eq!(
            (whole.command, whole.json, whole.timeout),
            (Asked::Scale { workers: 4 }, true, Some(Duration::from_secs(60)))
        );
        assert_eq!(asked("--socket /run/a config").server.socket.unwrap().to_str(), Some("/run/a"));
    }

    #[test]
    fn mistakes_are_told_in_words() {
        for (text, words) in [
            ("relaod", "relaod"),
            ("scale many", "many"),
            ("scale", "not provided"),
            ("drain", "not provided"),
            ("restart 70000", "no number of a worker"),
            ("reload --timeout soon", "soon"),
            ("stop --pid 1 --socket a", "cannot be used with"),
            ("tasks list --state lost", "lost"),
            ("tasks retry", "which tasks"),
            ("tasks retry 1 --all-failed", "which tasks"),
            ("tasks purge --yes", "which queue"),
            ("tasks purge --queue a --state running", "cannot be purged"),
            ("tasks queues --task-queue a --pid 1", "cannot be used with"),
        ] {
            let failure = parse(line(text)).unwrap_err();
            assert!(failure.message.contains(words) && failure.status.code() == 2, "{failure:?}");
        }
        assert!(matches!(parse(line("--help")), Ok(CtlOutcome::Print(text)) if text.contains("log-level")));
    }
}
