//! uWSGI 2.0: options of its INI files, for `hostler migrate`. There are hundreds; those that are not in the table are told.

mod ini;

pub(crate) use ini::parse;

use crate::{
    convert::{BACKLOG, HEAD_SIZE, by_itself, converted},
    item::{Context, Item},
    row::{
        Becomes::{self, NoEffect, Refused, Same},
        Row,
    },
    translate::{Outcome, Setting, application, same},
};
use hostler_settings::{
    Application, AutoReload, Http, Limits, Listen, Log, Process, StaticFiles, Supervision, Wsgi,
};

const ALWAYS: &str = "hostler always does so";
const LIFE: &str = "dead workers are always replaced, and never outlive the master";
const FIXED: &str = "`--workers MIN:MAX` follows the load";
const ROUTER: &str = "hostler's workers speak HTTP themselves, without a router in front";
const BESIDE: Becomes = Refused {
    why: "hostler runs no other tasks",
    instead: "run it as a service of its own (Celery, cron, systemd timers)",
};

#[rustfmt::skip]
pub(crate) static ROWS: &[Row] = &[
    Row::values(&["http-socket", "http"], converted(&[Listen::bind()], "the same address", http)),
    Row::values(&["socket", "uwsgi-socket", "s"], converted(&[Listen::bind()], "the same address, with HTTP in place of uwsgi", socket)),
    Row::value(&["protocol"], NoEffect("hostler speaks HTTP")),
    Row::value(&["chmod-socket", "chmod"], converted(&[Listen::uds_permissions()], "the same", chmod)),
    Row::value(&["chown-socket"], converted(&[Listen::uds_owner(), Listen::uds_group()], "the same", chown)),
    Row::value(&["processes", "workers", "p"], converted(&[Supervision::workers()], "the same; %k is auto", processes)),
    Row::value(&["threads"], Same(Wsgi::blocking_threads())),
    Row::value(&["gevent", "async", "asyncio"], converted(&[Wsgi::blocking_threads()], "threads", greenlets)),
    Row::value(&["module", "wsgi", "w"], converted(&[Application::target()], "the application", module)),
    Row::value(&["wsgi-file", "file"], converted(&[Application::target()], "the application", module)),
    Row::value(&["callable"], converted(&[], "a part of the application's name", |_, _| Outcome::Sets(Vec::new(), None))),
    Row::value(&["chdir", "chdir2"], Same(Application::working_dir())),
    Row::values(&["pythonpath", "python-path", "pp"], Same(Application::python_path())),
    Row::value(&["virtualenv", "venv", "home", "pyhome", "H"], converted(&[Application::python()], "its bin/python", virtualenv)),
    Row::value(&["uid"], Same(Process::user())),
    Row::value(&["gid"], Same(Process::group())),
    Row::value(&["umask"], Same(Process::umask())),
    Row::values(&["env"], Same(Application::env())),
    Row::value(&["harakiri"], converted(&[Supervision::stall_timeout(), Http::request_timeout()], "with one thread --stall-timeout, otherwise --request-timeout", harakiri)),
    Row::value(&["max-requests"], Same(Supervision::max_requests())),
    Row::value(&["max-requests-delta"], Same(Supervision::max_requests_jitter())),
    Row::value(&["max-worker-lifetime"], Same(Supervision::lifetime())),
    Row::value(&["reload-on-rss", "evil-reload-on-rss"], Same(Supervision::max_memory())),
    Row::value(&["worker-reload-mercy", "reload-mercy"], Same(Supervision::graceful_timeout())),
    Row::value(&["listen", "l"], BACKLOG),
    Row::value(&["buffer-size", "b"], HEAD_SIZE),
    Row::value(&["limit-post"], Same(Limits::request_body())),
    Row::value(&["http-keepalive"], Same(Http::idle_timeout())),
    Row::values(&["static-map"], Same(StaticFiles::mounts())),
    Row::value(&["logto", "logto2"], Same(Log::file())),
    Row::value(&["daemonize", "daemonize2", "d"], converted(&[Log::file()], "its log; hostler stays in the foreground", daemonize)),
    Row::value(&["pidfile", "pidfile2", "safe-pidfile"], Same(Process::pid_file())),
    Row::value(&["procname", "procname-prefix", "procname-master"], Same(Process::name())),
    Row::value(&["py-autoreload", "py-auto-reload"], converted(&[AutoReload::enabled()], "--reload", |_, _| Outcome::set(AutoReload::enabled(), "true"))),
    Row::flag(&["disable-logging", "L"], converted(&[Log::access()], "no access log", |_, _| Outcome::set(Log::access(), "false"))),
    Row::value(&["log-format", "logformat"], Refused { why: "access logs have another form of format", instead: "write it as --access-log-fmt: common, combined, json or Gunicorn's %(h)s (docs/ACCESS_LOG.md)" }),
    Row::flag(&["lazy-apps", "lazy"], converted(&[], "no --preload", |_, _| Outcome::Sets(Vec::new(), None))),
    Row::value(&["http-timeout", "socket-timeout", "http-headers-timeout"], NoEffect("clients have time limits of their own (docs/LIMITS.md)")),
    Row::value(&["post-buffering", "post-buffering-bufsize"], NoEffect("bodies are stored before the application is called (--wsgi-body-spool)")),
    Row::flag(&["master", "M"], NoEffect(ALWAYS)), Row::flag(&["vacuum"], NoEffect("sockets and pid files that it made are removed at the end")),
    Row::flag(&["die-on-term"], NoEffect("SIGTERM stops gracefully")), Row::flag(&["enable-threads", "T"], NoEffect(ALWAYS)),
    Row::flag(&["single-interpreter", "i"], NoEffect(ALWAYS)), Row::flag(&["need-app"], NoEffect(ALWAYS)), Row::flag(&["strict"], NoEffect(ALWAYS)),
    Row::flag(&["thunder-lock"], NoEffect("no two workers wake up for one connection")), Row::flag(&["no-orphans"], NoEffect(LIFE)),
    Row::flag(&["auto-procname"], NoEffect(ALWAYS)), Row::flag(&["close-on-exec"], NoEffect(ALWAYS)), Row::flag(&["memory-report", "m"], NoEffect("memory is measured for --workers-max-rss")),
    Row::flag(&["ignore-sigpipe"], NoEffect("a client that leaves is no error")), Row::flag(&["ignore-write-errors"], NoEffect("a client that leaves is no error")),
    Row::flag(&["disable-write-exception"], NoEffect("a client that leaves is no error")),
    Row::flag(&["manage-script-name"], NoEffect("SCRIPT_NAME is that of --url-path-prefix")), Row::flag(&["log-x-forwarded-for"], NoEffect("the access log has the client that trusted proxies name")),
    Row::flag(&["http-auto-chunked"], NoEffect(ALWAYS)), Row::flag(&["http11-socket"], NoEffect(ALWAYS)), Row::flag(&["so-keepalive"], NoEffect("idle connections are closed by --keep-alive")),
    Row::values(&["plugins", "plugin"], NoEffect("Python is always there")), Row::value(&["offload-threads"], NoEffect("files are sent by the kernel")),
    Row::value(&["http-processes"], NoEffect(ROUTER)), Row::value(&["forkbomb-delay"], NoEffect("workers that crash again are replaced after longer and longer waits")),
    Row::value(&["stats", "stats-server"], NoEffect("uWSGI's format of statistics is not served")),
    Row::value(&["cheaper"], NoEffect(FIXED)), Row::value(&["cheaper-algo"], NoEffect(FIXED)), Row::value(&["cheaper-initial"], NoEffect(FIXED)),
    Row::value(&["cheaper-step"], NoEffect(FIXED)), Row::flag(&["cheap"], NoEffect(FIXED)), Row::value(&["idle"], NoEffect(FIXED)),
    Row::value(&["spooler", "spooler-processes"], BESIDE), Row::value(&["mule", "mules"], BESIDE), Row::values(&["cron", "cron2", "unique-cron"], BESIDE),
    Row::values(&["attach-daemon", "attach-daemon2", "smart-attach-daemon"], BESIDE),
    Row::value(&["https", "https-socket"], Refused { why: "certificates are named by options of their own", instead: "set ssl-bind, ssl-certificate and ssl-keyfile" }),
    Row::values(&["mount"], Refused { why: "there is one application", instead: "set app and url-path-prefix, or have the proxy choose between several servers" }),
    Row::value(&["check-static"], Refused { why: "files are served from paths that are named", instead: "set static-mount, such as \"/static=/srv/static\"" }),
    Row::value(&["touch-reload"], Refused { why: "hostler watches files for developers only (--reload)", instead: "send the master SIGHUP after a deployment (systemctl reload)" }),
];

/// What uWSGI does where nothing is said, and hostler does not.
pub(crate) fn defaults(context: &Context<'_>) -> Vec<(Setting, &'static str)> {
    let mut all = vec![
        by_itself(Application::interface(), "wsgi", "it serves WSGI"),
        by_itself(Log::access(), "true", "its log has requests, unless disable-logging is set"),
    ];
    if context.item("lazy-apps").is_none() {
        all.push(by_itself(
            Application::preload(),
            "warn",
            "it imports the application before it forks, unless lazy-apps is set",
        ));
    }
    all
}

fn addresses(item: &Item) -> Setting {
    let address = |value: &String| match value.trim() {
        path if path.starts_with('/') || path.starts_with('.') => format!("unix:{path}"),
        name if name.starts_with('@') => format!("unix:{name}"),
        port if port.bytes().all(|byte| byte.is_ascii_digit()) => format!("0.0.0.0:{port}"),
        path if !path.contains(':') => format!("unix:{path}"),
        address => address.to_owned(),
    };
    Setting { option: Listen::bind(), texts: item.values.iter().map(address).collect() }
}

fn http(item: &Item, _: &Context<'_>) -> Outcome {
    Outcome::Sets(vec![addresses(item)], None)
}

fn socket(item: &Item, _: &Context<'_>) -> Outcome {
    let note = "it speaks HTTP: in nginx, proxy_pass http://… in place of uwsgi_pass";
    Outcome::Sets(vec![addresses(item)], Some(note.into()))
}

fn chmod(item: &Item, _: &Context<'_>) -> Outcome {
    match item.value() {
        "" | "true" => Outcome::set(Listen::uds_permissions(), "0666"),
        _ => same(item, Listen::uds_permissions()),
    }
}

fn chown(item: &Item, _: &Context<'_>) -> Outcome {
    let (user, group) =
        item.value().split_once(':').map_or((item.value(), None), |(user, group)| (user, Some(group)));
    let group = group.map(|group| Setting::one(Listen::uds_group(), group));
    Outcome::Sets([Setting::one(Listen::uds_owner(), user)].into_iter().chain(group).collect(), None)
}

fn processes(item: &Item, _: &Context<'_>) -> Outcome {
    match item.value() {
        "%k" | "%(k)" | "auto" => Outcome::set(Supervision::workers(), "auto"),
        _ => same(item, Supervision::workers()),
    }
}

fn greenlets(item: &Item, _: &Context<'_>) -> Outcome {
    let count = item.value().trim().parse::<u64>().unwrap_or(64).clamp(2, 64);
    Outcome::set(Wsgi::blocking_threads(), count.to_string())
        .noting("requests run on threads, not on greenlets")
}

fn module(item: &Item, context: &Context<'_>) -> Outcome {
    application(item.value(), context.value("callable").unwrap_or("application"))
}

fn virtualenv(item: &Item, _: &Context<'_>) -> Outcome {
    Outcome::set(Application::python(), format!("{}/bin/python", item.value().trim_end_matches('/')))
}

fn harakiri(item: &Item, context: &Context<'_>) -> Outcome {
    let threads = context.number("threads").unwrap_or(1) > 1 || context.item("gevent").is_some();
    if threads {
        return same(item, Http::request_timeout()).noting("the response is 504; the worker is not killed");
    }
    same(item, Supervision::stall_timeout()).noting("the worker is replaced, and the log has its stacks")
}

fn daemonize(item: &Item, _: &Context<'_>) -> Outcome {
    same(item, Log::file())
        .noting("hostler stays in the foreground: start it by systemd (systemd/hostler.service)")
}
