//! The configuration as the program uses it: the options, and what follows from them on this system.

use crate::{
    combinations::{self, Pointless},
    environment::UnknownVariable,
    layers::{Layers, together},
};
use hostler_settings::{
    Accept, Application, Bind, Declaration, Http, Interface, Limits, Listen, Log, LogTarget, Metrics,
    Process, RAY_CLUSTER, Runtime, RuntimeMode, Settings, Supervision, TaskEngine, Tasks, WorkerCount,
};
use hostler_wire::{CompanionSpec, Failure, Identity, MAX_LISTENING_SOCKETS, control::ConfigEntry};
use std::{io, time::Duration};

/// Beats of the heart come late on a busy machine.
const LEAST_STALL_TIMEOUT: Duration = Duration::from_millis(100);

/// Everything that was configured and is in effect.
#[derive(Debug)]
pub struct Config {
    /// The options.
    pub settings: Settings,
    /// Whether an address was set; otherwise sockets that a service manager passed take precedence over the default.
    pub binds_chosen: bool,
    /// Whether an address was set that is none of `--ssl-bind`.
    pub plain_binds_chosen: bool,
    /// The user that the application runs as.
    pub identity: Identity,
    /// Programs that run beside the workers.
    pub companions: Vec<CompanionSpec>,
    /// How many options were set.
    pub chosen: usize,
    /// Options that do nothing beside the others.
    pub pointless: Vec<Pointless>,
    /// Environment variables that look like options and are none.
    pub unknown_variables: Vec<UnknownVariable>,
    /// All options, with their sources.
    pub listing: Vec<ConfigEntry>,
    /// The command line of a peer that all of this was made from.
    pub peer: Option<hostler_peers::Translation>,
}

impl Config {
    pub(crate) fn from_layers(
        mut layers: Layers,
        unknown_variables: Vec<UnknownVariable>,
    ) -> Result<Self, Failure> {
        let mut problems = not_served(&layers);
        problems.extend(contradictions(&layers));
        problems.extend(crate::static_files::settle(&mut layers).err());
        problems.extend(check_access_log(&layers).err());
        problems.extend(check_task_engine(&layers).err());
        problems.extend(crate::request_id::check(&layers).err());
        problems.extend(crate::otlp::check(&layers).err());
        let identity = identity(&layers).unwrap_or_else(|problem| {
            problems.push(problem);
            Identity::default()
        });
        let companions = crate::companions::settle(&layers, &identity).unwrap_or_else(|problem| {
            problems.push(problem);
            Vec::new()
        });
        if let Some(problem) = together(problems) {
            return Err(problem);
        }
        let listen = &layers.settings.listen;
        // An empty list or path is none.
        let plain_binds_chosen = !listen.bind.is_empty()
            || listen.uds.is_some()
            || [Listen::host(), Listen::port()].into_iter().any(|option| layers.is_chosen(option));
        let binds_chosen = plain_binds_chosen || !layers.settings.tls.bind.is_empty();
        let pointless = combinations::pointless(&layers);
        let listing = layers.entries();
        let access_chosen = layers.is_set(Log::access());
        let boot_timeout_chosen = layers.is_set(Supervision::boot_timeout());
        let chosen = layers.count_set();
        let mut settings = layers.settings;
        if settings.auto_reload.enabled {
            develop(&mut settings, boot_timeout_chosen);
        }
        // As Gunicorn has it: a file for the access log turns it on.
        settings.log.access |= settings.log.access_file.is_some() && !access_chosen;
        settings.log.file.take_if(|file| file.as_os_str() == "-");
        let limits = &mut settings.supervision;
        // Two names of one limit.
        limits.graceful_timeout = limits.workers_kill_timeout.unwrap_or(limits.graceful_timeout);
        Ok(Self {
            settings,
            binds_chosen,
            plain_binds_chosen,
            identity,
            companions,
            chosen,
            pointless,
            unknown_variables,
            listing,
            peer: None,
        })
    }
}

/// What `--reload` changes: each reload is to load the code, and a debugger may halt it.
fn develop(settings: &mut Settings, boot_timeout_chosen: bool) {
    settings.app.preload = None;
    if !boot_timeout_chosen {
        settings.supervision.boot_timeout = None;
    }
}

/// What is not served, one failure for each.
fn not_served(layers: &Layers) -> Vec<Failure> {
    let Settings { app, runtime, supervision, listen, .. } = &layers.settings;
    let nameless = app.target.is_none().then(|| {
        let source = layers.source(Application::target());
        let failure = source.failure("no application was named");
        failure.hint("name it as module:attribute, for example `hostler shop.main:app`")
    });
    let one_thread = "a worker has one thread, so that no request waits for a lock";
    let scale = "use --workers to use more processors, or --blocking-threads (Gunicorn's --threads) for WSGI";
    let threads = matches!(runtime.mode, RuntimeMode::MultiThread | RuntimeMode::Runtime);
    let few = supervision.stall_timeout.is_some_and(|limit| limit < LEAST_STALL_TIMEOUT);
    let (beats, stall_hint) =
        ("workers that do nothing would be killed", "use 100ms or more, or 0 to disable it");
    let empty = layers.is_set(Listen::host()) && layers.text(Listen::host()).is_empty();
    let (no_host, hosts) =
        ("it is empty", "use 0.0.0.0 for all addresses of IPv4, :: for all, or leave it out");
    let passed = layers.settings.metrics.admin.iter().any(|bind| matches!(bind, Bind::Descriptor(_)));
    let (not_passed, own) = ("the observer binds its sockets itself", "name an address, or a Unix socket");
    let many = matches!(supervision.workers, WorkerCount::Fixed(count) if usize::from(count) > MAX_LISTENING_SOCKETS);
    let (sockets, fewer) =
        ("so many sockets cannot be passed to workers", "use --accept shared, or fewer workers");
    let follows_load = matches!(supervision.workers, WorkerCount::Range { .. });
    let (own_queues, shared) = (
        "each worker has a queue of its own there, and --workers MIN:MAX changes their number",
        "use --accept shared, or a fixed number of workers",
    );
    let (always, omit) = ("dead workers are always replaced", "leave the option out");
    let rules = [
        (empty, Listen::host(), no_host, hosts),
        (few, Supervision::stall_timeout(), beats, stall_hint),
        (runtime.threads > 1, Runtime::threads(), one_thread, scale),
        (threads, Runtime::mode(), one_thread, scale),
        (listen.accept == Accept::PerWorker && many, Listen::accept(), sockets, fewer),
        (listen.accept == Accept::PerWorker && follows_load, Listen::accept(), own_queues, shared),
        (passed, Metrics::admin(), not_passed, own),
        (!supervision.respawn_failed_workers, Supervision::respawn_failed_workers(), always, omit),
    ];
    let refused = rules.into_iter().filter(|(refused, ..)| *refused);
    let refused = refused.map(|(_, option, cause, hint)| layers.unusable(option).because(cause).hint(hint));
    nameless.into_iter().chain(refused).collect()
}

/// The access log's format, and the paths that are not in it.
fn check_access_log(layers: &Layers) -> Result<(), Failure> {
    let log = &layers.settings.log;
    if let Some(format) = &log.access_format
        && let Err(error) = hostler_access::Format::parse(format)
    {
        return Err(layers.invalid(Log::access_format()).because(error.cause).hint(error.hint));
    }
    match log.access_exclude.iter().find(|path| !path.starts_with('/') && *path != "*") {
        Some(path) => Err(layers
            .invalid(Log::access_exclude())
            .because(format!("`{path}` is no path"))
            .hint("a path begins with `/`, and `*` at its end stands for any rest: `/static/*`")),
        None => Ok(()),
    }
}

/// Whether the engine of tasks has what it needs.
fn check_task_engine(layers: &Layers) -> Result<(), Failure> {
    let tasks = &layers.settings.tasks;
    if tasks.engine == TaskEngine::Embedded {
        return Ok(());
    }
    if tasks.engine == TaskEngine::Ray {
        return check_ray(layers);
    }
    if matches!(tasks.workers, WorkerCount::Range { .. }) {
        let wrong = layers.invalid(Tasks::workers()).because("Celery's broker does not say how much waits");
        return Err(wrong.hint("name a number; task workers follow the queue of --task-engine embedded"));
    }
    if tasks.celery_app.is_some() {
        return Ok(());
    }
    let is_redis =
        |url: &str| url.starts_with("redis") || url.starts_with("unix") || url.starts_with("sentinel");
    match &tasks.broker {
        None => Err(layers
            .invalid(Tasks::engine())
            .because("Celery needs a broker")
            .hint("name it with --task-broker redis://HOST:PORT/0 or amqp://HOST, or your Celery application with --task-celery-app")),
        Some(broker) if tasks.results.is_none() && !is_redis(broker) => Err(layers
            .invalid(Tasks::engine())
            .because("this broker keeps no results")
            .hint("name a Redis that does: --task-results redis://HOST:PORT/0")),
        Some(_) => Ok(()),
    }
}

fn check_ray(layers: &Layers) -> Result<(), Failure> {
    let tasks = &layers.settings.tasks;
    if !matches!(tasks.workers, WorkerCount::Fixed(0 | 1)) {
        let cause = "Ray's own workers run the tasks, as many as there is work for";
        let wrong = layers.invalid(Tasks::workers()).because(cause);
        return Err(
            wrong.hint("leave it out, or set it to 1: a task worker that tells Ray what @cron is to start")
        );
    }
    let (address, is_local) = (&tasks.ray_address, tasks.local_ray().is_some());
    if address.contains("://") {
        let cause = format!("`{address}` is for Ray's client, which is not supported");
        let hint = "make this machine one of the cluster (`ray start --address HOST:6379 --num-cpus 0`), and leave the option out";
        return Err(layers.invalid(Tasks::ray_address()).because(cause).hint(hint));
    }
    let is_place = address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && host != "local" && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !is_local && !is_place && address != "auto" {
        let wrong = layers
            .invalid(Tasks::ray_address())
            .because(format!("`{address}` is no address of a Ray cluster"));
        return Err(wrong.hint("name it as HOST:PORT, as `ray start` prints it, auto, local or local:PORT"));
    }
    if is_local && layers.settings.companions.companions.iter().any(|it| it.name == RAY_CLUSTER) {
        let cause =
            format!("a companion is called {RAY_CLUSTER}, as the cluster of --task-ray-address local is");
        return Err(layers
            .invalid(Tasks::ray_address())
            .because(cause)
            .hint("call the companion something else"));
    }
    Ok(())
}

/// Options of which only one can hold, one failure for each pair.
fn contradictions(layers: &Layers) -> Vec<Failure> {
    let limits = &layers.settings.supervision;
    let (jitter, requests) = (Supervision::max_requests_jitter(), Supervision::max_requests());
    let (kill, graceful) = (Supervision::workers_kill_timeout(), Supervision::graceful_timeout());
    let (stall, request) = (Supervision::stall_timeout(), Http::request_timeout());
    let too_much =
        limits.max_requests_jitter.zip(limits.max_requests).is_some_and(|(jitter, most)| jitter >= most);
    let alone = (limits.max_requests_jitter.is_some() && limits.max_requests.is_none()).then(|| {
        let failure = layers.unusable(jitter).because("it varies --max-requests, which is not set");
        failure.hint("set --max-requests as well")
    });
    let (line, head) = (Limits::request_line(), Http::max_buffer());
    let line_beyond_head = layers.is_set(line)
        && layers.is_set(head)
        && layers.settings.limits.request_line > layers.settings.http.max_buffer;
    let two_values = layers.is_set(graceful)
        && limits.workers_kill_timeout.is_some_and(|kill| kill != limits.graceful_timeout);
    let log = &layers.settings.log;
    let two_places = log.file.as_ref().is_some_and(|file| file.as_os_str() != "-")
        && log.target.as_ref().is_some_and(|target| *target != LogTarget::StandardError);
    let rules = [
        (two_places, Log::target(), Log::file(), "lines go to one place"),
        (too_much, jitter, requests, "jitter must leave at least one request"),
        (line_beyond_head, line, head, "the request line is a part of the head, which is in this buffer"),
        (two_values, kill, graceful, "they are two names of one limit"),
        (
            is_killed_while_it_serves(layers),
            stall,
            request,
            "with one blocking thread a request blocks the event loop: its worker would be killed first",
        ),
    ];
    let broken = address_rules(layers).into_iter().chain(rules).filter(|(contradict, ..)| *contradict);
    let broken = broken.map(|(_, a, b, cause)| layers.contradiction(a, b).because(cause));
    alone.into_iter().chain(broken).collect()
}

/// Whether these contradict each other, and why.
type Rule = (bool, &'static Declaration, &'static Declaration, &'static str);

/// Addresses that make each other ineffective; those of lower layers are replaced before.
fn address_rules(layers: &Layers) -> [Rule; 4] {
    let (host, port, bind, uds) = (Listen::host(), Listen::port(), Listen::bind(), Listen::uds());
    let listen = &layers.settings.listen;
    let (binds, unix) = (!listen.bind.is_empty(), listen.uds.is_some());
    let needs_port = listen.bind.iter().any(Bind::has_no_port);
    let (has_host, has_port) = (layers.is_set(host), layers.is_set(port) && !needs_port);
    let in_place = "it is listened on in place of host and port";
    [
        (binds && has_host, bind, host, in_place),
        (binds && has_port, bind, port, in_place),
        (unix && has_host, uds, host, in_place),
        (unix && has_port, uds, port, in_place),
    ]
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
