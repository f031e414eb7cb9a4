//! A native service whose bodies are not what their heads say, or fail; with ACCESS_LOG, there is an access log; with COMPRESS,
//! responses are compressed.

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
    routing::{any, get},
};
use bytes::Bytes;
use http_body::Frame;
use hyper::StatusCode;
use std::{
    collections::VecDeque,
    env, io,
    pin::Pin,
    process::{self, ExitCode},
    task::{Context, Poll},
};

fn main() -> Result<ExitCode, hostler::Error> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".into());
    let mut server = hostler::Server::new().log_level(hostler::LogLevel::Debug).bind(address).workers(1);
    if let Ok(file) = env::var("ACCESS_LOG") {
        server = server.access_log(file).access_log_format("json");
    }
    if env::var_os("COMPRESS").is_some() {
        server = server.compress();
    }
    server.serve(|| {
        Router::new()
            .route("/pid", get(async || process::id().to_string()))
            .route("/right", get(async || text(Some("6000"), Pieces::new(2, false))))
            .route("/short", get(async || text(Some("9000"), Pieces::new(2, false))))
            .route("/short/{*rest}", get(async || text(Some("9000"), Pieces::new(2, false))))
            .route("/long", get(async || text(Some("5000"), Pieces::new(2, false))))
            .route("/fails", get(async || text(None, Pieces::new(2, true))))
            .route("/panics", get(async || text(None, Body::new(Panics(Pieces::new(2, false))))))
            .route("/panic", get(async || -> Response { panic!("no such shelf") }))
            .route("/differs", get(async || text(Some("9000"), "x".repeat(3000))))
            .route("/odd", get(async || text(Some("+3000"), Pieces::new(1, false))))
            .route("/head", get(async || text(Some("6000"), Pieces::new(1, false))))
            .route("/echo", any(async |request: Request| Response::new(request.into_body())))
            .route("/204", get(async || without(StatusCode::NO_CONTENT, "5")))
            .route("/204/empty", get(async || StatusCode::NO_CONTENT))
            .route("/304", get(async || without(StatusCode::NOT_MODIFIED, "5")))
            .route("/304/empty", get(async || StatusCode::NOT_MODIFIED))
    })
}

fn text(length: Option<&str>, body: impl Into<Body>) -> Response {
    let response = Response::builder().header("content-type", "text/plain");
    let response =
        length.into_iter().fold(response, |response, length| response.header("content-length", length));
    response.body(body.into()).expect("a response")
}

/// With a length, and a body.
fn without(status: StatusCode, length: &'static str) -> impl IntoResponse {
    (status, [("content-length", length)], "hello")
}

/// So many pieces of 3000 bytes, of a length that is not known before.
struct Pieces(VecDeque<io::Result<Bytes>>);

impl Pieces {
    fn new(count: usize, fails: bool) -> Self {
        let pieces = (0..count).map(|_| Ok(Bytes::from("x".repeat(3000))));
        Self(pieces.chain(fails.then(|| Err(io::Error::other("the disk is gone")))).collect())
    }
}

impl From<Pieces> for Body {
    fn from(pieces: Pieces) -> Self {
        Self::new(pieces)
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.0.pop_front().map(|piece| piece.map(Frame::data)))
    }
}

/// Panics where it would end.
struct Panics(Pieces);

impl http_body::Body for Panics {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.0).poll_frame(cx);
        assert!(!matches!(polled, Poll::Ready(None)), "the shelf is empty");
        polled
    }
}
