//! The keeper of a task queue: a server's own, and `hostler tasks keep FILE` where no server runs, which programs start when
//! they need it.

use hostler_config::Config;
use hostler_settings::{Settings, TaskEngine};
use hostler_sys::{channel::Channel, clock, disposition, logging, process, title};
use hostler_tasks::{Keeper, KeeperError, Waiting};
use hostler_wire::{Appearance, ExitStatus, Failure, FromKeeper, KEEPER_CHANNEL, KeeperSetup, ToProgram};
use std::{
    ffi::OsString,
    io::{self, Read, Write},
    os::{
        fd::AsFd,
        unix::{fs::MetadataExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tracing::error;

/// With `--until-idle`: how long nobody may be connected.
const IDLE: Duration = Duration::from_secs(2);

/// How often to look whether another process still keeps the queue.
const KEPT_CHECK: Duration = Duration::from_millis(50);

/// What is asked for.
pub(crate) struct Keep<'a> {
    file: Option<&'a Path>,
    until_idle: bool,
}

/// The command, if it is one. An application called `tasks` is `tasks:app`.
pub(crate) fn asked(args: &[OsString]) -> Option<Keep<'_>> {
    if !crate::is_command(args, "tasks") || args.get(2).is_none_or(|second| second != "keep") {
        return None;
    }
    let until_idle = args[3..].iter().any(|it| it == "--until-idle");
    Some(Keep { file: args[3..].iter().find(|it| *it != "--until-idle").map(Path::new), until_idle })
}

impl Keep<'_> {
    /// Keeps the queue until the process is ended, or nobody needs it. Says `ready` on standard output when it does; nothing if
    /// another process keeps it.
    pub(crate) fn run(&self) -> Result<ExitStatus, Failure> {
        let file = self
            .file
            .ok_or_else(|| Failure::new(ExitStatus::Usage, "`hostler tasks keep` needs the queue's file"))?;
        let Some(mut keeper) = Keeper::open(file).map_err(|error| failed(&error))? else {
            return Ok(ExitStatus::Clean);
        };
        let stopped = |error: std::io::Error| {
            Failure::new(ExitStatus::Failed, "the keeper of the task queue failed").because(error.to_string())
        };
        let _ = std::io::stdout().write_all(b"ready\n").and_then(|()| std::io::stdout().flush());
        // Never readable: what ends this process is a signal, or that nobody needs it.
        let (open, _other) = Channel::pair().map_err(stopped)?;
        let open = open.into_fd();
        let mut needed = Instant::now();
        while !self.until_idle || needed.elapsed() < IDLE {
            keeper.turn(open.as_fd(), self.until_idle.then_some(IDLE / 2)).map_err(stopped)?;
            if keeper.connections() > 0 {
                needed = Instant::now();
            }
        }
        keeper.close();
        Ok(ExitStatus::Clean)
    }
}

/// Starts a keeper that ends when nobody needs it, as the user whose file it is: what root makes beside the file, no server of
/// another user could use.
pub(crate) fn start_keeper(file: &Path) -> Result<(), Failure> {
    let started = |error: io::Error| {
        let message =
            format!("no server keeps the task queue `{}`, and a keeper cannot be started", file.display());
        Failure::new(ExitStatus::Failed, message).because(error.to_string())
    };
    let owner = std::fs::metadata(file).map_err(started)?;
    let mut command = Command::new(std::env::current_exe().map_err(started)?);
    command.args(["tasks", "keep"]).arg(file).arg("--until-idle").current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    if hostler_sys::control::own_user() == 0 && owner.uid() != 0 {
        command.uid(owner.uid()).gid(owner.gid());
    }
    let mut child = command.spawn().map_err(started)?;
    let mut said = Vec::new();
    let out = child.stdout.take().map(|out| out.take(1).read_to_end(&mut said)).transpose();
    out.map_err(started)?;
    if !said.is_empty() {
        return Ok(());
    }
    // Another process has become the keeper meanwhile, or there is a reason why it cannot be.
    let ended = child.wait_with_output().map_err(started)?;
    match ended.status.success() {
        true => Ok(()),
        false => Err(started(io::Error::other(String::from_utf8_lossy(&ended.stderr).trim().to_owned()))),
    }
}

/// Why there is no queue, in the user's terms.
fn failed(error: &KeeperError) -> Failure {
    let failure = Failure::new(ExitStatus::Failed, error.to_string());
    let cause = std::error::Error::source(error).map(ToString::to_string);
    let failure = match cause {
        Some(cause) => failure.because(cause),
        None => failure,
    };
    failure.hint(error.hint())
}

/// The process that keeps the queue of a server, until that ends it; its exit status.
pub(crate) fn keep_for_a_server() -> ExitStatus {
    match keep() {
        Ok(()) => ExitStatus::Clean,
        Err(failure) => {
            let (cause, hint) = (failure.cause, failure.hint);
            error!(cause, hint, "{}", failure.message);
            failure.status
        }
    }
}

fn keep() -> Result<(), Failure> {
    disposition::for_observer();
    let stopped = |error: io::Error| {
        Failure::new(ExitStatus::Failed, "the keeper of the task queue failed").because(error.to_string())
    };
    let channel = Channel::from(process::take_descriptor(KEEPER_CHANNEL).map_err(stopped)?);
    let said = channel.recv::<KeeperSetup>().map_err(stopped)?;
    let Some((KeeperSetup { appearance, queue }, _)) = said else { return Ok(()) };
    let _ = logging::open_receiver(&appearance.log);
    appear(&appearance);
    channel.set_nonblocking(true).map_err(stopped)?;
    let line = channel.try_clone().map_err(stopped)?.into_fd();
    let Some(mut keeper) = wait_for_queue(&queue, &channel)? else { return Ok(()) };
    let mut waiting = Waiting::default();
    loop {
        let limit = waiting.limit(clock::now());
        if keeper.turn(line.as_fd(), limit).map_err(stopped)? && has_ended(&channel) {
            break;
        }
        if let Some(news) = keeper.news(&mut waiting) {
            // A master that does not read is told again, and one that is gone ends this process.
            let _ = channel.send(&FromKeeper::Waiting(news), &[]);
        }
    }
    keeper.close();
    Ok(())
}

/// The queue, once no other process keeps it: the server before this one during an upgrade. None if this one is to end before.
fn wait_for_queue(queue: &Path, channel: &Channel) -> Result<Option<Keeper>, Failure> {
    loop {
        match Keeper::open(queue).map_err(|error| failed(&error))? {
            Some(keeper) => return Ok(Some(keeper)),
            None if has_ended(channel) => return Ok(None),
            None => std::thread::sleep(KEPT_CHECK),
        }
    }
}

/// Heeds what the master says; whether it has closed the channel.
fn has_ended(channel: &Channel) -> bool {
    loop {
        match channel.recv::<ToProgram>() {
            Ok(Some((ToProgram::Appear(appearance), _))) => appear(&appearance),
            Ok(Some((ToProgram::ReopenLog, descriptors))) => logging::write_to_descriptors(descriptors),
            Ok(Some((ToProgram::Companions { .. }, _))) => {}
            Ok(None) => return true,
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

fn appear(Appearance { process_name, title, log }: &Appearance) {
    logging::follow(log);
    title::set(process_name.as_deref(), title::Role::Keeper, title);
}

/// The queue's file.
pub(crate) fn file(settings: &Settings) -> Option<PathBuf> {
    settings.tasks.file().map(|file| std::path::absolute(&file).unwrap_or(file))
}

/// Whether the queue's file can be one, before anything is started for it: a server whose keeper cannot open it would accept no task.
pub(crate) fn check(config: &Config) -> Result<(), Failure> {
    let Some(file) = file(&config.settings) else { return Ok(()) };
    hostler_tasks::examine(&file)
        .map_err(|error| Failure { status: ExitStatus::Config, ..failed(&error.into()) })
}

/// What the application is told of the queue.
pub(crate) fn variables(config: &Config) -> Vec<(OsString, OsString)> {
    let tasks = &config.settings.tasks;
    if tasks.engine != TaskEngine::Embedded {
        return of_other_engines(config);
    }
    let Some(file) = file(&config.settings) else { return Vec::new() };
    vec![("HOSTLER_TASK_QUEUE".into(), file.into()), ("HOSTLER_TASK_KEEPER".into(), "server".into())]
}

/// The engine, and what it is reached by, in the variables that are also the options'.
fn of_other_engines(config: &Config) -> Vec<(OsString, OsString)> {
    let tasks = &config.settings.tasks;
    if tasks.engine == TaskEngine::Ray {
        let engine = ("HOSTLER_TASK_ENGINE".into(), "ray".into());
        return [engine].into_iter().chain(crate::ray::variables(config)).collect();
    }
    let given = [
        ("HOSTLER_TASK_ENGINE", Some("celery".to_owned())),
        ("HOSTLER_TASK_BROKER", tasks.broker.clone()),
        ("HOSTLER_TASK_RESULTS", tasks.results.clone()),
        ("HOSTLER_TASK_CELERY_APP", tasks.celery_app.clone()),
    ];
    given.into_iter().filter_map(|(name, value)| Some((name.into(), value?.into()))).collect()
}
