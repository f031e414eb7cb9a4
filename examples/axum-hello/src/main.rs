//! An axum router in supervised worker processes.

use axum::{Router, extract::Path, routing::get};
use std::{env, process, process::ExitCode};

fn main() -> Result<ExitCode, hostler::Error> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".into());
    hostler::Server::new().bind(address).workers(2).serve(|| {
        Router::new()
            .route("/", get(|| async { "Hello, world!" }))
            .route("/hello/{name}", get(|Path(name): Path<String>| async move { format!("hello {name}") }))
            .route("/pid", get(|| async { process::id().to_string() }))
    })
}
