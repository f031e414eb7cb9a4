//! A native service that reports its process, and hangs when asked to; with COMPANION, a shell script runs beside it; with STATIC,
//! the files of a directory are served; with ACCESS_LOG, there is an access log; with
//! LOG_FORMAT=json, the log is JSON; with COMPRESS, responses are compressed; with BLOCKING_THREADS, there are no more for blocking work;
//! with ADMIN, there is an observer.

use hostler::{ConnectionInfo, Forwarded, LogFormat, LogLevel, ProxyProtocol, Request, Response};
use std::{
    env, io, process,
    process::ExitCode,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    thread,
    time::Duration,
};

fn main() -> Result<ExitCode, hostler::Error> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".into());
    let limit = env::var("REQUEST_TIMEOUT_SECONDS").map_or(0.5, |text| text.parse().expect("a number"));
    let mut server = hostler::Server::new()
        .log_level(LogLevel::Debug)
        .bind(address)
        .workers(2)
        .stall_timeout(Duration::from_secs(2))
        .request_timeout(Duration::from_secs_f64(limit));
    if let Ok(script) = env::var("COMPANION") {
        server = server.companion("helper", "/bin/sh", &["-c", &script]);
    }
    if let Ok(directory) = env::var("STATIC") {
        server = server.static_files("/static", directory);
    }
    if let Ok(name) = env::var("PROCESS_NAME") {
        server = server.process_name(name);
    }
    if let Ok(peers) = env::var("PROXIES") {
        server = server.forwarded_allow_ips(&peers).proxy_protocol(ProxyProtocol::Auto, &peers);
    }
    if let (Ok(certificate), Ok(key)) = (env::var("TLS_CERTIFICATE"), env::var("TLS_KEY")) {
        server = server.tls(certificate, key);
    }
    if let Ok(file) = env::var("ACCESS_LOG") {
        server = server.access_log(file).access_log_format("json");
    }
    if env::var("LOG_FORMAT").is_ok_and(|format| format == "json") {
        server = server.log_format(LogFormat::Json);
    }
    if env::var_os("COMPRESS").is_some() {
        server = server.compress().compress_level(6);
    }
    if let Ok(threads) = env::var("BLOCKING_THREADS") {
        server = server.runtime_blocking_threads(threads.parse().expect("a number"));
    }
    if let Ok(address) = env::var("ADMIN") {
        server = server.admin(address).admin_hosts("metrics.example.com");
    }
    server.serve(|| tower::service_fn(answer))
}

async fn answer(request: Request) -> io::Result<Response<String>> {
    match request.uri().path() {
        "/block" => thread::sleep(Duration::from_secs(1_000_000)),
        "/wait" => wait().await,
        "/client" => return Ok(Response::new(client(&request))),
        "/text" => return Ok(text()),
        "/blocking" => return Ok(Response::new(blocking_work().await)),
        "/fail" => return Err(io::Error::other("the database is gone")),
        "/panic" => panic!("as requested"),
        // Its body is left unread for a while.
        "/early" => {
            let body = request.into_body();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(Duration::from_secs(3)).await;
                drop(body);
            });
        }
        _ => {}
    }
    Ok(Response::new(process::id().to_string()))
}

/// How many of eight pieces of blocking work run at once at the most.
async fn blocking_work() -> String {
    static NOW: AtomicU32 = AtomicU32::new(0);
    static MOST: AtomicU32 = AtomicU32::new(0);
    let work = || {
        MOST.fetch_max(NOW.fetch_add(1, SeqCst) + 1, SeqCst);
        // Long enough for the others to begin.
        thread::sleep(Duration::from_millis(30));
        NOW.fetch_sub(1, SeqCst);
    };
    let pieces: Vec<_> = (0..8).map(|_| tokio::task::spawn_blocking(work)).collect();
    for piece in pieces {
        piece.await.expect("it does not panic");
    }
    MOST.load(SeqCst).to_string()
}

fn text() -> Response<String> {
    let mut response = Response::new("0123456789abcdef".repeat(1000));
    response.headers_mut().insert("content-type", "text/plain".parse().expect("a value"));
    response
}

/// Who asks, and by which scheme.
fn client(request: &Request) -> String {
    let info = request.extensions().get::<ConnectionInfo>().expect("each request has it");
    let told = request.extensions().get::<Forwarded>().and_then(|forwarded| forwarded.scheme);
    let client = info.peer.tcp().map_or_else(|| "unix".into(), |client| client.to_string());
    format!("{client} {}", told.unwrap_or(info.scheme).as_str())
}

#[expect(clippy::print_stderr, reason = "tests read it in the server's log")]
async fn wait() {
    eprintln!("a request waits");
    tokio::time::sleep(Duration::from_secs(60)).await;
}
