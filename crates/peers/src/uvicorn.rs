//! Uvicorn 0.54.

use crate::{
    convert::{
        self, BACKLOG, HEAD_SIZE, HOST, PING_INTERVAL, PORT, by_itself, ca_certs, cert_reqs, ciphers,
        converted, log_level, ssl_version,
    },
    item::{Context, Item},
    row::{
        Becomes::{NoEffect, Same},
        EXPLAIN, HELP, Row, VERSION,
    },
    translate::{Outcome, Setting, same},
    variables::truth,
};
use hostler_settings::{
    Application, AutoReload, Http, Limits, Listen, Log, Proxy, Responses, Runtime, Supervision, Tls,
    WebSocket, Wsgi,
};

#[rustfmt::skip]
pub(crate) static ROWS: &[Row] = &[
    Row::value(&["--host"], HOST),
    Row::value(&["--port"], PORT),
    Row::value(&["--uds"], Same(Listen::uds())),
    Row::value(&["--fd"], converted(&[Listen::bind()], "the descriptor of this number", |item, _| Outcome::set(Listen::bind(), format!("fd://{}", item.value())))),
    Row::flag(&["--reload"], Same(AutoReload::enabled())),
    Row::values(&["--reload-dir"], Same(AutoReload::paths())).paths(),
    Row::values(&["--reload-include"], Same(AutoReload::include())),
    Row::values(&["--reload-exclude"], Same(AutoReload::exclude())),
    Row::value(&["--reload-delay"], converted(&[AutoReload::tick()], "how long files must be unchanged", reload_delay)),
    Row::value(&["--workers"], Same(Supervision::workers())),
    Row::value(&["--loop"], converted(&[Runtime::event_loop()], "auto, asyncio, uvloop", event_loop)),
    Row::value(&["--http"], converted(&[], "hostler has one parser", http)),
    Row::flag(&["--http2"], converted(&[Http::version()], "HTTP/1 and HTTP/2", |_, _| Outcome::set(Http::version(), "auto"))),
    Row::value(&["--ws"], converted(&[WebSocket::enabled()], "on, unless it is none", ws)),
    Row::value(&["--ws-max-size"], Same(WebSocket::max_size())),
    Row::value(&["--ws-max-queue"], NoEffect("a client whose messages are not received is not read from")),
    Row::value(&["--ws-ping-interval"], PING_INTERVAL),
    Row::value(&["--ws-ping-timeout"], Same(WebSocket::ping_timeout())),
    Row::value(&["--ws-per-message-deflate"], converted(&[WebSocket::deflate()], "the same", deflate)),
    Row::value(&["--lifespan"], converted(&[Application::interface()], "off is --interface asginl", lifespan)),
    Row::value(&["--interface"], converted(&[Application::interface()], "auto and asgi3 are asgi", interface)),
    Row::value(&["--env-file"], Same(Application::env_files())),
    Row::value(&["--log-config"], Same(Log::config())),
    Row::value(&["--log-level"], converted(&[Log::level()], "the same; trace is debug", log_level)),
    Row::switch(&["--access-log"], "--no-access-log", converted(&[Log::access()], "the same, unless --log-level hides it", access_log)),
    Row::switch(&["--use-colors"], "--no-use-colors", converted(&[Log::colour()], "always or never", use_colours)),
    Row::switch(&["--proxy-headers"], "--no-proxy-headers", Same(Proxy::headers())),
    Row::switch(&["--server-header"], "--no-server-header", NoEffect("no Server header is sent")),
    Row::switch(&["--date-header"], "--no-date-header", NoEffect("a Date header is always sent (RFC 9110, 6.6.1)")),
    Row::value(&["--forwarded-allow-ips"], Same(Proxy::trusted())),
    Row::value(&["--root-path"], Same(Application::root_path())),
    Row::value(&["--limit-concurrency"], converted(&[Limits::concurrency(), Limits::queue()], "the same, without a queue", limit_concurrency)),
    Row::value(&["--backlog"], BACKLOG),
    Row::value(&["--limit-max-requests"], converted(&[Supervision::max_requests()], "the same, plus the jitter", |item, context| convert::max_requests(item, context, "--limit-max-requests-jitter"))),
    Row::value(&["--limit-max-requests-jitter"], converted(&[Supervision::max_requests_jitter()], "the same", |item, context| convert::jitter(item, context, "--limit-max-requests"))),
    Row::value(&["--timeout-keep-alive"], Same(Http::idle_timeout())),
    Row::value(&["--timeout-graceful-shutdown"], Same(Supervision::graceful_timeout())),
    Row::value(&["--timeout-worker-healthcheck"], NoEffect("the event loop itself shows that it turns; --stall-timeout of hostler limits how long it may not")),
    Row::value(&["--ssl-keyfile"], Same(Tls::keyfile())),
    Row::value(&["--ssl-certfile"], Same(Tls::certificate())),
    Row::value(&["--ssl-keyfile-password"], Same(Tls::keyfile_password())),
    Row::value(&["--ssl-version"], converted(&[Tls::protocol_min()], "TLS 1.2 or newer", ssl_version)),
    Row::value(&["--ssl-cert-reqs"], converted(&[Tls::client_verify()], "2 requires certificates of clients", cert_reqs)),
    Row::value(&["--ssl-ca-certs"], converted(&[Tls::ca()], "the same, with --ssl-cert-reqs 1 or 2", |item, context| ca_certs(item, context, &["--ssl-cert-reqs"]))),
    Row::value(&["--ssl-ciphers"], converted(&[], "the defaults have no effect, others are refused", ciphers)),
    Row::values(&["--header"], Same(Responses::headers())),
    Row::value(&["--app-dir"], Same(Application::python_path())),
    Row::value(&["--h11-max-incomplete-event-size"], HEAD_SIZE),
    Row::flag(&["--reset-contextvars"], NoEffect("no request sees context variables of another one")),
    Row::flag(&["--factory"], Same(Application::factory())),
    VERSION, HELP, EXPLAIN,
];

/// What Uvicorn does where nothing is said, and hostler does not.
pub(crate) fn defaults(context: &Context<'_>) -> Vec<(Setting, &'static str)> {
    let mut all = vec![by_itself(Application::interface(), interface_of(context), "it serves ASGI")];
    if !is_quiet(context) {
        all.push(by_itself(
            Log::access(),
            "true",
            "its access log is on, unless the log's level is above info",
        ));
    }
    let format = r#"INFO:     %(h)s:%(port)d - "%(m)s %(target)s %(H)s" %(s)s %(reason)s"#;
    if !context.logs_json() {
        all.push(by_itself(Log::access_format(), format, "its form of access log lines"));
    }
    all.extend([
        by_itself(WebSocket::deflate(), "true", "it compresses WebSocket messages"),
        by_itself(
            Proxy::believed(),
            "x-forwarded-for,x-forwarded-proto",
            "the headers of proxies that it believes",
        ),
    ]);
    if interface_of(context) != "wsgi" {
        all.push(by_itself(Proxy::header_map(), "dangerous", "it passes on headers with underscores"));
    }
    if context.item("--uds").is_some() {
        all.push(by_itself(Listen::uds_permissions(), "0666", "everyone may connect to its Unix socket"));
    }
    all
}

/// The interface that `--interface` and `--lifespan` say together.
fn interface_of(context: &Context<'_>) -> &'static str {
    let says = |name, word| context.value(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
    match (says("--interface", "wsgi"), says("--lifespan", "off")) {
        (true, _) => "wsgi",
        (false, true) => "asginl",
        (false, false) => "asgi",
    }
}

fn interface(item: &Item, context: &Context<'_>) -> Outcome {
    match item.value().to_ascii_lowercase().as_str() {
        "wsgi" => {
            let threads = Setting::one(Wsgi::blocking_threads(), "10");
            let settings = vec![Setting::one(Application::interface(), "wsgi"), threads];
            Outcome::Sets(settings, Some("it calls WSGI applications on ten threads".into()))
        }
        "asgi2" => Outcome::refused(
            "ASGI 2 is not served",
            "wrap the application: asgiref.compatibility.guarantee_single_callable(app)",
        ),
        "auto" | "asgi3" => Outcome::set(Application::interface(), interface_of(context)),
        _ => same(item, Application::interface()),
    }
}

fn lifespan(item: &Item, context: &Context<'_>) -> Outcome {
    match item.value().to_ascii_lowercase().as_str() {
        "off" | "on" | "auto" if interface_of(context) == "wsgi" => {
            Outcome::no_effect("WSGI applications have no lifespan")
        }
        "off" | "auto" => Outcome::set(Application::interface(), interface_of(context)),
        "on" => Outcome::set(Application::interface(), interface_of(context))
            .noting("an application without a lifespan is served as well"),
        _ => Outcome::refused("a lifespan is auto, on or off", "use one of these"),
    }
}

fn event_loop(item: &Item, _: &Context<'_>) -> Outcome {
    match item.value() {
        "auto" | "asyncio" | "uvloop" => same(item, Runtime::event_loop()),
        "none" | "zuvloop" => Outcome::set(Runtime::event_loop(), "auto").noting("hostler's own event loop"),
        _ => Outcome::refused(
            "event loops of other packages are not served",
            "leave it out for hostler's own, or use asyncio or uvloop",
        ),
    }
}

fn http(item: &Item, _: &Context<'_>) -> Outcome {
    match item.value() {
        "auto" | "h11" | "httptools" | "zttp" => Outcome::no_effect("hostler has one parser of HTTP"),
        _ => Outcome::refused("protocol classes of Uvicorn cannot be used", "leave the option out"),
    }
}

fn ws(item: &Item, _: &Context<'_>) -> Outcome {
    match item.value() {
        "none" => Outcome::set(WebSocket::enabled(), "false"),
        "auto" | "websockets" | "websockets-sansio" | "wsproto" => Outcome::set(WebSocket::enabled(), "true"),
        _ => Outcome::refused("protocol classes of Uvicorn cannot be used", "leave the option out"),
    }
}

fn deflate(item: &Item, _: &Context<'_>) -> Outcome {
    match truth(item.value()) {
        Some(on) => Outcome::set(WebSocket::deflate(), on.to_string()),
        None => Outcome::refused("it is true or false", "use one of these"),
    }
}

/// Whether the log's level hides the lines of the access log, which have the level info.
fn is_quiet(context: &Context<'_>) -> bool {
    let level = context.value("--log-level").unwrap_or("info").to_ascii_lowercase();
    ["warning", "error", "critical"].contains(&level.as_str())
}

fn access_log(item: &Item, context: &Context<'_>) -> Outcome {
    if item.on && is_quiet(context) {
        return Outcome::set(Log::access(), "false")
            .noting("--log-level is above info, the level of its lines");
    }
    same(item, Log::access())
}

fn use_colours(item: &Item, _: &Context<'_>) -> Outcome {
    Outcome::set(Log::colour(), if item.on { "always" } else { "never" })
}

fn limit_concurrency(item: &Item, _: &Context<'_>) -> Outcome {
    let limit = Setting::one(Limits::concurrency(), item.value());
    let settings = vec![limit, Setting::one(Limits::queue(), "0")];
    Outcome::Sets(settings, Some("requests count, idle connections do not".into()))
}

/// Seconds, which may be a fraction, as milliseconds.
fn reload_delay(item: &Item, _: &Context<'_>) -> Outcome {
    match item.value().trim().parse::<f64>() {
        Ok(seconds) if (0.0..=60.0).contains(&seconds) => {
            let millis = std::time::Duration::from_secs_f64(seconds).as_millis().max(1);
            Outcome::set(AutoReload::tick(), format!("{millis}ms"))
        }
        _ => crate::translate::same(item, AutoReload::tick()),
    }
}
