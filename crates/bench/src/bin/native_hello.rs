//! The same response from one hostler worker. `native_hello PORT`

use hostler::{Request, Server};
use std::{convert::Infallible, env, process::ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<ExitCode, hostler::Error> {
    let port = env::args().nth(1).unwrap_or_else(|| "8000".into());
    Server::new()
        .bind(format!("127.0.0.1:{port}"))
        .no_log()
        .serve(|| tower::service_fn(|_: Request| async { Ok::<_, Infallible>(hostler_bench::hello()) }))
}
