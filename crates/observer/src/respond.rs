//! What is asked for, and the response.

use crate::{
    dashboard,
    measure::Measured,
    metrics::{self, Format},
    probes::{self, Health},
};
use bytes::Bytes;
use hostler_status::{Facts, Seen, read, status};
use hostler_wire::Scoreboard;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
};
use std::{convert::Infallible, os::fd::OwnedFd, path::PathBuf};
use tokio::sync::watch;

/// What observes.
pub(crate) struct Observer {
    pub(crate) board: Scoreboard,
    pub(crate) facts: Facts,
    /// The listening sockets of the workers, each with the index of its address in `facts.listeners`.
    pub(crate) sockets: Vec<(usize, OwnedFd)>,
    pub(crate) measured: Measured,
    /// Where workers count the application's metrics, if they do.
    pub(crate) application_metrics: Option<PathBuf>,
    /// Becomes true when the process is about to exit.
    pub(crate) ending: watch::Sender<bool>,
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

    /// The scoreboard, with what its processes use measured.
    pub(crate) async fn look(&self) -> Seen {
        let seen = read(&self.board);
        let workers = seen.workers.iter().filter_map(|(seat, _)| seat.pid);
        self.measured.renew(workers.chain([seen.master.pid])).await;
        // Measuring may have taken a while.
        read(&self.board)
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const OVERVIEW: &str = "/\n/metrics\n/livez\n/readyz\n/startupz\n/status.json\n";

pub(crate) async fn respond(
    observer: &Observer,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET and HEAD only\n".into());
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    Ok(match request.uri().path() {
        "/" => dashboard(),
        "/livez" => health(probes::live(observer)),
        "/readyz" => health(probes::ready(observer)),
        "/startupz" => health(probes::started(observer)),
        "/metrics" => {
            let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
            let format = Format::accepted(accept.unwrap_or_default());
            let seen = observer.look().await;
            response(StatusCode::OK, format.content_type(), metrics::text(observer, &seen, format).into())
        }
        "/status.json" => status_json(observer).await,
        _ => response(StatusCode::NOT_FOUND, TEXT, OVERVIEW.into()),
    })
}

fn dashboard() -> Response<Full<Bytes>> {
    let mut response = response(StatusCode::OK, HTML, dashboard::page().into());
    let policy = HeaderValue::from_static(dashboard::POLICY);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn health(health: Health) -> Response<Full<Bytes>> {
    let status = if health.well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    response(status, TEXT, health.text.into())
}

async fn status_json(observer: &Observer) -> Response<Full<Bytes>> {
    let seen = observer.look().await;
    let status = status(&seen, &observer.facts, |pid| observer.measured.of(pid));
    match serde_json::to_vec(&status) {
        Ok(json) => response(StatusCode::OK, JSON, json.into()),
        Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n").into()),
    }
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
