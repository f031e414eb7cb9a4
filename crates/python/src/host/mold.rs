//! The mold: a Python process that forks workers and does nothing else.
//!
//! A worker is forked twice, so that the process between exits and the worker becomes the master's child
//! (the master is its subreaper). Both forks go through `os.fork`, which runs CPython's own sequence.

use super::{forks, preload, worker};
use hostler_settings::{Log, LogFormat};
use hostler_sys::{
    board::{self, OwnPage},
    bundle::Bundle,
    channel::Channel,
    disposition,
    logging::{self, Destination},
    orphan, own, proc, process, title,
};
use hostler_wire::{
    Assignment, Descriptor, ExitStatus, Failure, FromMold, Role, ToMold, WorkerSettings, timing,
};
use hostler_worker::{Shared, WorkerContext};
use pyo3::{
    exceptions::{PyBrokenPipeError, PyConnectionResetError, PyOSError},
    prelude::*,
};
use std::{
    cell::RefCell,
    fs::File,
    io::{self, ErrorKind, Read, Write},
    os::{
        fd::{OwnedFd, RawFd},
        unix::net::UnixStream,
    },
};

/// Runs the mold on its end of the control channel; returns in no process.
#[pyfunction]
pub(crate) fn mold_main(py: Python<'_>, control: RawFd) -> PyResult<()> {
    // It closes on exec from now on: programs that the application starts must not hold it open.
    let control = Channel::from(process::take_descriptor(control)?);
    own::claim(&control);
    let master = process::parent_id();
    disposition::for_mold();
    own::claim_all_handlers();
    py.import("hostler._forks")?.call_method0("install")?;
    match Mold::set_up(py, control, master).and_then(|mold| mold.serve(py)) {
        Ok(()) => process::exit_now(ExitStatus::Clean.code()),
        Err(error) => process::exit_now(why_ended(py, &error).code()),
    }
}

/// A channel that the master closed, because it gave this generation up or died, is no failure.
fn why_ended(py: Python<'_>, error: &PyErr) -> ExitStatus {
    if error.is_instance_of::<PyBrokenPipeError>(py) || error.is_instance_of::<PyConnectionResetError>(py) {
        return ExitStatus::Clean;
    }
    crate::logging::application_error(py, "the mold failed", error);
    ExitStatus::Failed
}

/// Lines go to the descriptor that the master has opened, which this process may not be allowed to open. They look like all others
/// of the server `now`, and as the settings of this generation say when it has proven itself.
fn start_log(py: Python<'_>, settings: &Log, now: &Log, descriptor: OwnedFd) -> PyResult<()> {
    logging::open(Destination::Descriptor(descriptor))?;
    // The master's was opened; this one may fail, as for a name that is not resolved any more: lines go to the descriptor.
    let receiver = logging::open_receiver(now);
    logging::follow(now);
    if let Err(error) = receiver {
        tracing::warn!(%error, "workers log to standard error: --log-target cannot be reached");
    }
    logging::panics::tell_panics();
    let is_json = settings.format == LogFormat::Json;
    py.import("hostler._log")?.call_method1("install", (is_json,)).map(drop)
}

struct Mold {
    control: Channel,
    settings: WorkerSettings,
    shared: Shared,
    master: i32,
}

impl Mold {
    fn set_up(py: Python<'_>, control: Channel, master: i32) -> PyResult<Self> {
        let (settings, log, mut bundle) = match control.recv() {
            Ok(Some((ToMold::Setup { settings, log, descriptors: names }, descriptors))) => {
                (settings, log, Bundle::received(names, descriptors)?)
            }
            Ok(_) => return Err(PyOSError::new_err("the master sent no settings")),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return give_up(&control, not_understood(&error));
            }
            Err(error) => return Err(error.into()),
        };
        start_log(py, &settings.options.log, &log, bundle.take(Descriptor::Log)?)?;
        if let Some(lines) = bundle.take_all(Descriptor::AccessLog).pop() {
            logging::access::write_to(lines)?;
        }
        // Not the log's: processes that the application forks write there, too.
        bundle.descriptors().iter().for_each(own::claim);
        // Before any of the application's code runs: the scoreboard's descriptor is closed by this.
        let shared = Shared::from_bundle(&mut bundle)?;
        orphan::die_with(master, timing::ORPHAN_LIMIT)?;
        let name = settings.options.process.name.as_deref();
        title::set(name, title::Role::Mold, settings.title());
        if let Err(failure) = preload::run(py, &settings) {
            return give_up(&control, failure);
        }
        let version = py.version_info();
        let python = format!("{}.{}.{}", version.major, version.minor, version.patch);
        logging::settle(timing::LAST_LINES);
        control.send(&FromMold::Ready { python }, &[])?;
        Ok(Self { control, settings: *settings, shared, master })
    }

    fn serve(self, py: Python<'_>) -> PyResult<()> {
        let mut this = self;
        loop {
            match this.control.recv()? {
                Some((ToMold::Fork { assignment, descriptors: names }, descriptors)) => {
                    this = this.fork(py, assignment, Bundle::received(names, descriptors)?)?;
                }
                Some((ToMold::ReopenLog, logs)) => logging::write_to_descriptors(logs),
                Some((ToMold::ReopenAccessLog, logs)) => logging::access::write_to_descriptors(logs),
                Some((ToMold::Log(log), _)) => logging::follow(&log),
                Some((ToMold::Setup { .. }, _)) => {}
                // The master is done with us, or dead; workers live on by themselves.
                None => process::exit_now(0),
            }
        }
    }

    /// Forks a worker; in the mold this returns.
    fn fork(self, py: Python<'_>, assignment: Assignment, mut bundle: Bundle<OwnedFd>) -> PyResult<Self> {
        bundle.descriptors().iter().for_each(own::claim);
        let (channel, stacks) = (bundle.take(Descriptor::Channel)?, bundle.take(Descriptor::Stacks)?);
        // Here too the descriptor is closed before the application's hooks run. The mapping goes to the worker.
        let page = board::map_own(bundle.take(Descriptor::OwnPage)?, assignment.page)?;
        let hooks = py.import("hostler.hooks")?;
        hooks.call_method1("_run_all", ("before_fork",))?;
        match fork_twice(py) {
            Ok(Forked::Worker) => {
                let certificates = bundle.take(Descriptor::Certificates).ok();
                self.become_worker(py, assignment, page, (channel.into(), stacks.into(), certificates))
            }
            Ok(Forked::Mold(pid)) => {
                self.control.send(&FromMold::Forked { worker: assignment.worker, pid }, &[])?;
                hooks.call_method1("_run_all", ("after_fork_parent",))?;
                Ok(self)
            }
            Err(error) => give_up(&self.control, cannot_fork(&error)),
        }
    }

    fn become_worker(
        self,
        py: Python<'_>,
        assignment: Assignment,
        page: OwnPage,
        (channel, stacks, certificates): (Channel, File, Option<OwnedFd>),
    ) -> ! {
        let Self { control, settings, shared, master } = self;
        // The mold's channel must close with the mold, not with its workers.
        drop(control);
        let page = page.keep();
        let context = WorkerContext {
            assignment,
            page,
            channel,
            stacks,
            shared,
            settings,
            master_pid: master,
            certificates: RefCell::new(certificates),
        };
        process::exit_now(match context.assignment.role {
            Role::Http | Role::Tasks => worker::run(py, context),
            // The master executes these itself.
            Role::Companion | Role::Observer | Role::Keeper => ExitStatus::Failed.code(),
        })
    }
}

enum Forked {
    Mold(i32),
    Worker,
}

fn fork_twice(py: Python<'_>) -> PyResult<Forked> {
    let fork = || forks::fork_worker(py);
    let (mut reader, mut writer) = UnixStream::pair()?;
    // Until its fork is reported, the process can be found by this name, even if it is stopped at its first instruction.
    let name = title::Borrowed::new(&proc::pending_fork_name(std::process::id().cast_signed()));
    let between = fork();
    if !matches!(between, Ok(0)) {
        name.give_back();
    }
    let between = between?;
    if between == 0 {
        return match fork() {
            Ok(0) => Ok(Forked::Worker),
            Ok(pid) => {
                let told = writer.write_all(&pid.to_ne_bytes());
                process::exit_now(u8::from(told.is_err()))
            }
            Err(_) => process::exit_now(1),
        };
    }
    drop(writer);
    let mut pid = [0; 4];
    let told = reader.read_exact(&mut pid);
    process::wait_for(between)?;
    told.map_err(|_| PyOSError::new_err("the second fork failed: no memory, or too many processes"))?;
    Ok(Forked::Mold(i32::from_ne_bytes(pid)))
}

/// Tells the master why, and exits.
fn give_up<T>(control: &Channel, failure: Failure) -> PyResult<T> {
    let status = failure.status;
    control.send(&FromMold::Failed(failure), &[])?;
    process::exit_now(status.code())
}

/// The extension was replaced by that of another version while the server ran.
fn not_understood(error: &io::Error) -> Failure {
    let message = "the installed hostler does not understand the server that runs";
    Failure::new(ExitStatus::Failed, message)
        .because(error.to_string())
        .hint("it is of another version: upgrade the server (SIGUSR2) instead of reloading it, or restart it")
}

fn cannot_fork(error: &PyErr) -> Failure {
    Failure {
        status: ExitStatus::Boot,
        message: "a worker process could not be forked".into(),
        cause: Some(error.to_string()),
        hint: Some("check the limits of memory and of processes (ulimit -u, TasksMax=, pids.max)".into()),
    }
}
