//! What is asked for, and the response.

use crate::{
    connection::Client,
    dashboard,
    documents::{Documents, Kind},
    hosts::Hosts,
    measure::Measured,
    metrics::{self, Format},
    probes::{self, Health},
    tasks::Tasks,
};
use bytes::Bytes;
use hostler_status::{Companion, Facts, Seen, TaskQueue, companions, read, status};
use hostler_wire::{CompanionView, Scoreboard};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
};
use std::{cell::RefCell, convert::Infallible, os::fd::OwnedFd, path::PathBuf};
use tokio::sync::watch;

/// What observes.
pub(crate) struct Observer {
    pub(crate) board: Scoreboard,
    pub(crate) facts: Facts,
    /// The listening sockets of the workers, each with the index of its address in `facts.listeners`.
    pub(crate) sockets: Vec<(usize, OwnedFd)>,
    pub(crate) measured: Measured,
    /// How companions stand, as the master said last.
    pub(crate) companions: RefCell<Vec<CompanionView>>,
    /// The task queue, if the server has one.
    pub(crate) tasks: Option<Tasks>,
    /// Where workers count the application's metrics, if they do.
    pub(crate) application_metrics: Option<PathBuf>,
    /// Becomes true when the process is about to exit.
    pub(crate) ending: watch::Sender<bool>,
    /// By which names browsers may ask for it.
    pub(crate) hosts: Hosts,
    pub(crate) documents: Documents,
}

impl Observer {
    /// Whether this server has the service: of two during an upgrade, one.
    pub(crate) fn has_service(&self) -> bool {
        self.board.master.view().is_service
    }

    /// Whether clients are to ask another observer with their next request.
    pub(crate) fn leaves(&self) -> bool {
        *self.ending.borrow() || !self.has_service()
    }

    /// Asks for what is not in memory: what the processes of the scoreboard use, and how the task queue stands.
    pub(crate) async fn measure(&self) {
        if let Some(tasks) = &self.tasks {
            tasks.renew().await;
        }
        let pids = {
            let seen = read(&self.board);
            let workers = seen.workers.iter().chain(&seen.task_workers).filter_map(|(seat, _)| seat.pid);
            workers.chain([seen.master.pid]).collect::<Vec<i32>>()
        };
        // It takes a while, and others ask meanwhile: all that was read is not to be kept for each of them.
        let watchers: Vec<i32> = self.companions.borrow().iter().filter_map(|it| it.watcher).collect();
        self.measured.renew(pids, watchers).await;
    }

    /// What is shown of companions.
    pub(crate) fn companions(&self, seen: &Seen) -> Vec<Companion> {
        companions(seen, &self.companions.borrow(), |root| self.measured.of(root))
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const OVERVIEW: &str = "/\n/metrics\n/livez\n/readyz\n/startupz\n/status.json\n";

pub(crate) async fn respond(
    observer: &Observer,
    client: &Client,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET and HEAD only\n".into());
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    let path = request.uri().path();
    // What shows what clients do. Who asks for the rest by any name, as Prometheus and load balancers may, learns numbers.
    if matches!(path, "/" | "/status.json")
        && client.is_remote
        && let Some(refusal) = observer.hosts.refusal(&request)
    {
        return Ok(response(StatusCode::FORBIDDEN, TEXT, refusal.into()));
    }
    Ok(match path {
        "/" => dashboard(),
        "/livez" => health(probes::live(observer)),
        "/readyz" => health(probes::ready(observer)),
        "/startupz" => health(probes::started(observer)),
        "/metrics" => {
            let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
            metrics_text(observer, Format::accepted(accept.unwrap_or_default())).await
        }
        "/status.json" => status_json(observer).await,
        _ => response(StatusCode::NOT_FOUND, TEXT, OVERVIEW.into()),
    })
}

async fn metrics_text(observer: &Observer, format: Format) -> Response<Full<Bytes>> {
    let kind = match format {
        Format::Prometheus => Kind::Prometheus,
        Format::OpenMetrics => Kind::OpenMetrics,
    };
    observer.measure().await;
    let text = || metrics::text(observer, &read(&observer.board), format).into();
    response(StatusCode::OK, format.content_type(), observer.documents.get(kind, text).await)
}

fn dashboard() -> Response<Full<Bytes>> {
    let mut response = response(StatusCode::OK, HTML, Bytes::from_static(dashboard::page().as_bytes()));
    let policy = HeaderValue::from_static(dashboard::POLICY);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn health(health: Health) -> Response<Full<Bytes>> {
    let status = if health.well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    response(status, TEXT, health.text.into())
}

async fn status_json(observer: &Observer) -> Response<Full<Bytes>> {
    observer.measure().await;
    let json = || {
        let seen = read(&observer.board);
        let mut status = status(&seen, &observer.facts, |pid| observer.measured.of(pid));
        status.companions = observer.companions(&seen);
        status.tasks = observer.tasks.as_ref().map(|tasks| TaskQueue::of(tasks.last().as_deref()));
        // Numbers, texts and lists: nothing that JSON could not have.
        serde_json::to_vec(&status).unwrap_or_default()
    };
    response(StatusCode::OK, JSON, observer.documents.get(Kind::Status, json).await)
}

/// A response that no cache keeps, and no other page embeds.
pub(crate) fn response(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
