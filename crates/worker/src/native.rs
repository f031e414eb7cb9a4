//! Workers that serve a native tower service.

use crate::{Ending, HttpService, WorkerContext, announce, run_worker};
use hostler_http::{RequestBody, TowerApp};
use hostler_wire::{ExitStatus, Failure, FromWorker, Served, timing};
use hyper::{Request, Response};
use std::{error::Error, io};
use tokio::runtime::{Builder, LocalOptions};

/// Serves what `make` returns, on this thread, until the worker is told to stop.
///
/// Called in the worker process; `make` runs there too, inside the runtime.
pub fn run<S, B>(context: WorkerContext, make: impl FnOnce() -> S) -> ExitStatus
where
    S: tower::Service<
            Request<RequestBody>,
            Response = Response<B>,
            Error: Into<Box<dyn Error + Send + Sync>>,
        > + Clone
        + 'static,
    B: http_body::Body<Data = bytes::Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + 'static,
{
    let line = context.channel.try_clone();
    match serve(context, make) {
        Ok(Ending::Drained | Ending::Cut) => ExitStatus::Clean,
        Err(error) => {
            if let Ok(line) = line {
                announce(&line, FromWorker::Failed(failure(&error)));
            }
            ExitStatus::Boot
        }
    }
}

fn serve<S, B>(context: WorkerContext, make: impl FnOnce() -> S) -> io::Result<Ending>
where
    S: tower::Service<
            Request<RequestBody>,
            Response = Response<B>,
            Error: Into<Box<dyn Error + Send + Sync>>,
        > + Clone
        + 'static,
    B: http_body::Body<Data = bytes::Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + 'static,
{
    context.take();
    hostler_sys::logging::panics::note_places();
    hostler_sys::identity::assume(&context.settings.identity)?;
    hostler_sys::orphan::die_with(context.master_pid, timing::ORPHAN_LIMIT)?;
    let mut builder = Builder::new_current_thread();
    if let Some(most) = context.settings.options.runtime.blocking_threads {
        builder.max_blocking_threads(usize::from(most));
    }
    let runtime = builder
        .enable_all()
        .on_thread_park(|| hostler_sys::board::parked(true))
        .on_thread_unpark(|| hostler_sys::board::parked(false))
        .build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let app = TowerApp::new(make());
        run_worker(
            context,
            HttpService(app),
            FromWorker::Ready { interface: Served::Native, concurrent_calls: None },
        )
        .await
    })
}

fn failure(error: &io::Error) -> Failure {
    Failure {
        status: ExitStatus::Boot,
        message: "a worker could not start serving".into(),
        cause: Some(error.to_string()),
        hint: None,
    }
}
