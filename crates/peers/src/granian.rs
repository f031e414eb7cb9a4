//! Granian 2.8.7, and options of older ones. hostler's own spelling is Granian's, so that most are the same.

use crate::{
    convert::{BACKLOG, HOST, PORT, by_itself, converted},
    item::{Context, Item},
    row::{
        Becomes::{NoEffect, Same},
        EXPLAIN, HELP, Row, VERSION,
    },
    translate::{Outcome, Setting, same},
};
use hostler_settings::{
    Application, AutoReload, Http, Http2, Limits, Listen, Log, Metrics, Process, Proxy, Runtime, StaticFiles,
    Supervision, Tls, WebSocket, Wsgi,
};

const ONE_THREAD: &str = "a worker does its input and output on one thread; --workers uses more processors";

#[rustfmt::skip]
pub(crate) static ROWS: &[Row] = &[
    Row::value(&["--host"], HOST),
    Row::value(&["--port"], PORT),
    Row::value(&["--uds"], Same(Listen::uds())),
    Row::value(&["--uds-permissions"], converted(&[Listen::uds_permissions()], "with a 0 in front octal, else decimal, as in Granian", uds_permissions)),
    Row::value(&["--interface"], Same(Application::interface())),
    Row::value(&["--http"], Same(Http::version())),
    Row::switch(&["--ws"], "--no-ws", Same(WebSocket::enabled())).variable("GRANIAN_WEBSOCKETS"),
    Row::value(&["--workers"], Same(Supervision::workers())),
    Row::value(&["--blocking-threads"], converted(&[Wsgi::blocking_threads()], "the same, for WSGI", blocking_threads)),
    Row::value(&["--blocking-threads-idle-timeout"], Same(Wsgi::blocking_threads_idle_timeout())),
    Row::value(&["--runtime-threads", "--threads"], NoEffect(ONE_THREAD)),
    Row::value(&["--runtime-blocking-threads"], NoEffect("files are sent without threads of their own, and asyncio's executor has its own")),
    Row::value(&["--runtime-mode", "--threading-mode"], NoEffect(ONE_THREAD)),
    Row::value(&["--loop"], Same(Runtime::event_loop())),
    Row::value(&["--task-impl"], NoEffect("tasks are asyncio's, started eagerly")),
    Row::switch(&["--opt"], "--no-opt", NoEffect("optimisations are always on")),
    Row::value(&["--backlog"], BACKLOG),
    Row::value(&["--backpressure"], Same(Limits::connections())),
    Row::value(&["--http1-buffer-size"], Same(Http::max_buffer())),
    Row::value(&["--http1-header-read-timeout"], Same(Http::header_read_timeout())),
    Row::switch(&["--http1-keep-alive"], "--no-http1-keep-alive", Same(Http::keep_alive())),
    Row::switch(&["--http1-pipeline-flush"], "--no-http1-pipeline-flush", NoEffect("responses are always gathered, for up to a millisecond")),
    Row::switch(&["--http2-adaptive-window"], "--no-http2-adaptive-window", Same(Http2::adaptive_window())),
    Row::value(&["--http2-initial-connection-window-size"], Same(Http2::initial_connection_window_size())),
    Row::value(&["--http2-initial-stream-window-size"], Same(Http2::initial_stream_window_size())),
    Row::value(&["--http2-keep-alive-interval"], Same(Http2::keep_alive_interval())),
    Row::value(&["--http2-keep-alive-timeout"], Same(Http2::keep_alive_timeout())),
    Row::value(&["--http2-max-concurrent-streams"], Same(Http2::max_concurrent_streams())),
    Row::value(&["--http2-max-frame-size"], Same(Http2::max_frame_size())),
    Row::value(&["--http2-max-headers-size"], Same(Http2::max_headers_size())),
    Row::value(&["--http2-max-send-buffer-size"], Same(Http2::max_send_buffer_size())),
    Row::switch(&["--log"], "--no-log", Same(Log::enabled())).variable("GRANIAN_LOG_ENABLED"),
    Row::value(&["--log-level"], Same(Log::level())),
    Row::value(&["--log-config"], Same(Log::config())),
    Row::switch(&["--access-log"], "--no-access-log", Same(Log::access())).variable("GRANIAN_LOG_ACCESS_ENABLED"),
    Row::value(&["--access-log-fmt"], Same(Log::access_format())).variable("GRANIAN_LOG_ACCESS_FMT"),
    Row::value(&["--ssl-certificate"], Same(Tls::certificate())),
    Row::value(&["--ssl-keyfile"], Same(Tls::keyfile())),
    Row::value(&["--ssl-keyfile-password"], Same(Tls::keyfile_password())),
    Row::value(&["--ssl-protocol-min"], Same(Tls::protocol_min())),
    Row::value(&["--ssl-ca"], Same(Tls::ca())),
    Row::values(&["--ssl-crl"], Same(Tls::crl())).paths(),
    Row::switch(&["--ssl-client-verify"], "--no-ssl-client-verify", Same(Tls::client_verify())),
    Row::value(&["--url-path-prefix"], Same(Application::root_path())),
    Row::switch(&["--respawn-failed-workers"], "--no-respawn-failed-workers", converted(&[], "always on", respawn)),
    Row::value(&["--respawn-interval"], Same(Supervision::respawn_interval())),
    Row::value(&["--rss-sample-interval"], Same(Supervision::memory_interval())),
    Row::value(&["--rss-samples"], Same(Supervision::memory_samples())),
    Row::value(&["--workers-lifetime"], Same(Supervision::lifetime())),
    Row::value(&["--workers-max-rss"], Same(Supervision::max_memory())),
    Row::value(&["--workers-kill-timeout"], Same(Supervision::workers_kill_timeout())),
    Row::switch(&["--factory"], "--no-factory", Same(Application::factory())),
    Row::value(&["--working-dir"], Same(Application::working_dir())),
    Row::values(&["--env-files"], Same(Application::env_files())).paths(),
    Row::values(&["--static-path-route"], Same(StaticFiles::route())),
    Row::values(&["--static-path-mount"], Same(StaticFiles::mount())).paths(),
    Row::value(&["--static-path-dir-to-file"], Same(StaticFiles::dir_to_file())),
    Row::value(&["--static-path-expires"], Same(StaticFiles::expires())),
    Row::switch(&["--metrics"], "--no-metrics", Same(Metrics::enabled())).variable("GRANIAN_METRICS_ENABLED"),
    Row::value(&["--metrics-scrape-interval"], Same(Metrics::scrape_interval())),
    Row::value(&["--metrics-address"], Same(Metrics::address())),
    Row::value(&["--metrics-port"], Same(Metrics::port())),
    Row::switch(&["--reload"], "--no-reload", Same(AutoReload::enabled())),
    Row::values(&["--reload-paths"], Same(AutoReload::paths())).paths(),
    Row::values(&["--reload-ignore-dirs"], Same(AutoReload::ignore_dirs())),
    Row::values(&["--reload-ignore-patterns"], Same(AutoReload::ignore_patterns())),
    Row::values(&["--reload-ignore-paths"], Same(AutoReload::ignore_paths())).paths(),
    Row::value(&["--reload-tick"], Same(AutoReload::tick())),
    Row::switch(&["--reload-ignore-worker-failure"], "--no-reload-ignore-worker-failure", Same(AutoReload::ignore_worker_failure())),
    Row::value(&["--process-name"], Same(Process::name())),
    Row::value(&["--pid-file"], Same(Process::pid_file())),
    VERSION, HELP, EXPLAIN,
];

/// What Granian does where nothing is said, and hostler does not.
pub(crate) fn defaults(context: &Context<'_>) -> Vec<(Setting, &'static str)> {
    let headers = "it leaves the headers of proxies to the application (granian.utils.proxies)";
    let mut all = vec![
        by_itself(Application::interface(), "rsgi", "its default interface"),
        by_itself(Supervision::workers(), "1", "it does not ask WEB_CONCURRENCY"),
        by_itself(Proxy::headers(), "false", headers),
        by_itself(Tls::protocol_min(), "tls1.3", "its default"),
    ];
    if !context.logs_json() {
        all.push(by_itself(Log::access_format(), "granian", "its format of access log lines"));
    }
    if context.value("--interface").is_some_and(|interface| interface.eq_ignore_ascii_case("wsgi")) {
        all.push(by_itself(
            Wsgi::blocking_threads(),
            "64",
            "it calls WSGI applications on up to 512 threads",
        ));
    } else {
        all.push(by_itself(Proxy::header_map(), "dangerous", "it passes on headers with underscores"));
    }
    all
}

/// Granian reads `0660` as octal and `432` as decimal.
fn uds_permissions(item: &Item, _: &Context<'_>) -> Outcome {
    let decimal = item.value().parse::<u32>().ok().filter(|_| !item.value().starts_with('0'));
    match decimal {
        Some(mode) => Outcome::set(Listen::uds_permissions(), format!("{mode:04o}"))
            .noting("without a 0 in front it is decimal"),
        None => same(item, Listen::uds_permissions()),
    }
}

fn blocking_threads(item: &Item, context: &Context<'_>) -> Outcome {
    let wsgi = context.value("--interface").is_some_and(|interface| interface.eq_ignore_ascii_case("wsgi"));
    match (wsgi, item.value()) {
        (true, _) => same(item, Wsgi::blocking_threads()),
        (false, "1") => {
            Outcome::no_effect("an asynchronous application is called on the event loop's thread")
        }
        (false, _) => Outcome::refused(
            "only WSGI applications are called on threads, as in Granian",
            "leave it out, or set --interface wsgi",
        ),
    }
}

fn respawn(item: &Item, _: &Context<'_>) -> Outcome {
    if item.on {
        Outcome::no_effect("workers that died are always replaced")
    } else {
        Outcome::refused("workers that died are always replaced", "leave the option out")
    }
}
