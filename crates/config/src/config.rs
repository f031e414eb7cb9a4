//! The configuration as the program uses it: the options, and what follows from them on this system.

use crate::layers::Layers;
use hostler_settings::{
    Accept, Application, Declaration, Http, HttpVersion, Interface, Listen, Process, Runtime, RuntimeMode,
    Settings, Supervision, WorkerCount,
};
use hostler_wire::{Failure, Identity};

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
}

/// The most workers with a socket each: they are passed in one message, which holds 253 descriptors (unix(7)).
const MAX_SOCKETS: u16 = 64;

impl Config {
    pub(crate) fn from_layers(layers: Layers) -> Result<Self, Failure> {
        refuse_what_is_not_served(&layers)?;
        refuse_contradictions(&layers)?;
        let identity = identity(&layers)?;
        let addresses = [Listen::bind(), Listen::uds(), Listen::host(), Listen::port()];
        let binds_chosen = addresses.into_iter().any(|option| layers.is_set(option));
        let not_yet_in_effect = layers.not_in_effect();
        let mut settings = layers.settings;
        let limits = &mut settings.supervision;
        // Two names of one limit.
        limits.graceful_timeout = limits.workers_kill_timeout.unwrap_or(limits.graceful_timeout);
        Ok(Self { settings, binds_chosen, identity, not_yet_in_effect })
    }
}

fn refuse_what_is_not_served(layers: &Layers) -> Result<(), Failure> {
    let Settings { app, http, runtime, supervision, listen, .. } = &layers.settings;
    let refused = |option: &Declaration, cause: &str, hint: &str| {
        let (source, text) = (layers.source(option), layers.text(option));
        let message = format!("--{} {text} cannot be used ({source})", option.name);
        Err(source.failure(message).because(cause).hint(hint))
    };
    let one_thread = "a worker has one thread, so that no request waits for a lock";
    let scale = "use --workers to use more processors";
    if app.target.is_none() {
        return Err(layers
            .source(Application::target())
            .failure("no application was named")
            .hint("name it as module:attribute, for example `hostler shop.main:app`"));
    }
    if http.version == HttpVersion::Two {
        let hint = "use --http 1, and terminate HTTP/2 at a proxy";
        return refused(Http::version(), "HTTP/2 is not served yet", hint);
    }
    if runtime.threads > 1 {
        return refused(Runtime::threads(), one_thread, scale);
    }
    if matches!(runtime.mode, RuntimeMode::MultiThread | RuntimeMode::Runtime) {
        return refused(Runtime::mode(), one_thread, scale);
    }
    let few = match supervision.workers {
        WorkerCount::Auto => true,
        WorkerCount::Fixed(count) => count <= MAX_SOCKETS,
    };
    if listen.accept == Accept::PerWorker && !few {
        let cause = "so many sockets cannot be passed to workers";
        return refused(Listen::accept(), cause, "use --accept shared, or fewer workers");
    }
    if !supervision.respawn_failed_workers {
        let option = Supervision::respawn_failed_workers();
        return refused(option, "dead workers are always replaced", "leave the option out");
    }
    Ok(())
}

fn refuse_contradictions(layers: &Layers) -> Result<(), Failure> {
    let both = |a: &Declaration, b: &Declaration, cause: &str| {
        let (source, text, other) = (layers.source(a), layers.text(a), layers.text(b));
        let message =
            format!("--{} {text} and --{} {other} contradict each other ({source})", a.name, b.name);
        Err(source.failure(message).because(cause))
    };
    let Settings { supervision: limits, app, wsgi, http, .. } = &layers.settings;
    let (jitter, requests) = (Supervision::max_requests_jitter(), Supervision::max_requests());
    match (limits.max_requests_jitter, limits.max_requests) {
        (Some(jitter_of), Some(most)) if jitter_of >= most => {
            return both(jitter, requests, "jitter must leave at least one request");
        }
        (Some(_), None) => return both(jitter, requests, "there is no number of requests to vary"),
        _ => {}
    }
    let (kill, graceful) = (Supervision::workers_kill_timeout(), Supervision::graceful_timeout());
    if layers.is_set(graceful)
        && limits.workers_kill_timeout.is_some_and(|kill| kill != limits.graceful_timeout)
    {
        return both(kill, graceful, "they are two names of one limit");
    }
    if let (Some(request), Some(stall)) = (http.request_timeout, limits.stall_timeout)
        && layers.is_set(Supervision::stall_timeout())
        && app.interface == Interface::Wsgi
        && wsgi.blocking_threads == 1
        && stall < request
    {
        let cause =
            "with one blocking thread a request blocks the event loop: its worker would be killed first";
        return both(Supervision::stall_timeout(), Http::request_timeout(), cause);
    }
    Ok(())
}

/// The user that workers run as.
fn identity(layers: &Layers) -> Result<Identity, Failure> {
    let process = &layers.settings.process;
    let mut identity = Identity { umask: process.umask.map(|mask| mask.0), ..Identity::default() };
    if let Some(text) = &process.user {
        let account = hostler_sys::identity::find_user(text).map_err(|_| {
            let wrong = layers.invalid(Process::user()).because("there is no such user");
            wrong.hint("name a user of /etc/passwd, or a number")
        })?;
        identity.user = Some((account.user, account.name));
        identity.home = account.home;
        identity.group = Some(account.group);
    }
    if let Some(text) = &process.group {
        identity.group = Some(hostler_sys::identity::find_group(text).map_err(|_| {
            let wrong = layers.invalid(Process::group()).because("there is no such group");
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
