//! What is tried: everything that can keep a server from starting, each on its own, so that all problems are known at once.

use super::{addresses, application, report::Report};
use crate::{directories, python, tasks, tls};
use hostler_config::{Config, Reading};
use hostler_settings::{ControlSocket, WorkerCount};
use hostler_sys::{
    logging::{access, target::Target},
    pid_file,
};
use hostler_wire::Failure;
use std::{io, os::unix::net::UnixStream, path::Path};
use tracing::warn;

/// Tries everything; the application's lifespan if that is asked for.
pub(crate) fn all(config: &Config, run_lifespan: bool) -> Report {
    let mut report = Report::default();
    crate::report_settings(config);
    report.add("configuration", Ok(of_configuration(config)));
    log_files(config, &mut report);
    of_pid_file(config, &mut report);
    let problems = directories::problems(config);
    report_all(&mut report, "directories", problems);
    if let Some(file) = tasks::file(&config.settings) {
        report.add("task queue", tasks::check(config).map(|()| file.display().to_string()));
    }
    certificates(config, &mut report);
    let python = of_python(config, &mut report);
    let interface =
        python.and_then(|python| application::try_all(config, &python, run_lifespan, &mut report));
    let (shown, problems) = addresses::all(config);
    if problems.is_empty() {
        report.add("addresses", Ok(shown.join(", ")));
    }
    report_all(&mut report, "addresses", problems);
    control_socket(config, &mut report);
    would_run(config, interface, shown, &mut report);
    report
}

fn report_all(report: &mut Report, what: &'static str, problems: Vec<Failure>) {
    problems.into_iter().for_each(|problem| report.add(what, Err(problem)));
}

fn of_configuration(config: &Config) -> String {
    match config.chosen {
        0 => "no option is set, all have their defaults".into(),
        1 => "1 option is set".into(),
        many => format!("{many} options are set"),
    }
}

/// Tries the files that log lines go to.
fn log_files(config: &Config, report: &mut Report) {
    let log = &config.settings.log;
    if let Some(path) = &log.file {
        let opened =
            untouched(path, || Target::open(path).map(drop)).map_err(|error| crate::no_log(path, &error));
        report.add("log", opened.map(|()| path.display().to_string()));
    }
    if let Some(target) = &log.target {
        report.add("log target", crate::open_receiver(log).map(|()| target.to_string()));
    }
    if let Some(path) = &log.config {
        report.add("log configuration", crate::check_log_config(config).map(|()| path.display().to_string()));
    }
    if let Some(path) = log.access_destination() {
        let opened = untouched(path, || access::open(path).map(drop));
        let opened = opened.map_err(|error| crate::no_access_log(path, &error));
        report.add("access log", opened.map(|()| path.display().to_string()));
    }
}

/// Opens a file, and removes it if that made it: where a symbolic link leads, and not the link.
fn untouched(path: &Path, open: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let was_there = path.exists() || path.as_os_str() == "-";
    let opened = open();
    if !was_there && let Ok(made) = path.canonicalize() {
        let _ = std::fs::remove_file(made);
    }
    opened
}

/// A server that runs is no problem: its configuration is checked before a reload, too.
fn of_pid_file(config: &Config, report: &mut Report) {
    let Some(path) = &config.settings.process.pid_file else { return };
    let usable = pid_file::read(path).and_then(|found| pid_file::probe(path).map(|()| found));
    let usable = usable.map_err(|error| crate::no_pid_file(path, error.to_string()));
    let found = report.keep("pid file", usable, |_| path.display().to_string()).flatten();
    if let Some(pid) = found.filter(|pid| hostler_sys::proc::is_hostler(*pid)) {
        warn!(path = %path.display(), pid, "the server of this pid file runs: another one would not start");
    }
}

fn certificates(config: &Config, report: &mut Report) {
    let loaded = tls::load(&config.settings.tls, Reading::First);
    if let Ok(None) = loaded {
        return;
    }
    report.keep("certificates", loaded, |_| {
        config
            .settings
            .tls
            .certificate
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(", ")
    });
}

/// Makes the control socket that is asked for, and removes it. Without the others a server would start.
fn control_socket(config: &Config, report: &mut Report) {
    let ControlSocket::Path(path) = &config.settings.process.control_socket else { return };
    if UnixStream::connect(path).is_ok() {
        warn!(path = %path.display(), "a server that runs has this control socket: another one would not start");
        return;
    }
    let opened = crate::control_socket(config).map(|mut control| control.leave());
    report.add("control socket", opened.map(|()| path.display().to_string()));
}

/// The Python and its extension.
fn of_python(
    config: &Config,
    report: &mut Report,
) -> Option<(hostler_master::MoldCommand, std::path::PathBuf)> {
    let variables = crate::env_files(config, Reading::First);
    if !config.settings.app.env_files.is_empty() || variables.is_err() {
        report.keep("environment", crate::env_files(config, Reading::First), |variables| {
            format!("{} variables", variables.len())
        });
    }
    let chosen = python::choose(config.settings.app.python.as_deref(), &config.identity)
        .and_then(|python| Ok((python::extension_for(&python)?, python)));
    let (extension, python) = report.keep("python", chosen, |(extension, python)| {
        format!("{} ({}), extension {}", python.program.display(), python.version, extension.display())
    })?;
    report.would_run("python", python.program.display().to_string());
    let env = variables.ok()?;
    Some((hostler_master::MoldCommand { program: python.program, args: Vec::new(), env }, extension))
}

fn would_run(config: &Config, interface: Option<String>, addresses: Vec<String>, report: &mut Report) {
    let settings = &config.settings;
    report.would_run("application", settings.app.target.clone());
    report.would_run("interface", interface);
    let workers = hostler_master::worker_bounds(settings.supervision.workers);
    report.would_run("workers", workers.least);
    if !workers.is_fixed() {
        report.would_run("workers at most", workers.most);
    }
    if settings.supervision.workers == WorkerCount::Auto {
        report.would_run("workers are", "one per processor");
    }
    report.would_run("addresses", addresses);
    report.would_run("tls", !settings.tls.certificate.is_empty());
    let user = config.identity.user.as_ref().map(|(number, name)| match name.as_str() {
        "" => number.to_string(),
        name => name.to_owned(),
    });
    report.would_run("user", user);
    report.would_run(
        "working directory",
        settings
            .app
            .working_dir
            .clone()
            .or_else(|| std::env::current_dir().ok())
            .map(|dir| dir.display().to_string()),
    );
}
