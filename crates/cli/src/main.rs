//! The program: read the options, find Python, bind, and let the master run.

#![forbid(unsafe_code)]

mod admin;
mod application_metrics;
mod bind;
mod check;
mod companions;
mod ctl;
mod directories;
mod lasting;
mod link;
mod migrate;
mod peer;
mod python;
mod ray;
mod scripts;
mod tasks;
mod tls;

use hostler_config::{Config, Outcome, Pointless, Reading};
use hostler_master::{
    CommandLine, Control, ControlPlace, Found, GenerationSpec, Listening, MoldCommand, Plan, Predecessor,
    Reread, Spawner, TlsSource, UPGRADE_VARIABLE,
};
use hostler_settings::{Colour, EventLoop, Log, LogFormat, LogTarget, Settings};
use hostler_sys::{
    disposition,
    logging::{self, Destination},
    pid_file,
};
use hostler_wire::{
    COMPANION_ARGUMENT, CompanionSpec, ExitStatus, Failure, KEEPER_ARGUMENT, ListenerSettings,
    OBSERVER_ARGUMENT, WorkerSettings, control::ConfigEntry,
};
use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tracing::{debug, info, warn};

fn main() -> ExitCode {
    disposition::for_program();
    hostler_sys::title::init();
    // There is nowhere to report a failure of this; go on without a log.
    let _ = logging::open(Destination::StandardError);
    logging::panics::tell_panics();
    let args: Vec<OsString> = std::env::args_os().collect();
    if args.get(1).is_some_and(|first| first == OBSERVER_ARGUMENT) {
        return ExitCode::from(hostler_observer::run(env!("CARGO_PKG_VERSION")).code());
    }
    if args.get(1).is_some_and(|first| first == COMPANION_ARGUMENT) {
        return ExitCode::from(hostler_companion::run().code());
    }
    if args.get(1).is_some_and(|first| first == KEEPER_ARGUMENT) {
        return ExitCode::from(tasks::keep_for_a_server().code());
    }
    let variables: Vec<_> = std::env::vars_os().collect();
    if hostler_config::asks_for_json(&args, &variables) {
        logging::set_form(LogFormat::Json, Colour::Never);
    }
    if let Some(status) = ctl::run(&args).or_else(|| ctl::top(&args)) {
        return ExitCode::from(status.code());
    }
    if let Some(asked) = check::asked(&args) {
        return ExitCode::from(check::run(asked).code());
    }
    if let Some(asked) = tasks::asked(&args) {
        return ExitCode::from(asked.run().unwrap_or_else(|failure| report(&failure)).code());
    }
    if let Some(text) = command(&args) {
        let status = text.map_or_else(|failure| report(&failure), |text| print(&text));
        return ExitCode::from(status.code());
    }
    // A copy for reloads: the process title is written over the original.
    let given = args.clone();
    let status = match hostler_config::parse(args, variables, reading(), &scripts::Scripts(reading())) {
        Ok(Outcome::Print(text)) => print(&text),
        Ok(Outcome::Refused(text, failure)) => {
            print(&text);
            report(&failure)
        }
        Ok(Outcome::Check(config)) => check::quietly(&config),
        Ok(Outcome::Run(mut config)) => run(&mut config, given).unwrap_or_else(|failure| report(&failure)),
        Err(failure) => report(&failure),
    };
    ExitCode::from(status.code())
}

/// What a command prints that starts no server, if it is one.
fn command(args: &[OsString]) -> Option<Result<String, Failure>> {
    if let Some(directory) = link::asked(args) {
        return Some(link::make(directory));
    }
    migrate::asked(args).map(migrate::run)
}

/// Whether the first argument is this command. Under a peer's name there is none.
fn is_command(args: &[OsString], name: &str) -> bool {
    args.get(1).is_some_and(|first| first == name) && !matches!(hostler_peers::asked(args), Some(Ok(_)))
}

/// Prints why the server did not start; returns the exit status.
fn report(failure: &Failure) -> ExitStatus {
    hostler_master::report::print(failure, None);
    failure.status
}

/// A server that replaces another (an upgrade) reads the same files again.
fn reading() -> Reading {
    if upgrades() { Reading::Again } else { Reading::First }
}

fn upgrades() -> bool {
    std::env::var_os(UPGRADE_VARIABLE).is_some()
}

fn run(config: &mut Config, args: Vec<OsString>) -> Result<ExitStatus, Failure> {
    let before = config.settings.clone();
    settle_log(config);
    let config = &*config;
    open_log(config)?;
    open_access_log(config)?;
    logging::follow(&config.settings.log);
    report_start(config);
    report_settings(config);
    check_pid_file(config)?;
    check_log_config(config)?;
    directories::check(config)?;
    tasks::check(config)?;
    let mut predecessor = Predecessor::find().map_err(lost_predecessor)?;
    let certificates = tls::load(&config.settings.tls, reading())?;
    let mold = mold(config, reading())?;
    let application_metrics = application_metrics::directory(config, &mold.env);
    let mut control = control_socket(config)?;
    let bound = bind::all(config, predecessor.as_mut())
        .and_then(|bound| admin::add(bound, config, predecessor.as_mut()))
        // Not before the addresses: those of a server that runs would have kept this one from going on.
        .and_then(|bound| match application_metrics::prepare(config, reading()) {
            Ok(()) => Ok(bound),
            Err(failure) => {
                bound.unmake();
                Err(failure)
            }
        })
        .inspect_err(|_| control.leave())?;
    let sockets = companions::Sockets::default();
    let companions = companions(config, &mold);
    let companion_sockets = sockets.listen(&companions, predecessor.as_mut()).inspect_err(|_| {
        control.leave();
        bound.unmake();
    })?;
    let listeners: Vec<ListenerSettings> = bound.listeners.iter().map(Listening::settings).collect();
    tls::tell(&listeners, certificates.as_ref());
    let peer = hostler_peers::asked(&args).and_then(Result::ok);
    let observer = admin::observer(config);
    let settings = worker_settings(config, &listeners);
    let found = Found { settings, mold, companions, listing: config.listing.clone() };
    let spec = GenerationSpec { companion_sockets, ..generation_spec(found, certificates) };
    // What operators are shown stays with a reload.
    let with_observer = move |spec| {
        let (observer, application_metrics) = (observer.clone(), application_metrics.clone());
        GenerationSpec { observer, application_metrics, ..spec }
    };
    let plan = Plan {
        spec: with_observer(spec),
        reread: Some(Reread {
            listing: Box::new({
                let args = args.clone();
                move || again(&args).map(|config| config.listing)
            }),
            find: Box::new({
                let (running, listeners) = (config.listing.clone(), listeners.clone());
                move || find(&args, &listeners, &before, &running)
            }),
            make: Box::new(move |found| make(found, &listeners, &sockets).map(&with_observer)),
        }),
        admin: bound.admin,
        listeners: bound.listeners,
        owned_files: bound.files,
        log_file: config.settings.log.file.clone(),
        access_log: config.settings.log.access_destination().map(Path::to_owned),
        pid_file: config.settings.process.pid_file.clone(),
        command_line: CommandLine::own().map(peer::kept(peer)),
        predecessor,
        control,
    };
    Ok(hostler_master::run(plan))
}

/// What a generation of this configuration is made of.
fn generation_spec(found: Found, tls: Option<TlsSource>) -> GenerationSpec {
    let Found { mut settings, mold, companions, listing } = found;
    // Workers are given the key itself.
    settings.options.tls.keyfile_password = None;
    let task_queue = tasks::file(&settings.options);
    let new = GenerationSpec::new(settings, Spawner::Mold(mold));
    GenerationSpec { tls, task_queue, companions, listing: listing.into(), ..new }
}

/// Programs that run beside the workers, with the variables that the application has, below their own.
fn companions(config: &Config, mold: &MoldCommand) -> Vec<CompanionSpec> {
    let text = |text: &OsString| text.to_string_lossy().into_owned();
    let shared: Vec<_> = mold.env.iter().map(|(name, value)| (text(name), text(value))).collect();
    let with_shared = |spec: &CompanionSpec| {
        let env = shared.iter().chain(&spec.env).cloned().collect();
        CompanionSpec { env, ..spec.clone() }
    };
    ray::local_cluster(config, mold).iter().chain(&config.companions).map(with_shared).collect()
}

fn worker_settings(config: &Config, listeners: &[ListenerSettings]) -> WorkerSettings {
    WorkerSettings {
        options: config.settings.clone(),
        listeners: listeners.to_vec(),
        identity: config.identity.clone(),
        failure: None,
    }
}

/// The control socket, or that there is none.
fn control_socket(config: &Config) -> Result<Control, Failure> {
    let option = &config.settings.process.control_socket;
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    ControlPlace { option, variable: &variable, replaces: upgrades() }.open()
}

/// The configuration as it is in files and environment by now.
fn again(args: &[OsString]) -> Result<Box<Config>, Failure> {
    match hostler_config::parse(
        args.to_vec(),
        std::env::vars_os(),
        Reading::Again,
        &scripts::Scripts(Reading::Again),
    ) {
        Ok(Outcome::Run(config)) => Ok(config),
        Ok(Outcome::Print(_) | Outcome::Check(_) | Outcome::Refused(..)) => {
            let message = "the configuration says to print something, not to serve";
            Err(Failure::new(ExitStatus::Config, message))
        }
        Err(failure) => Err(failure),
    }
}

/// Reads the configuration again, for a reload. Listeners stay as they are, and so do the other options of which a change waits for
/// an upgrade or a start.
fn find(
    args: &[OsString],
    listeners: &[ListenerSettings],
    before: &Settings,
    running: &[ConfigEntry],
) -> Result<Found, Failure> {
    let mut config = again(args)?;
    let changed = lasting::Changed::of(before, &config.settings);
    lasting::keep(before, running, &mut config);
    settle_log(&mut config);
    check_log_config(&config)?;
    directories::check(&config)?;
    let mold = mold(&config, Reading::Again)?;
    report_settings(&config);
    changed.tell();
    let settings = worker_settings(&config, listeners);
    let companions = companions(&config, &mold);
    Ok(Found { settings, mold, companions, listing: config.listing })
}

/// The next generation. Keys are read by the master itself.
fn make(
    found: Found,
    listeners: &[ListenerSettings],
    sockets: &companions::Sockets,
) -> Result<GenerationSpec, Failure> {
    let certificates = tls::load_again(&found.settings.options.tls, listeners)?;
    let companion_sockets = sockets.listen(&found.companions, None)?;
    Ok(GenerationSpec { companion_sockets, ..generation_spec(found, certificates) })
}

/// Lines of text that would go to the journal as a stream go there as entries with fields.
fn settle_log(config: &mut Config) {
    let log = &mut config.settings.log;
    let is_journal = std::env::var("JOURNAL_STREAM").is_ok_and(|stream| logging::is_journal(&stream));
    if is_journal && log.target.is_none() && log.file.is_none() && log.format == LogFormat::Text {
        log.target = LogTarget::journal_of_this_machine();
    }
    // --working-dir changes the directory of workers.
    if let Some(path) = log.config.as_mut().filter(|path| path.is_relative())
        && let Ok(absolute) = std::path::absolute(&*path)
    {
        *path = absolute;
    }
}

/// Whether the file of `--log-config` can be read; what it says is found out by Python.
fn check_log_config(config: &Config) -> Result<(), Failure> {
    let Some(path) = &config.settings.log.config else { return Ok(()) };
    std::fs::File::open(path).map(drop).map_err(|error| {
        Failure::new(ExitStatus::Config, format!("cannot use the log configuration `{}`", path.display()))
            .because(error.to_string())
            .hint("--log-config names a file that configures Python's logging")
    })
}

/// Opens `--log-file` and `--log-target`.
fn open_log(config: &Config) -> Result<(), Failure> {
    open_receiver(&config.settings.log)?;
    let Some(path) = &config.settings.log.file else { return Ok(()) };
    logging::open(Destination::File(path)).map_err(|error| no_log(path, &error))
}

/// Opens `--log-target`.
fn open_receiver(log: &Log) -> Result<(), Failure> {
    logging::open_receiver(log).map_err(|error| {
        let target = log.target.as_ref().map(ToString::to_string).unwrap_or_default();
        Failure::new(ExitStatus::Config, format!("cannot send the log to `{target}`"))
            .because(error.to_string())
            .hint("--log-target is journald, syslog, unix:/PATH, or udp:// or tcp:// with a name or address that is known")
    })
}

fn no_log(path: &Path, error: &io::Error) -> Failure {
    Failure::new(ExitStatus::Config, format!("cannot write the log to `{}`", path.display()))
        .because(error.to_string())
        .hint("--log-file names a file in a directory that the server may write to")
}

/// Opens `--access-logfile`, or standard output for it.
fn open_access_log(config: &Config) -> Result<(), Failure> {
    let Some(path) = config.settings.log.access_destination() else { return Ok(()) };
    let opened = logging::access::open(path).and_then(logging::access::write_to);
    opened.map_err(|error| no_access_log(path, &error))
}

fn no_access_log(path: &Path, error: &io::Error) -> Failure {
    Failure::new(ExitStatus::Config, format!("cannot write the access log to `{}`", path.display()))
        .because(error.to_string())
        .hint("--access-logfile names a file in a directory that the server may write to, or is `-` for standard output")
}

/// The pid file is written when all workers serve; checked now, so that the start fails early.
fn check_pid_file(config: &Config) -> Result<(), Failure> {
    let Some(path) = &config.settings.process.pid_file else { return Ok(()) };
    let usable = pid_file::read(path).and_then(|found| pid_file::probe(path).map(|()| found));
    let found = usable.map_err(|error| no_pid_file(path, error.to_string()))?;
    match found {
        Some(other) if !upgrades() && hostler_sys::proc::is_hostler(other) => {
            let failure = no_pid_file(path, format!("the server of process {other} is running"));
            Err(failure.hint("stop it first, or upgrade it with SIGUSR2"))
        }
        _ => Ok(()),
    }
}

fn no_pid_file(path: &Path, cause: String) -> Failure {
    Failure::new(ExitStatus::Config, format!("cannot use the pid file `{}`", path.display()))
        .because(cause)
        .hint("--pid-file names a file in a directory that the server may write to")
}

fn lost_predecessor(error: io::Error) -> Failure {
    Failure::new(ExitStatus::Failed, "the server that is to be replaced cannot be reached")
        .because(error.to_string())
        .hint(format!("{UPGRADE_VARIABLE} is set by hostler itself, on SIGUSR2; unset it"))
}

/// Logs what is about to be started.
fn report_start(config: &Config) {
    let Settings { app, supervision, .. } = &config.settings;
    let workers = hostler_master::worker_bounds(supervision.workers).least;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        app = app.target,
        workers,
        "starting hostler"
    );
}

/// Logs options that do not do what they say, and what a peer's became.
fn report_settings(config: &Config) {
    config.peer.as_ref().map(peer::report);
    for Pointless { option, reason } in &config.pointless {
        warn!(option, reason, "an option has no effect, or not the one it seems to have");
    }
    for unknown in &config.unknown_variables {
        warn!(variable = unknown.name, hint = unknown.hint, "unknown environment variable: it has no effect");
    }
    let event_loop = config.settings.runtime.event_loop;
    if matches!(event_loop, EventLoop::Rloop | EventLoop::Winloop) {
        warn!(
            asked = event_loop.name(),
            "hostler's own event loop is used instead; --loop asyncio and --loop uvloop run those"
        );
    }
}

/// The command that starts the mold (the process workers are forked from): a Python that loads the extension and waits
/// for messages.
fn mold(config: &Config, reading: Reading) -> Result<MoldCommand, Failure> {
    let python = python::choose(config.settings.app.python.as_deref(), &config.identity)?;
    let extension = python::extension_for(&python)?;
    match reading {
        Reading::First => {
            info!(python = %python.program.display(), version = python.version, "python chosen")
        }
        Reading::Again => {
            debug!(python = %python.program.display(), version = python.version, "python chosen")
        }
    }
    Ok(MoldCommand {
        program: python.program,
        args: vec![
            "-c".into(),
            include_str!("bootstrap.py").into(),
            extension.into(),
            // Room for the process title, which overwrites the arguments.
            " ".repeat(512).into(),
        ],
        env: env_files(config, reading)?,
    })
}

fn env_files(config: &Config, reading: Reading) -> Result<Vec<(OsString, OsString)>, Failure> {
    let mut variables = Vec::new();
    for path in &config.settings.app.env_files {
        let pairs = read_env_file(path, reading)?;
        // Those of the environment take precedence, as with Granian and Uvicorn.
        let new = pairs.into_iter().filter(|(key, _)| std::env::var_os(key).is_none());
        variables.extend(new.map(|(key, value)| (key.into(), value.into())));
    }
    let own = config.settings.app.env.iter();
    variables.extend(own.map(|variable| (variable.name.as_str().into(), variable.value.as_str().into())));
    variables.extend(application_metrics::variable(config));
    variables.extend(tasks::variables(config));
    Ok(variables)
}

fn read_env_file(path: &Path, reading: Reading) -> Result<Vec<(String, String)>, Failure> {
    let text = reading.text(path).map_err(|error| error.to_string());
    text.and_then(|text| hostler_config::parse_env_file(&text)).map_err(|cause| {
        let message = format!("cannot use the environment file `{}`", path.display());
        Failure::new(ExitStatus::Config, message).because(cause)
    })
}

fn print(text: &str) -> ExitStatus {
    use std::io::{ErrorKind, Write};
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader closed the pipe, as `head` does.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let failure = Failure::new(ExitStatus::Failed, "cannot write to standard output");
            report(&failure.because(error.to_string()))
        }
        Ok(()) | Err(_) => ExitStatus::Clean,
    }
}
