//! A native service that reports its process, and hangs when asked to; with COMPANION, a shell script runs beside it.

use hostler::{Request, Response};
use std::{convert::Infallible, env, process, process::ExitCode, thread, time::Duration};

fn main() -> Result<ExitCode, hostler::Error> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".into());
    let limit = env::var("REQUEST_TIMEOUT_SECONDS").map_or(0.5, |text| text.parse().expect("a number"));
    let mut server = hostler::Server::new()
        .bind(address)
        .workers(2)
        .stall_timeout(Duration::from_secs(2))
        .request_timeout(Duration::from_secs_f64(limit));
    if let Ok(script) = env::var("COMPANION") {
        server = server.companion("helper", "/bin/sh", &["-c", &script]);
    }
    if let Ok(name) = env::var("PROCESS_NAME") {
        server = server.process_name(name);
    }
    server.serve(|| tower::service_fn(answer))
}

async fn answer(request: Request) -> Result<Response<String>, Infallible> {
    match request.uri().path() {
        "/block" => thread::sleep(Duration::from_secs(1_000_000)),
        "/wait" => wait().await,
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

#[expect(clippy::print_stderr, reason = "tests read it in the server's log")]
async fn wait() {
    eprintln!("a request waits");
    tokio::time::sleep(Duration::from_secs(60)).await;
}
