//! A native service that says what it saw of a request, as `apps/strict.py` does; /trailers has its length in trailers.

use bytes::Bytes;
use hostler::{LogLevel, Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use std::{convert::Infallible, env, process::ExitCode};

fn main() -> Result<ExitCode, hostler::Error> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".into());
    hostler::Server::new()
        .log_level(LogLevel::Debug)
        .bind(address)
        .workers(2)
        .serve(|| tower::service_fn(answer))
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

async fn answer(request: Request) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        let mut failed = Answer::new(Full::default().boxed_unsync());
        *failed.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
        return Ok(failed);
    };
    let host = head.headers.get("host").map_or(&b"-"[..], |host| host.as_bytes());
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    let trailers = body.trailers().map_or(0, hyper::HeaderMap::len);
    let mut text = [head.method.as_str().as_bytes(), target.as_bytes(), host].join(&b' ');
    text.push(b' ');
    text.extend_from_slice(&body.to_bytes());
    if trailers > 0 {
        text.extend_from_slice(format!(" and {trailers} trailers").as_bytes());
    }
    let end = text.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    text.truncate(end);
    let length = text.len();
    let body = Full::new(Bytes::from(text));
    if head.uri.path() != "/trailers" {
        return Ok(Response::new(body.boxed_unsync()));
    }
    let trailers = [("x-length".parse().expect("a name"), length.into())].into_iter().collect();
    Ok(Response::new(body.with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync()))
}
