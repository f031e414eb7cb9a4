//! Hypercorn 0.18.

use crate::{
    convert::{
        self, BACKLOG, HEAD_SIZE, PING_INTERVAL, by_itself, ca_certs, cert_reqs, ciphers, converted,
        log_file, log_level, socket_mode,
    },
    item::{Context, Item},
    row::{
        Becomes::{NoEffect, Refused, Same},
        EXPLAIN, HELP, Row,
    },
    translate::{Outcome, Setting, application, same},
};
use hostler_settings::{
    Application, AutoReload, Http, Http2, Limits, Listen, Log, Process, Proxy, Runtime, Supervision, Tls,
    WebSocket,
};

const VERIFY: [&str; 2] = ["--verify-mode", "--cert-reqs"];
const NO_STATSD: &str = "hostler sends no metrics to StatsD";

/// Settings whose names are not those of their options.
pub(crate) const SETTING_NAMES: &[(&str, &str)] = &[
    ("accesslog", "--access-logfile"),
    ("access_log_format", "--access-logformat"),
    ("errorlog", "--error-logfile"),
    ("keep_alive_timeout", "--keep-alive"),
    ("logconfig", "--log-config"),
    ("loglevel", "--log-level"),
    ("pid_path", "--pid"),
    ("server_names", "--server-name"),
    ("use_reloader", "--reload"),
];

#[rustfmt::skip]
pub(crate) static ROWS: &[Row] = &[
    Row::value(&["--access-logfile"], Same(Log::access_file())),
    Row::value(&["--access-log"], Same(Log::access_file())),
    Row::value(&["--access-logformat"], Same(Log::access_format())),
    Row::value(&["--backlog"], BACKLOG),
    Row::values(&["--bind", "-b"], converted(&[Listen::bind(), Tls::bind()], "the same; with certificates and --insecure-bind it is --ssl-bind", bind)),
    Row::value(&["--ca-certs"], converted(&[Tls::ca()], "the same, with --verify-mode", |item, context| ca_certs(item, context, &VERIFY))),
    Row::value(&["--certfile"], Same(Tls::certificate())),
    Row::value(&["--cert-reqs"], converted(&[Tls::client_verify()], "2 requires certificates of clients", cert_reqs)),
    Row::value(&["--ciphers"], converted(&[], "the defaults have no effect, others are refused", ciphers)),
    Row::value(&["--config", "-c"], converted(&[], "the file's settings are taken, below those of the command line", |_, _| Outcome::Sets(Vec::new(), Some("its settings are here, too".into())))),
    Row::flag(&["--daemon", "-D"], NoEffect("workers never outlive the master")),
    Row::flag(&["--debug"], converted(&[Log::level()], "--log-level debug", |_, _| Outcome::set(Log::level(), "debug"))),
    Row::value(&["--error-logfile", "--log-file"], converted(&[Log::file()], "the same; - is standard error", log_file)),
    Row::value(&["--error-log"], converted(&[Log::file()], "the same; - is standard error", log_file)),
    Row::value(&["--graceful-timeout"], Same(Supervision::graceful_timeout())),
    Row::value(&["--read-timeout"], Same(Http::body_read_timeout())),
    Row::value(&["--max-requests"], converted(&[Supervision::max_requests()], "the same, plus the jitter", |item, context| convert::max_requests(item, context, "--max-requests-jitter"))),
    Row::value(&["--max-requests-jitter"], converted(&[Supervision::max_requests_jitter()], "the same", |item, context| convert::jitter(item, context, "--max-requests"))),
    Row::value(&["--group", "-g"], Same(Listen::uds_group())),
    Row::value(&["--worker-class", "-k"], converted(&[Runtime::event_loop()], "asyncio is hostler's own loop, uvloop uvloop", worker_class)),
    Row::value(&["--keep-alive"], Same(Http::idle_timeout())),
    Row::value(&["--keyfile"], Same(Tls::keyfile())),
    Row::value(&["--keyfile-password"], Same(Tls::keyfile_password())),
    Row::values(&["--insecure-bind"], converted(&[Listen::bind()], "--bind, with certificates", insecure_bind)),
    Row::value(&["--log-config"], Same(Log::config())),
    Row::value(&["--log-level"], converted(&[Log::level()], "the same", log_level)),
    Row::value(&["--pid", "-p"], Same(Process::pid_file())),
    Row::values(&["--quic-bind"], Refused { why: "HTTP/3 is not served", instead: "leave it out, or have a proxy serve HTTP/3" }),
    Row::flag(&["--reload"], Same(AutoReload::enabled())),
    Row::value(&["--root-path"], Same(Application::root_path())),
    Row::values(&["--server-name"], Refused { why: "hostler serves requests for every host", instead: "use the application's list of hosts (TrustedHostMiddleware, ALLOWED_HOSTS), or the proxy's" }),
    Row::value(&["--statsd-host"], Refused { why: NO_STATSD, instead: "leave it out" }),
    Row::value(&["--statsd-prefix"], NoEffect(NO_STATSD)),
    Row::value(&["--umask", "-m"], converted(&[Listen::uds_permissions()], "a decimal number, as in Hypercorn: what Unix sockets do not allow", umask)),
    Row::value(&["--user", "-u"], Same(Listen::uds_owner())),
    Row::value(&["--verify-mode"], converted(&[Tls::client_verify()], "CERT_REQUIRED requires certificates of clients", cert_reqs)),
    Row::value(&["--websocket-ping-interval"], PING_INTERVAL),
    Row::value(&["--workers", "-w"], converted(&[Supervision::workers()], "the same; 0 is 1", workers)),
    Row::flag(&["--help", "-h"], HELP.becomes), EXPLAIN,
    Row::value(&["application_path"], NoEffect("the command line names the application")),
    Row::values(&["alpn_protocols"], converted(&[Http::version()], "h2 is HTTP/2, http/1.1 is HTTP/1", alpn)),
    Row::values(&["alt_svc_headers"], Refused { why: "it names servers of HTTP/3, which is not served", instead: "if a proxy serves it, use `HOSTLER_RESPONSE_HEADER=alt-svc:…`" }),
    Row::value(&["h11_max_incomplete_size"], HEAD_SIZE),
    Row::flag(&["h11_pass_raw_headers"], NoEffect("names of headers are in lower case, as ASGI has them")),
    Row::value(&["h2_max_concurrent_streams"], Same(Http2::max_concurrent_streams())),
    Row::value(&["h2_max_header_list_size"], Same(Http2::max_headers_size())),
    Row::value(&["h2_max_inbound_frame_size"], Same(Http2::max_frame_size())),
    Row::flag(&["include_date_header"], NoEffect("a Date header is always sent (RFC 9110, 6.6.1)")),
    Row::flag(&["include_server_header"], NoEffect("no Server header is sent")),
    Row::value(&["keep_alive_max_requests"], NoEffect("a connection may have any number of requests")),
    Row::value(&["logconfig_dict"], Refused { why: "settings as a dictionary are not taken", instead: "write it into a file, and name that with logconfig" }),
    Row::value(&["logger_class"], Refused { why: "hostler writes its log itself", instead: "leave it out" }),
    Row::value(&["max_app_queue_size"], NoEffect("a client whose body is not read by the application is not read from")),
    Row::value(&["startup_timeout"], Same(Supervision::boot_timeout())),
    Row::value(&["shutdown_timeout"], NoEffect("the lifespan's end is within --graceful-timeout")),
    Row::value(&["ssl_handshake_timeout"], Same(Tls::handshake_timeout())),
    Row::value(&["verify_flags"], Refused { why: "TLS is rustls', not Python's", instead: "leave it out" }),
    Row::value(&["websocket_max_message_size"], Same(WebSocket::max_size())),
    Row::value(&["wsgi_max_body_size"], Same(Limits::request_body())),
    Row::value(&["dogstatsd_tags"], NoEffect(NO_STATSD)),
];

/// What Hypercorn does where nothing is said, and hostler does not.
pub(crate) fn defaults(context: &Context<'_>) -> Vec<(Setting, &'static str)> {
    let headers = "it leaves the headers of proxies to the application (ProxyFixMiddleware)";
    let mut all = vec![
        by_itself(Supervision::workers(), "1", "it does not ask WEB_CONCURRENCY"),
        by_itself(Proxy::headers(), "false", headers),
        by_itself(WebSocket::deflate(), "true", "it compresses WebSocket messages"),
    ];
    if !context.target.is_some_and(|target| target.starts_with("wsgi:")) {
        all.push(by_itself(Proxy::header_map(), "dangerous", "it passes on headers with underscores"));
    }
    all
}

/// `asgi:module:app` and `wsgi:module:app` say which interface it is.
pub(crate) fn target(text: &str) -> Outcome {
    let prefixed = text.split_once(':').filter(|(_, rest)| rest.contains(':'));
    let Some((interface, rest)) = prefixed else { return application(text, "app") };
    match (interface, application(rest, "app")) {
        ("asgi" | "wsgi", Outcome::Sets(mut settings, note)) => {
            settings.push(Setting::one(Application::interface(), interface));
            Outcome::Sets(settings, note)
        }
        _ => Outcome::refused(
            format!("`{interface}` is no interface"),
            "in front of the module stands asgi:, wsgi: or nothing",
        ),
    }
}

fn bind(item: &Item, context: &Context<'_>) -> Outcome {
    let both = context.item("--insecure-bind").is_some() && context.item("--certfile").is_some();
    same(item, if both { Tls::bind() } else { Listen::bind() })
}

fn insecure_bind(item: &Item, context: &Context<'_>) -> Outcome {
    if context.item("--certfile").is_none() {
        return Outcome::no_effect("without --certfile, --bind is served without TLS");
    }
    let plain = Setting { option: Listen::bind(), texts: item.values.clone() };
    let default = context.item("--bind").is_none().then(|| Setting::one(Tls::bind(), "127.0.0.1:8000"));
    Outcome::Sets([plain].into_iter().chain(default).collect(), None)
}

fn worker_class(item: &Item, _: &Context<'_>) -> Outcome {
    match item.value() {
        "asyncio" => Outcome::set(Runtime::event_loop(), "auto").noting("hostler's own loop of asyncio"),
        "uvloop" => same(item, Runtime::event_loop()),
        "trio" => Outcome::refused(
            "hostler's event loop is one of asyncio, not of Trio",
            "leave it out: applications that use anyio run on asyncio as well",
        ),
        _ => Outcome::refused("there is no such worker class", "use asyncio or uvloop"),
    }
}

/// Hypercorn reads the mask as a decimal number.
fn umask(item: &Item, _: &Context<'_>) -> Outcome {
    match item.value().trim().parse::<u32>() {
        Ok(mask) => Outcome::set(Listen::uds_permissions(), socket_mode(mask))
            .noting("it is the mode of Unix sockets alone"),
        Err(_) => Outcome::refused("the mask is a decimal number", "use one, such as 18 for 022"),
    }
}

fn workers(item: &Item, _: &Context<'_>) -> Outcome {
    match item.value().trim() {
        "0" => Outcome::set(Supervision::workers(), "1").noting("the master serves nothing itself"),
        _ => same(item, Supervision::workers()),
    }
}

fn alpn(item: &Item, _: &Context<'_>) -> Outcome {
    let has = |name: &str| item.values.iter().any(|value| value == name);
    match (has("h2"), has("http/1.1")) {
        (true, true) => Outcome::set(Http::version(), "auto"),
        (true, false) => Outcome::set(Http::version(), "2"),
        (false, true) => Outcome::set(Http::version(), "1"),
        (false, false) => Outcome::refused("it names no version of HTTP", "use h2, http/1.1 or both"),
    }
}
