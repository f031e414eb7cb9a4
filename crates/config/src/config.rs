//! The configuration as the program uses it: the options, and what follows from them on this system.

use crate::{environment::UnknownVariable, layers::Layers};
use hostler_settings::{
    Accept, Application, Http, HttpVersion, Interface, Listen, Process, Runtime, RuntimeMode, Settings,
    Supervision, WorkerCount,
};
use hostler_wire::{Failure, Identity, MAX_LISTENING_SOCKETS};
use std::io;

/// Everything that was configured and is in effect.
#[derive(Debug)]
pub struct Config {
    /// The options.
    pub settings: Settings,
    /// Whether an address was set; otherwise sockets that a service manager passed take precedence over the default.
    pub binds_chosen: bool,
    /// The user that the application runs as.
    pub identity: Identity,
    /// Options that were set and have no effect yet, as `--name value (source)`.
    pub not_yet_in_effect: Vec<String>,
    /// Environment variables that look like options and are none.
    pub unknown_variables: Vec<UnknownVariable>,
}

impl Config {
    pub(crate) fn from_layers(
        layers: Layers,
        unknown_variables: Vec<UnknownVariable>,
    ) -> Result<Self, Failure> {
        refuse_what_is_not_served(&layers)?;
        refuse_contradictions(&layers)?;
        let identity = identity(&layers)?;
        let listen = &layers.settings.listen;
        // An empty list or path is none.
        let binds_chosen = !listen.bind.is_empty()
            || listen.uds.is_some()
            || [Listen::host(), Listen::port()].into_iter().any(|option| layers.is_set(option));
        let not_yet_in_effect = layers.not_in_effect();
        let mut settings = layers.settings;
        let limits = &mut settings.supervision;
        // Two names of one limit.
        limits.graceful_timeout = limits.workers_kill_timeout.unwrap_or(limits.graceful_timeout);
        Ok(Self { settings, binds_chosen, identity, not_yet_in_effect, unknown_variables })
    }
}

fn refuse_what_is_not_served(layers: &Layers) -> Result<(), Failure> {
    let Settings { app, http, runtime, supervision, listen, .. } = &layers.settings;
    if app.target.is_none() {
        return Err(layers
            .source(Application::target())
            .failure("no application was named")
            .hint("name it as module:attribute, for example `hostler shop.main:app`"));
    }
    let one_thread = "a worker has one thread, so that no request waits for a lock";
    let scale = "use --workers to use more processors";
    let threads = matches!(runtime.mode, RuntimeMode::MultiThread | RuntimeMode::Runtime);
    let many = matches!(supervision.workers, WorkerCount::Fixed(count) if usize::from(count) > MAX_LISTENING_SOCKETS);
    let proxy = "use --http 1, and terminate HTTP/2 at a proxy";
    let (sockets, fewer) =
        ("so many sockets cannot be passed to workers", "use --accept shared, or fewer workers");
    let (always, omit) = ("dead workers are always replaced", "leave the option out");
    let rules = [
        (http.version == HttpVersion::Two, Http::version(), "HTTP/2 is not served yet", proxy),
        (runtime.threads > 1, Runtime::threads(), one_thread, scale),
        (threads, Runtime::mode(), one_thread, scale),
        (listen.accept == Accept::PerWorker && many, Listen::accept(), sockets, fewer),
        (!supervision.respawn_failed_workers, Supervision::respawn_failed_workers(), always, omit),
    ];
    match rules.into_iter().find(|(refused, ..)| *refused) {
        Some((_, option, cause, hint)) => Err(layers.unusable(option).because(cause).hint(hint)),
        None => Ok(()),
    }
}

fn refuse_contradictions(layers: &Layers) -> Result<(), Failure> {
    let limits = &layers.settings.supervision;
    let (jitter, requests) = (Supervision::max_requests_jitter(), Supervision::max_requests());
    let (kill, graceful) = (Supervision::workers_kill_timeout(), Supervision::graceful_timeout());
    let (stall, request) = (Supervision::stall_timeout(), Http::request_timeout());
    let too_much =
        limits.max_requests_jitter.zip(limits.max_requests).is_some_and(|(jitter, most)| jitter >= most);
    if limits.max_requests_jitter.is_some() && limits.max_requests.is_none() {
        let failure = layers.unusable(jitter).because("it varies --max-requests, which is not set");
        return Err(failure.hint("set --max-requests as well"));
    }
    let two_values = layers.is_set(graceful)
        && limits.workers_kill_timeout.is_some_and(|kill| kill != limits.graceful_timeout);
    let rules = [
        (too_much, jitter, requests, "jitter must leave at least one request"),
        (two_values, kill, graceful, "they are two names of one limit"),
        (
            is_killed_while_it_serves(layers),
            stall,
            request,
            "with one blocking thread a request blocks the event loop: its worker would be killed first",
        ),
    ];
    match rules.into_iter().find(|(contradict, ..)| *contradict) {
        Some((_, a, b, cause)) => Err(layers.contradiction(a, b).because(cause)),
        None => Ok(()),
    }
}

/// Whether a WSGI request may take longer than its worker may be blocked.
fn is_killed_while_it_serves(layers: &Layers) -> bool {
    let Settings { supervision, app, wsgi, http, .. } = &layers.settings;
    layers.is_set(Supervision::stall_timeout())
        && app.interface == Interface::Wsgi
        && wsgi.blocking_threads == 1
        && http.request_timeout.zip(supervision.stall_timeout).is_some_and(|(request, stall)| stall < request)
}

/// The user that workers run as.
fn identity(layers: &Layers) -> Result<Identity, Failure> {
    let process = &layers.settings.process;
    let mut identity = Identity { umask: process.umask.map(|mask| mask.0), ..Identity::default() };
    if let Some(text) = &process.user {
        let account = hostler_sys::identity::find_user(text).map_err(|error| {
            let wrong = layers.invalid(Process::user()).because(no_such("user", &error));
            wrong.hint("name a user of /etc/passwd, or a number")
        })?;
        identity.user = Some((account.user, account.name));
        identity.home = account.home;
        identity.group = Some(account.group);
    }
    if let Some(text) = &process.group {
        identity.group = Some(hostler_sys::identity::find_group(text).map_err(|error| {
            let wrong = layers.invalid(Process::group()).because(no_such("group", &error));
            wrong.hint("name a group of /etc/group, or a number")
        })?);
    }
    if !hostler_sys::identity::is_root() && hostler_sys::identity::would_change(&identity) {
        let option = if identity.user.is_some() { Process::user() } else { Process::group() };
        let wrong = layers.invalid(option).because("only root can run workers as another user");
        return Err(wrong.hint("start the server as root, or leave the option out"));
    }
    Ok(identity)
}

fn no_such(what: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidInput => format!("this number stands for no {what}"),
        _ => format!("there is no such {what}"),
    }
}
