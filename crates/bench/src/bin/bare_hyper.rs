//! The yardstick: hyper on one thread and nothing else. `bare_hyper PORT`

use hostler_bench::hello;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, env, io};
use tokio::{net::TcpListener, runtime::Builder};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> io::Result<()> {
    let port: u16 = env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(8000);
    Builder::new_current_thread().enable_all().build_local(Default::default())?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(async move {
                let service = service_fn(|_| async { Ok::<_, Infallible>(hello()) });
                let mut builder = http1::Builder::new();
                // A client that goes away is no news here.
                let _ =
                    builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}
