//! An axum router in supervised worker processes: `axum-hello 127.0.0.1:8000 127.0.0.1:9090`, where the second address, if there is
//! one, has a dashboard, metrics and probes.

use axum::{Router, extract::Path, routing::get};
use std::{env, process, process::ExitCode};

fn main() -> Result<ExitCode, hostler::Error> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".into());
    let mut server = hostler::Server::new().bind(address).workers(2);
    if let Some(admin) = env::args().nth(2) {
        server = server.admin(admin);
    }
    server.serve(|| {
        Router::new()
            .route("/", get(|| async { "Hello, world!" }))
            .route("/hello/{name}", get(|Path(name): Path<String>| async move { format!("hello {name}") }))
            .route("/pid", get(|| async { process::id().to_string() }))
    })
}
