//! Gunicorn 27.0: command line, `GUNICORN_CMD_ARGS`, and settings of `gunicorn.conf.py`, which stand in the table without dashes
//! if the command line does not have them.

mod addresses;
mod hooks;
mod model;

use crate::{
    convert::{
        self, BACKLOG, by_itself, ca_certs, cert_reqs, ciphers, converted, log_file, log_level, ssl_version,
    },
    item::{Context, Item},
    row::{
        Becomes::{self, NoEffect, Prints, Refused, Same},
        EXPLAIN, Prints as What, Row,
    },
    translate::{Outcome, Setting},
};
use addresses::{bind, group, umask, user};
use hooks::{LATER_HOOK, NO_HOOK, hook};
use hostler_settings::{
    Application, AutoReload, Http, Http2, Limits, Listen, Log, Process, Proxy, Supervision, Tls, WebSocket,
    Wsgi,
};
use model::{Model, asgi_lifespan, asgi_loop, threads, worker_class, worker_connections};

const STATSD: &str = "hostler sends no metrics to StatsD";
const SYSLOG: &str = "it belongs to --log-syslog, which reads it";
const DIRTY: &str = "it belongs to --dirty-app, which is refused";
const UWSGI: &str = "it belongs to --protocol uwsgi, which is refused";
const STRICT: &str =
    "requests that break the rules of HTTP are refused: proxies and servers would disagree on them";
const CLIENT: &str = "leave it out, and mend the client";
const TABLE: Becomes = Refused {
    why: "settings as a dictionary are not taken",
    instead: "write it into a file, and name that with logconfig",
};

/// Settings whose names are not those of their options.
pub(crate) const SETTING_NAMES: &[(&str, &str)] = &[
    ("keepalive", "--keep-alive"),
    ("limit_request_field_size", "--limit-request-field_size"),
    ("reload_extra_files", "--reload-extra-file"),
    ("preload_app", "--preload"),
    ("sendfile", "--no-sendfile"),
    ("raw_env", "--env"),
    ("pidfile", "--pid"),
    ("accesslog", "--access-logfile"),
    ("access_log_format", "--access-logformat"),
    ("errorlog", "--error-logfile"),
    ("loglevel", "--log-level"),
    ("logconfig", "--log-config"),
    ("logconfig_json", "--log-config-json"),
    ("syslog_addr", "--log-syslog-to"),
    ("syslog", "--log-syslog"),
    ("syslog_prefix", "--log-syslog-prefix"),
    ("syslog_facility", "--log-syslog-facility"),
    ("proc_name", "--name"),
    ("proxy_allow_ips", "--proxy-allow-from"),
    ("uwsgi_allow_ips", "--uwsgi-allow-from"),
    ("raw_paste_global_conf", "--paste-global"),
    ("dirty_apps", "--dirty-app"),
    ("control_socket_disable", "--no-control-socket"),
];

#[rustfmt::skip]
pub(crate) static ROWS: &[Row] = &[
    Row::value(&["--config", "-c"], converted(&[], "the file's settings are taken, below those of GUNICORN_CMD_ARGS", |_, _| Outcome::Sets(Vec::new(), Some("its settings are here, too".into())))),
    Row::values(&["--bind", "-b"], converted(&[Listen::bind()], "the same", bind)),
    Row::value(&["--backlog"], BACKLOG),
    Row::value(&["--workers", "-w"], Same(Supervision::workers())),
    Row::value(&["--worker-class", "-k"], converted(&[Application::interface(), Wsgi::blocking_threads()], "sync and gthread are WSGI, asgi and Uvicorn's worker ASGI, gevent and eventlet WSGI with 64 threads", worker_class)),
    Row::value(&["--threads"], converted(&[Wsgi::blocking_threads()], "the same, for WSGI", threads)),
    Row::value(&["--worker-connections"], converted(&[Limits::connections()], "the same, but for sync workers, which ignore it", worker_connections)),
    Row::value(&["--max-requests"], converted(&[Supervision::max_requests()], "the same, plus the jitter", |item, context| convert::max_requests(item, context, "--max-requests-jitter"))),
    Row::value(&["--max-requests-jitter"], converted(&[Supervision::max_requests_jitter()], "the same", |item, context| convert::jitter(item, context, "--max-requests"))),
    Row::value(&["--timeout", "-t"], converted(&[Supervision::stall_timeout()], "how long a worker may show no life: with one thread that is a request, otherwise the event loop", timeout)),
    Row::value(&["--graceful-timeout"], Same(Supervision::graceful_timeout())),
    Row::value(&["--keep-alive"], Same(Http::idle_timeout())),
    Row::value(&["--limit-request-line"], Same(Limits::request_line())),
    Row::value(&["--limit-request-fields"], converted(&[Http::max_headers()], "the same; 0 is the most, 16384", limit_fields)),
    Row::value(&["--limit-request-field_size"], Same(Limits::request_field())),
    Row::flag(&["--reload"], Same(AutoReload::enabled())),
    Row::value(&["--reload-engine"], NoEffect("the kernel tells of changes")),
    Row::values(&["--reload-extra-file"], converted(&[AutoReload::paths(), AutoReload::include()], "these, and the working directory; patterns are --reload-include", extra_files)),
    Row::flag(&["--spew"], Refused { why: "hostler does not trace every line of Python", instead: "leave it out; `--slow-callback` of hostler names lines that block" }),
    Row::flag(&["--check-config"], Prints(What::Nothing)),
    Row::flag(&["--print-config"], Prints(What::Configuration)),
    Row::flag(&["--preload"], converted(&[Application::preload()], "--preload=warn", |_, _| Outcome::set(Application::preload(), "warn"))),
    Row::flag(&["--no-sendfile"], NoEffect("files are sent by sendfile(2) where the kernel can do it")),
    Row::flag(&["--reuse-port"], converted(&[Listen::accept()], "--accept per-worker", |_, _| Outcome::set(Listen::accept(), "per-worker"))),
    Row::value(&["--chdir"], Same(Application::working_dir())),
    Row::flag(&["--daemon", "-D"], Refused { why: "hostler stays in the foreground", instead: "leave it out, and start hostler by systemd (systemd/hostler.service), a container, or `nohup … &`" }),
    Row::values(&["--env", "-e"], Same(Application::env())),
    Row::value(&["--pid", "-p"], Same(Process::pid_file())),
    Row::value(&["--worker-tmp-dir"], NoEffect("heartbeats are in shared memory, not in files")),
    Row::value(&["--user", "-u"], converted(&[Process::user(), Listen::uds_owner()], "the same, and the owner of Unix sockets", user)),
    Row::value(&["--group", "-g"], converted(&[Process::group(), Listen::uds_group()], "the same, and the group of Unix sockets", group)),
    Row::value(&["--umask", "-m"], converted(&[Listen::uds_permissions()], "the mode of Unix sockets, as in Gunicorn", umask)),
    Row::flag(&["--initgroups"], NoEffect("--user always takes the groups of that user")),
    Row::value(&["--forwarded-allow-ips"], Same(Proxy::trusted())),
    Row::value(&["--access-logfile"], Same(Log::access_file())),
    Row::flag(&["--disable-redirect-access-to-syslog"], NoEffect("the access log never goes to syslog")),
    Row::value(&["--access-logformat"], Same(Log::access_format())),
    Row::value(&["--error-logfile", "--log-file"], converted(&[Log::file()], "the same; - is standard error", log_file)),
    Row::value(&["--log-level"], converted(&[Log::level()], "the same", log_level)),
    Row::flag(&["--capture-output"], NoEffect("what the application prints goes to standard output and error")),
    Row::value(&["--logger-class"], converted(&[], "Gunicorn's own has no effect, others are refused", logger_class)),
    Row::value(&["--log-config"], Same(Log::config())),
    Row::value(&["--log-config-json"], Same(Log::config())),
    Row::value(&["--log-syslog-to"], NoEffect(SYSLOG)),
    Row::flag(&["--log-syslog"], converted(&[Log::target()], "--log-syslog-to, or udp://localhost:514", log_syslog)),
    Row::value(&["--log-syslog-prefix"], Same(Log::syslog_prefix())),
    Row::value(&["--log-syslog-facility"], Same(Log::syslog_facility())),
    Row::flag(&["--enable-stdio-inheritance", "-R"], NoEffect("workers always have standard output and error")),
    Row::value(&["--statsd-host"], Refused { why: STATSD, instead: "leave it out" }),
    Row::value(&["--dogstatsd-tags"], NoEffect(STATSD)),
    Row::value(&["--statsd-prefix"], NoEffect(STATSD)),
    Row::flag(&["--enable-backlog-metric"], NoEffect(STATSD)),
    Row::value(&["--name", "-n"], Same(Process::name())),
    Row::value(&["--pythonpath"], Same(Application::python_path())),
    Row::value(&["--paste", "--paster"], Refused { why: "files of PasteDeploy are not read", instead: "name a module that calls paste.deploy.loadapp, as module:attribute" }),
    Row::value(&["--proxy-protocol"], converted(&[Proxy::protocol()], "the same", proxy_protocol)).optional("auto"),
    Row::value(&["--proxy-allow-from"], Same(Proxy::senders())),
    Row::value(&["--protocol"], converted(&[], "http has no effect, uwsgi is refused", protocol)),
    Row::value(&["--uwsgi-allow-from"], NoEffect(UWSGI)),
    Row::value(&["--keyfile"], Same(Tls::keyfile())),
    Row::value(&["--certfile"], Same(Tls::certificate())),
    Row::value(&["--ssl-version"], converted(&[Tls::protocol_min()], "TLS 1.2 or newer", ssl_version)),
    Row::value(&["--cert-reqs"], converted(&[Tls::client_verify()], "2 requires certificates of clients", cert_reqs)),
    Row::value(&["--ca-certs"], converted(&[Tls::ca()], "the same, with --cert-reqs 1 or 2", |item, context| ca_certs(item, context, &["--cert-reqs"]))),
    Row::flag(&["--suppress-ragged-eofs"], NoEffect("a client that ends TLS without saying so is no error")),
    Row::flag(&["--do-handshake-on-connect"], NoEffect("handshakes never block a worker")),
    Row::value(&["--ciphers"], converted(&[], "the defaults have no effect, others are refused", ciphers)),
    Row::value(&["--http-protocols"], converted(&[Http::version()], "h1 is 1, h2 is 2, both are auto", http_protocols)),
    Row::value(&["--http2-cleartext"], converted(&[Http::version()], "clients that know that it is HTTP/2 are served; there is no upgrade from HTTP/1", http2_cleartext)),
    Row::value(&["--http2-max-concurrent-streams"], Same(Http2::max_concurrent_streams())),
    Row::value(&["--http2-initial-window-size"], Same(Http2::initial_stream_window_size())),
    Row::value(&["--http2-max-frame-size"], Same(Http2::max_frame_size())),
    Row::value(&["--http2-max-header-list-size"], Same(Http2::max_headers_size())),
    Row::values(&["--paste-global"], Refused { why: "files of PasteDeploy are not read", instead: "leave it out" }),
    Row::flag(&["--permit-obsolete-folding"], Refused { why: STRICT, instead: CLIENT }),
    Row::flag(&["--strip-header-spaces"], Refused { why: STRICT, instead: CLIENT }),
    Row::flag(&["--permit-unconventional-http-method"], NoEffect("every method that is a token of HTTP is passed on")),
    Row::flag(&["--permit-unconventional-http-version"], Refused { why: STRICT, instead: CLIENT }),
    Row::flag(&["--casefold-http-method"], Refused { why: "methods are passed on as they come (RFC 9110, 9.1)", instead: CLIENT }),
    Row::value(&["--forwarder-headers"], Same(Proxy::forwarder_headers())),
    Row::value(&["--header-map"], Same(Proxy::header_map())),
    Row::value(&["--asgi-loop"], converted(&[hostler_settings::Runtime::event_loop()], "the same; auto is hostler's own", asgi_loop)),
    Row::value(&["--asgi-lifespan"], converted(&[Application::interface()], "off is --interface asginl", asgi_lifespan)),
    Row::value(&["--asgi-disconnect-grace-period"], NoEffect("an application is told at once that its client left, and not cancelled")),
    Row::value(&["--websocket-max-message-size"], Same(WebSocket::max_size())),
    Row::value(&["--http-parser"], NoEffect("hostler has one parser of HTTP")),
    Row::value(&["--root-path"], Same(Application::root_path())),
    Row::values(&["--dirty-app"], Refused { why: "hostler has no dirty workers", instead: "use a queue of tasks" }),
    Row::value(&["--dirty-workers"], NoEffect(DIRTY)),
    Row::value(&["--dirty-timeout"], NoEffect(DIRTY)),
    Row::value(&["--dirty-threads"], NoEffect(DIRTY)),
    Row::value(&["--dirty-graceful-timeout"], NoEffect(DIRTY)),
    Row::value(&["--control-socket"], converted(&[Process::control_socket()], "the same path, where hostler ctl is answered and gunicornc is not", |item, _| Outcome::set(Process::control_socket(), item.value()))),
    Row::value(&["--control-socket-mode"], NoEffect("the control socket is its user's alone (0600)")),
    Row::flag(&["--no-control-socket"], converted(&[Process::control_socket()], "--control-socket off", |_, _| Outcome::set(Process::control_socket(), "off"))),
    Row::flag(&["--help", "-h"], Prints(What::Help)), Row::flag(&["--version", "-v"], Prints(What::Version)), EXPLAIN,
    Row::value(&["wsgi_app"], converted(&[Application::target()], "the application, unless the command line names one", |item, _| target(item.value()))),
    Row::value(&["tmp_upload_dir"], NoEffect("bodies are stored in TMPDIR, in files without names")),
    Row::value(&["secure_scheme_headers"], converted(&[], "X-Forwarded-Proto says the scheme; others are refused", scheme_headers)),
    Row::value(&["logconfig_dict"], TABLE),
    Row::value(&["default_proc_name"], NoEffect("--name names the process")),
    hook("post_fork"), hook("post_worker_init"), hook("worker_exit"), hook("child_exit"), hook("when_ready"), hook("pre_fork"),
    Row::value(&["on_starting"], LATER_HOOK), Row::value(&["on_reload"], LATER_HOOK), Row::value(&["on_exit"], LATER_HOOK),
    Row::value(&["pre_exec"], LATER_HOOK), Row::value(&["nworkers_changed"], LATER_HOOK),
    Row::value(&["worker_int"], LATER_HOOK), Row::value(&["worker_abort"], LATER_HOOK),
    Row::value(&["pre_request"], NO_HOOK), Row::value(&["post_request"], NO_HOOK),
    Row::value(&["ssl_context"], converted(&[], "refused with --certfile, without effect otherwise", ssl_context)),
    Row::value(&["on_dirty_starting"], NoEffect(DIRTY)), Row::value(&["dirty_post_fork"], NoEffect(DIRTY)),
    Row::value(&["dirty_worker_init"], NoEffect(DIRTY)), Row::value(&["dirty_worker_exit"], NoEffect(DIRTY)),
];

/// What Gunicorn does where nothing is said, and hostler does not.
pub(crate) fn defaults(context: &Context<'_>) -> Vec<(Setting, &'static str)> {
    let model = Model::of(context).unwrap_or(Model::Sync);
    let mut all = addresses::defaults(context);
    all.push(by_itself(Application::interface(), model.interface(context), "its workers serve this"));
    if model == Model::Uvicorn {
        all.extend([
            by_itself(
                Proxy::believed(),
                "x-forwarded-for,x-forwarded-proto",
                "the headers of proxies that it believes",
            ),
            by_itself(Proxy::header_map(), "dangerous", "Uvicorn passes on headers with underscores"),
            by_itself(WebSocket::deflate(), "true", "Uvicorn compresses WebSocket messages"),
        ]);
    } else {
        all.push(by_itself(Proxy::believed(), "x-forwarded-proto", "the header of proxies that it believes"));
    }
    all
}

/// Gunicorn's application is `application`, unless it is named.
pub(crate) fn target(text: &str) -> Outcome {
    crate::translate::application(text, "application")
}

fn timeout(item: &Item, context: &Context<'_>) -> Outcome {
    let outcome = crate::translate::same(item, Supervision::stall_timeout());
    match Model::of(context) {
        _ if item.value().trim() == "0" => outcome,
        Ok(Model::Sync) if context.number("--threads").unwrap_or(1) < 2 => outcome,
        _ => outcome.noting("how long the event loop may stand still; a request may take longer"),
    }
}

fn limit_fields(item: &Item, _: &Context<'_>) -> Outcome {
    match item.value().trim().parse::<u64>() {
        Ok(0 | 16_385..) => Outcome::set(Http::max_headers(), "16384").noting("the most"),
        _ => crate::translate::same(item, Http::max_headers()),
    }
}

fn extra_files(item: &Item, _: &Context<'_>) -> Outcome {
    let (globs, files): (Vec<_>, Vec<_>) =
        item.values.iter().cloned().partition(|value| value.contains(['*', '?', '[']));
    let paths = [".".to_owned()].into_iter().chain(files).collect();
    let mut settings = vec![Setting { option: AutoReload::paths(), texts: paths }];
    if !globs.is_empty() {
        settings.push(Setting { option: AutoReload::include(), texts: globs });
    }
    Outcome::Sets(settings, None)
}

fn log_syslog(item: &Item, context: &Context<'_>) -> Outcome {
    if !item.on {
        return Outcome::no_effect("lines are written to standard error");
    }
    Outcome::set(Log::target(), context.value("--log-syslog-to").unwrap_or("udp://localhost:514"))
}

fn logger_class(item: &Item, _: &Context<'_>) -> Outcome {
    match item.value() {
        "gunicorn.glogging.Logger" | "simple" => Outcome::no_effect("hostler writes its log itself"),
        _ => Outcome::refused(
            "classes of loggers cannot be used: hostler writes its log itself",
            "leave it out; HOSTLER_LOG_FORMAT=json writes JSON, and --access-logformat says what is in an access log line",
        ),
    }
}

fn proxy_protocol(item: &Item, _: &Context<'_>) -> Outcome {
    let text = match item.value().to_ascii_lowercase().as_str() {
        "true" => "auto".to_owned(),
        "false" => "off".to_owned(),
        other => other.to_owned(),
    };
    Outcome::set(Proxy::protocol(), text)
}

fn protocol(item: &Item, _: &Context<'_>) -> Outcome {
    match item.value() {
        "http" => Outcome::no_effect("HTTP is what hostler serves"),
        _ => Outcome::refused(
            "only HTTP is served",
            "have the proxy speak HTTP: proxy_pass in place of uwsgi_pass",
        ),
    }
}

fn http_protocols(item: &Item, _: &Context<'_>) -> Outcome {
    let names: Vec<_> = item.values.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
    if names.contains(&"h3") {
        return Outcome::refused("HTTP/3 is not served", "leave h3 out");
    }
    match (names.contains(&"h1"), names.contains(&"h2")) {
        (true, true) => Outcome::set(Http::version(), "auto"),
        (false, true) => Outcome::set(Http::version(), "2"),
        (true, false) => Outcome::set(Http::version(), "1"),
        (false, false) => Outcome::refused("it names no version of HTTP", "use h1, h2 or both"),
    }
}

fn http2_cleartext(item: &Item, _: &Context<'_>) -> Outcome {
    match item.value() {
        "off" | "false" => {
            Outcome::no_effect("without --http 1, clients that know that it is HTTP/2 are served")
        }
        "prior-knowledge" | "true" => Outcome::set(Http::version(), "auto"),
        _ => Outcome::set(Http::version(), "auto")
            .noting("clients that ask for an upgrade are served by HTTP/1.1 (RFC 9113 has abolished it)"),
    }
}

/// Which headers say that a request came by TLS: a dictionary, as JSON.
fn scheme_headers(item: &Item, _: &Context<'_>) -> Outcome {
    let text = item.value().to_ascii_uppercase();
    if text == "{}" {
        return Outcome::refused(
            "X-Forwarded-Proto of trusted proxies is believed",
            "set forwarded_allow_ips to none of them",
        );
    }
    if text.contains("X-FORWARDED-PROTO\"") {
        return Outcome::no_effect("X-Forwarded-Proto says the scheme");
    }
    Outcome::refused(
        "the scheme is said by X-Forwarded-Proto or Forwarded",
        "have the proxy send X-Forwarded-Proto, and leave the setting out",
    )
}

fn ssl_context(_: &Item, context: &Context<'_>) -> Outcome {
    match context.item("--certfile") {
        None => Outcome::no_effect("there is no certificate"),
        Some(_) => Outcome::refused(
            "TLS is rustls', not Python's",
            "leave it out: use certfile, keyfile, ca_certs and cert_reqs, or hostler's --ssl-… options",
        ),
    }
}
