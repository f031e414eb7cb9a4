//! What the application sends of its response: `send`.

use super::{
    events::{self, flag, kind_of, required},
    phase::{Effect, Event, Misuse, Then},
    request::HttpRequest,
};
use crate::{
    call::{Function, Method},
    response::{Head, ResponseBody, bytes_of, response, too_many_headers},
};
use bytes::Bytes;
use hostler_eventloop::Finished;
use hostler_http::FileBody;
use hyper::{Response, header::HeaderValue};
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    intern,
    prelude::*,
    types::PyDict,
};
use std::{ffi::CStr, path::PathBuf};

/// ASGI's `send`.
pub(super) struct Send;

impl Function for Send {
    const NAME: &'static CStr = c"send";
    const DOC: &'static CStr = c"Sends an event.";
    const TAKES_ARGUMENT: bool = true;
}

impl Method<HttpRequest> for Send {
    fn call<'py>(
        of: &Bound<'py, HttpRequest>,
        event: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (event, kind) = kind_of(of.py(), event)?;
        let wait = match kind.to_str()? {
            "http.response.start" => send(of, start(event)?)?,
            "http.response.body" => send(of, body(event)?)?,
            "http.response.pathsend" => send(of, file(event)?)?,
            "http.response.trailers" => send(of, trailers(event)?)?,
            "http.response.early_hint" => early_hint(of, event).map(|()| None)?,
            other => {
                let text = format!("`{other}` is not an event of an HTTP response");
                return Err(PyRuntimeError::new_err(text));
            }
        };
        match wait {
            Some(wait) => Ok(wait),
            None => Finished::none(of.py()),
        }
    }
}

fn start(event: &Bound<'_, PyDict>) -> PyResult<Event> {
    let py = event.py();
    let status = required(event, intern!(py, "status"), "http.response.start")?;
    let head = events::head(&status, event.get_item(intern!(py, "headers"))?)?;
    Ok(Event::Start { head, trailers: flag(event, intern!(py, "trailers"))? })
}

fn body(event: &Bound<'_, PyDict>) -> PyResult<Event> {
    let py = event.py();
    let more = flag(event, intern!(py, "more_body"))?;
    let piece = match event.get_item(intern!(py, "body"))? {
        Some(body) => bytes_of(&body)?,
        None => Bytes::new(),
    };
    Ok(Event::Body { piece, more })
}

/// A file as the whole body (ASGI extension "Path Send").
fn file(event: &Bound<'_, PyDict>) -> PyResult<Event> {
    let path = required(event, intern!(event.py(), "path"), "http.response.pathsend")?;
    let pieces = FileBody::open(&path.extract::<PathBuf>()?, 0, u64::MAX)?;
    let length = pieces.left();
    Ok(Event::File { pieces, length })
}

/// Trailers, which end the response (ASGI extension "Trailers"). hyper sends those that the `Trailer` header
/// names, to clients that said `TE: trailers` (RFC 9110 §6.5.1).
fn trailers(event: &Bound<'_, PyDict>) -> PyResult<Event> {
    let py = event.py();
    let mut head = Head::default();
    if let Some(headers) = event.get_item(intern!(py, "headers"))? {
        head.add_all(&headers)?;
    }
    Ok(Event::Trailers { fields: head.headers, more: flag(event, intern!(py, "more_trailers"))? })
}

/// A 103 with links (ASGI extension "Early Hint").
fn early_hint(of: &Bound<'_, HttpRequest>, event: &Bound<'_, PyDict>) -> PyResult<()> {
    let (py, mut links) = (of.py(), Vec::new());
    if let Some(given) = event.get_item(intern!(py, "links"))? {
        for link in given.try_iter()? {
            let link = HeaderValue::from_maybe_shared(bytes_of(&link?)?)
                .map_err(|_| PyValueError::new_err("a link has characters that a header cannot have"))?;
            links.push(link);
        }
    }
    send(of, Event::EarlyHint)?;
    if let Some(interim) = of.get().interim(py).filter(|_| !links.is_empty()) {
        interim.early_hints(&links);
    }
    Ok(())
}

/// Takes an event and does what follows; an awaitable if the application should wait before it sends more.
fn send<'py>(of: &Bound<'py, HttpRequest>, event: Event) -> PyResult<Option<Bound<'py, PyAny>>> {
    let (py, request) = (of.py(), of.get());
    match request.step(py, event) {
        Effect::Nothing | Effect::EarlyHint => {}
        Effect::Refuse(misuse, _piece) => return Err(misuse.into()),
        Effect::Whole { head, body, wanted } => {
            complete(request, py, response(head, ResponseBody::Whole(wanted.then_some(body))));
        }
        Effect::File { head, pieces } => {
            let body = pieces.map_or(ResponseBody::Whole(None), |file| ResponseBody::File(Box::new(file)));
            complete(request, py, response(head, body));
        }
        Effect::Piece { begin, counted, piece, then } => {
            if let Some(head) = begin {
                let body = counted.body(Box::new(of.clone().unbind()));
                request.exchange.put(py, Ok(response(head, body)));
            }
            let wait = counted.push(py, piece);
            match then {
                Then::More => return counted.wait(py, &request.shared(py).application.tasks, wait),
                Then::Trailers => {}
                Then::End => {
                    counted.stream.complete(py);
                    request.exchange.close_body(py);
                }
            }
        }
        Effect::Trailers(stream, trailers) => {
            stream.complete_with(py, trailers);
            request.exchange.close_body(py);
        }
    }
    Ok(None)
}

/// Gives hyper the whole response.
fn complete(request: &HttpRequest, py: Python<'_>, response: Response<ResponseBody>) {
    request.exchange.put(py, Ok(response));
    request.exchange.close_body(py);
}

impl From<Misuse> for PyErr {
    fn from(misuse: Misuse) -> Self {
        let text = match misuse {
            Misuse::Gone => return events::gone(),
            Misuse::WrongLength(wrong) => return wrong.into(),
            Misuse::TooManyTrailers => return too_many_headers(),
            Misuse::StartedAgain => "`http.response.start` was sent a second time",
            Misuse::BodyBeforeStart => "a body was sent before `http.response.start`",
            Misuse::BodyAfterEnd => "a body was sent after the response was complete",
            Misuse::FileOutOfPlace => "a file was sent where the body of a response cannot begin",
            Misuse::TrailersOutOfPlace => {
                "trailers are sent after the last body event of a response that began with `trailers`"
            }
            Misuse::HintAfterStart => "an early hint was sent after `http.response.start`",
        };
        PyRuntimeError::new_err(text)
    }
}
