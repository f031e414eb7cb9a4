//! A native service that tells who it is, and hangs when asked to; with COMPANION, a shell script runs beside it.

use hostler::{Request, Response};
use std::{convert::Infallible, env, process, process::ExitCode, thread, time::Duration};

fn main() -> Result<ExitCode, hostler::Error> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".into());
    let mut server = hostler::Server::new()
        .bind(address)
        .workers(2)
        .stall_timeout(Duration::from_secs(2))
        .request_timeout(Duration::from_millis(500));
    if let Ok(script) = env::var("COMPANION") {
        server = server.companion("helper", "/bin/sh", &["-c", &script]);
    }
    server.serve(|| tower::service_fn(answer))
}

async fn answer(request: Request) -> Result<Response<String>, Infallible> {
    match request.uri().path() {
        "/block" => thread::sleep(Duration::from_secs(1_000_000)),
        "/wait" => tokio::time::sleep(Duration::from_secs(60)).await,
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
