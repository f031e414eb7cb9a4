//! One request: its body is stored, a thread calls the application, and hyper gets the response.

use super::{
    body::{Pulled, WsgiBody},
    environ::ConnectionEnviron,
    input::{self, Arrived, StoreError, Stored},
    iterable::{ResponseIter, Step, begin, broken_if_begun},
    pool::{Job, Progress},
    response_sender::{Reply, ResponseSender, Whole},
    shared::Shared,
    start_response::{InPlace, StartResponse},
    threads::Threads,
    turn::Turn,
};
use crate::{
    logging::request_error,
    response::{Head, internal_error, plain, response},
};
use hostler_http::{Aborted, Began, RequestBody, RequestFacts, Waiting};
use http_body::Body;
use hyper::{Method, Request, Response, StatusCode, Version, header};
use pyo3::prelude::*;
use std::{future::Future, io, pin::Pin, rc::Rc, sync::Arc};
use tokio::sync::OwnedSemaphorePermit;

type ResponseResult = Result<Response<WsgiBody>, Aborted>;

/// Serves a request whose body is to be stored first, in place or on a pool thread.
pub(super) async fn with_body(
    shared: Rc<Shared>,
    connection: Rc<ConnectionEnviron>,
    request: Request<RequestBody>,
    began: Began,
    progress: Progress,
) -> ResponseResult {
    let (head, body) = request.into_parts();
    let request = Request::from_parts(head, ());
    if expects_continue(&request, &body)
        && let Some(threads) = shared.threads_for_waiting()
        && let Some(loan) = threads.try_lend()
    {
        let input = Input::Late(Stored::Memory(Vec::new()), body, Some(loan));
        return Box::pin(on_a_thread(&shared, threads, &connection, (&request, began), input, progress))
            .await;
    }
    // While its body arrives, a request waits for its client.
    let waiting: Option<Waiting> = request.extensions().get().cloned();
    waiting.iter().for_each(Waiting::end);
    let Arrived { stored, rest } = match input::store(body, shared.limits.body_spool.0).await {
        Ok(arrived) => arrived,
        Err(StoreError::Client(error)) => {
            tracing::debug!(%error, "the request's body is incomplete");
            return Err(Aborted);
        }
        Err(StoreError::Storage(error)) => return Ok(storage_error(&error, began)),
    };
    waiting.iter().for_each(Waiting::begin);
    let (threads, input) = match rest {
        Some(rest) => match shared.threads_for_waiting() {
            Some(threads) => (Some(threads), Input::Late(stored, rest, threads.lend().await)),
            None => return Ok(internal_error()),
        },
        None => (shared.threads_for_calls(), Input::Stored(stored)),
    };
    match (threads, input) {
        (None, Input::Stored(stored)) => Box::pin(in_place(shared, connection, request, began, stored)).await,
        (Some(threads), input) => {
            Box::pin(on_a_thread(&shared, threads, &connection, (&request, began), input, progress)).await
        }
        (None, Input::Late(..)) => Ok(internal_error()),
    }
}

/// Whether the client waits for a 100 before it sends its body (RFC 9110 §10.1.1).
fn expects_continue(request: &Request<()>, body: &RequestBody) -> bool {
    request
        .headers()
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
        && request.version() == Version::HTTP_11
        && !body.is_end_stream()
}

/// Serves a request on this thread. The loop turns while the application returns empty pieces.
#[expect(clippy::manual_async_fn, reason = "as an async function it would keep its arguments twice")]
pub(super) fn in_place(
    shared: Rc<Shared>,
    connection: Rc<ConnectionEnviron>,
    mut request: Request<()>,
    began: Began,
    stored: Stored,
) -> impl Future<Output = ResponseResult> {
    async move {
        let step = {
            let _entered = shared.enter().await;
            call_in_place(&shared, &connection, (&mut request, began), stored)
        };
        // The rare cases are boxed to keep this future small.
        let rest: Pin<Box<dyn Future<Output = ResponseResult>>> = match step {
            Ok(Step::Empty(rest)) => Box::pin(first_piece(shared, rest, began)),
            Ok(Step::Started(rest)) => Box::pin(go_on(shared, rest)),
            step => return respond(step, shared, began),
        };
        rest.await
    }
}

/// Calls the application.
fn call_in_place(
    shared: &Shared,
    connection: &ConnectionEnviron,
    (request, began): (&mut Request<()>, Began),
    stored: Stored,
) -> PyResult<Step> {
    Python::attach(|py| {
        let in_place = InPlace {
            writes: Arc::clone(&shared.writes),
            interim: connection.interim.clone(),
            http_10: request.version() == Version::HTTP_10,
            additions: request.extensions_mut().remove(),
        };
        let head_request = request.method() == Method::HEAD;
        let start_response = Bound::new(py, StartResponse::in_place(head_request, began, in_place))?;
        let environ = connection.of(py, shared, request, stored.into_python(py)?)?;
        let step = begin(&start_response, shared.app.bind(py), &environ, Some(&shared.closer));
        broken_if_begun(py, start_response.get(), step)
    })
}

/// The response, as far as the application has got.
fn respond(step: PyResult<Step>, shared: Rc<Shared>, began: Began) -> ResponseResult {
    Ok(match step {
        Ok(Step::Whole(head, body, _closing)) => whole(head, body),
        Ok(Step::File(head, pieces, closing)) => response(head, WsgiBody::of_file(pieces, closing)),
        Ok(Step::Stream(head, first, rest)) => {
            response(head, WsgiBody::Pulled(Pulled::new(first, rest, shared)))
        }
        // What was sent is incomplete; closing the connection tells the client.
        Ok(Step::Broken) => return Err(Aborted),
        // The callers go on with these.
        Ok(Step::Empty(_) | Step::Started(_)) => internal_error(),
        Err(error) => {
            Python::attach(|py| {
                let what = "the WSGI application raised before its response began";
                request_error(py, what, &error, &RequestFacts::in_flight(began));
            });
            internal_error()
        }
    })
}

/// Waits for the first piece that is not empty.
async fn first_piece(shared: Rc<Shared>, mut rest: ResponseIter, began: Began) -> ResponseResult {
    loop {
        Turn::pass().await;
        let entered = shared.enter().await;
        match Python::attach(|py| rest.begin_in_place(py)) {
            Ok(Step::Empty(same)) => rest = same,
            Ok(Step::Started(rest)) => {
                drop(entered);
                return go_on(shared, rest).await;
            }
            step => return respond(step, Rc::clone(&shared), began),
        }
    }
}

/// Sends the rest of a response that `write()` has begun in place. hyper does not know of it, so the connection closes
/// with it.
async fn go_on(shared: Rc<Shared>, mut rest: ResponseIter) -> ResponseResult {
    loop {
        Turn::pass().await;
        let _entered = shared.enter().await;
        if !Python::attach(|py| rest.go_on(py)) {
            return Err(Aborted);
        }
    }
}

/// The request's body, as far as it was stored.
enum Input {
    Stored(Stored),
    /// The rest is read while the application runs, on a thread lent for it.
    Late(Stored, RequestBody, Option<OwnedSemaphorePermit>),
}

/// Serves a request without a body on a pool thread.
pub(super) async fn in_pool(
    shared: Rc<Shared>,
    connection: Rc<ConnectionEnviron>,
    request: Request<()>,
    began: Began,
    progress: Progress,
) -> ResponseResult {
    match shared.threads_for_calls() {
        Some(threads) => {
            let input = Input::Stored(Stored::Memory(Vec::new()));
            on_a_thread(&shared, threads, &connection, (&request, began), input, progress).await
        }
        None => Ok(internal_error()),
    }
}

/// Serves a request on a pool thread, or on an extra one.
async fn on_a_thread(
    shared: &Shared,
    threads: &Threads,
    connection: &ConnectionEnviron,
    (request, began): (&Request<()>, Began),
    input: Input,
    progress: Progress,
) -> ResponseResult {
    let (sender, reply) = ResponseSender::new(threads.gate.clone(), shared.limits.response_buffer.bytes());
    let queued = Python::attach(|py| {
        let mut held: Option<Box<dyn std::any::Any + Send>> = None;
        let input = match input {
            Input::Stored(stored) => stored.into_python(py)?,
            Input::Late(stored, body, loan) => {
                let (feed, supply) = input::feed(body, threads.gate.clone());
                held = Some(Box::new((supply, loan)));
                feed.into_python(py, stored)?
            }
        };
        let start_response =
            Bound::new(py, StartResponse::in_pool(request.method() == Method::HEAD, began, sender))?.unbind();
        let environ = connection.of(py, shared, request, input)?.unbind();
        connection.queued.note(&progress);
        let app = shared.app.clone_ref(py);
        let (gate, waiting) = (threads.gate.clone(), request.extensions().get().cloned());
        waiting.iter().for_each(Waiting::begin);
        threads.jobs.queue(py, Job { progress, app, environ, start_response, gate, waiting, held });
        PyResult::Ok(())
    });
    if let Err(error) = queued {
        let facts = RequestFacts::in_flight(began);
        Python::attach(|py| request_error(py, "cannot start a WSGI request", &error, &facts));
        return Ok(internal_error());
    }
    Ok(match reply.await {
        Ok(Reply::Whole(head, body)) => whole(head, body),
        Ok(Reply::File(head, pieces, closing)) => response(head, WsgiBody::of_file(pieces, closing)),
        Ok(Reply::Stream(head, receiver)) => response(head, WsgiBody::Sent(receiver)),
        Ok(Reply::Failed) | Err(_) => internal_error(),
    })
}

fn whole(head: Head, body: Whole) -> Response<WsgiBody> {
    response(
        head,
        match body {
            Whole::Bytes(bytes) => WsgiBody::Whole(Some(bytes)),
            Whole::Nothing => WsgiBody::Whole(None),
            Whole::Unknown => WsgiBody::Unknown,
        },
    )
}

/// The disk is full, or cannot be written for another reason.
fn storage_error(error: &io::Error, began: Began) -> Response<WsgiBody> {
    let RequestFacts { method, path, client, request_id, worker, pid } = RequestFacts::in_flight(began);
    tracing::error!(
        %error,
        directory = %std::env::temp_dir().display(),
        method,
        path,
        client,
        request_id,
        worker,
        pid,
        "cannot store a request's body"
    );
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            plain(StatusCode::INSUFFICIENT_STORAGE, "the server has no room for the request's body")
        }
        _ => internal_error(),
    }
}
