//! What the application sends of its response: `send`.

use super::{
    cycle::{Cycle, Phase},
    events,
};
use crate::{
    awaitable::{Finished, Waiting},
    response::{
        FilePieces, HIGH_WATER, Head, MOST_HEADERS, ResponseBody, Stream, Streaming, bytes_of, response,
        too_many, wrong_length,
    },
};
use bytes::Bytes;
use hyper::{HeaderMap, header::HeaderValue};
use pyo3::{
    exceptions::{PyRuntimeError, PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyDict, PyString},
};
use std::{path::PathBuf, rc::Rc};

impl Cycle {
    /// ASGI's `send`.
    pub(super) fn send<'py>(
        slf: &Bound<'py, Self>,
        event: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let event = event
            .cast::<PyDict>()
            .map_err(|_| PyTypeError::new_err(format!("an ASGI event is a dict, not {event:?}")))?;
        let kind = events::required(event, intern!(py, "type"), "?")?;
        let kind = kind.cast::<PyString>()?;
        let wait = match kind.to_str()? {
            "http.response.start" => slf.get().start(py, event).map(|()| None)?,
            "http.response.body" => Self::body_event(slf, event)?,
            "http.response.pathsend" => slf.get().send_file(py, event).map(|()| None)?,
            "http.response.trailers" => slf.get().trailers(py, event).map(|()| None)?,
            "http.response.early_hint" => slf.get().early_hint(py, event).map(|()| None)?,
            other => {
                let text = format!("`{other}` is not an event of an HTTP response");
                return Err(PyRuntimeError::new_err(text));
            }
        };
        match wait {
            Some(future) => Ok(future),
            None => Finished::none(py),
        }
    }

    fn start(&self, py: Python<'_>, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let status = events::required(event, intern!(py, "status"), "http.response.start")?;
        let head = events::head(&status, event.get_item(intern!(py, "headers"))?)?;
        let trailers = match event.get_item(intern!(py, "trailers"))? {
            Some(trailers) => trailers.is_truthy()?,
            None => false,
        };
        self.state.with(py, |state| match state.phase {
            Phase::Open => {
                state.phase = Phase::Headed(head);
                state.trailers = trailers.then(HeaderMap::new);
                Ok(())
            }
            Phase::Gone => Err(events::gone()),
            Phase::Headed(_) | Phase::Streaming { .. } | Phase::Trailing { .. } | Phase::Complete => {
                Err(PyRuntimeError::new_err("`http.response.start` was sent a second time"))
            }
        })
    }

    /// Handles `http.response.body`; returns a future if the application should wait before it sends more.
    fn body_event<'py>(
        slf: &Bound<'py, Self>,
        event: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, this) = (slf.py(), slf.get());
        let more = match event.get_item(intern!(py, "more_body"))? {
            Some(more) => more.is_truthy()?,
            None => false,
        };
        let piece = match event.get_item(intern!(py, "body"))? {
            Some(body) => bytes_of(&body)?,
            None => Bytes::new(),
        };
        let phase = this.state.with(py, |state| std::mem::replace(&mut state.phase, Phase::Open));
        let trailing = this.state.with(py, |state| state.trailers.is_some());
        match phase {
            Phase::Headed(head) if !more && !trailing => this.answer_whole(py, head, piece).map(|()| None),
            Phase::Headed(head) => {
                Self::answer_in_pieces(slf, head);
                this.body_piece(py, piece, more)
            }
            streaming @ Phase::Streaming { .. } => {
                this.state.with(py, |state| state.phase = streaming);
                this.body_piece(py, piece, more)
            }
            other => {
                let error = match other {
                    Phase::Gone => events::gone(),
                    Phase::Open => PyRuntimeError::new_err("a body was sent before `http.response.start`"),
                    Phase::Headed(_) | Phase::Streaming { .. } | Phase::Trailing { .. } | Phase::Complete => {
                        PyRuntimeError::new_err("a body was sent after the response was complete")
                    }
                };
                this.state.with(py, |state| state.phase = other);
                Err(error)
            }
        }
    }

    fn answer_whole(&self, py: Python<'_>, head: Head, body: Bytes) -> PyResult<()> {
        let head_request = self.state.with(py, |state| state.head_request);
        let bodiless = head.is_bodiless(head_request);
        if let Err(error) = head.check_length(body.len() as u64, bodiless) {
            self.state.with(py, |state| state.phase = Phase::Headed(head));
            return Err(error);
        }
        // To HEAD, the length is that of the body that GET would get (RFC 9110 §9.3.2).
        let body = if bodiless && head.length.is_some() { None } else { Some(body) };
        self.deliver(py, response(head, ResponseBody::Whole(body)), Phase::Complete);
        self.end(py, Phase::Complete);
        Ok(())
    }

    fn answer_in_pieces(slf: &Bound<'_, Self>, head: Head) {
        let (py, this) = (slf.py(), slf.get());
        let bodiless = head.is_bodiless(this.state.with(py, |state| state.head_request));
        let stream = Stream::new(if bodiless { Some(0) } else { head.length });
        let phase = Phase::Streaming { stream: Rc::clone(&stream), left: head.length, bodiless };
        let body = ResponseBody::Stream(Streaming::new(stream, Box::new(slf.clone().unbind())));
        this.deliver(py, response(head, body), phase);
    }

    /// Sends a file as the whole body (ASGI extension "Path Send").
    fn send_file(&self, py: Python<'_>, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let path = events::required(event, intern!(py, "path"), "http.response.pathsend")?;
        let (pieces, length) = FilePieces::open(&path.extract::<PathBuf>()?)?;
        let head_request = self.state.with(py, |state| state.head_request);
        let phase = self.state.with(py, |state| std::mem::replace(&mut state.phase, Phase::Open));
        let head = match phase {
            Phase::Headed(mut head) if head.length.is_none_or(|announced| announced == length) => {
                // To HEAD, too (RFC 9110 §9.3.2).
                head.set_length(length);
                head
            }
            other => {
                let error = match &other {
                    Phase::Headed(head) => wrong_length(length, head.length.unwrap_or(0)),
                    Phase::Gone => events::gone(),
                    _ => PyRuntimeError::new_err("a file was sent where the body of a response cannot begin"),
                };
                self.state.with(py, |state| state.phase = other);
                return Err(error);
            }
        };
        let body = match head.is_bodiless(head_request) {
            true => ResponseBody::Whole(None),
            false => ResponseBody::File(pieces),
        };
        self.deliver(py, response(head, body), Phase::Complete);
        self.end(py, Phase::Complete);
        Ok(())
    }

    fn body_piece<'py>(
        &self,
        py: Python<'py>,
        piece: Bytes,
        more: bool,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let size = piece.len() as u64;
        let (stream, bodiless, blocks) = self.state.with(py, |state| match &mut state.phase {
            Phase::Streaming { stream, left, bodiless } => {
                if let Some(left) = left.as_mut().filter(|_| !*bodiless) {
                    let sent = state.sent;
                    let announced = sent + *left;
                    *left = left.checked_sub(size).ok_or_else(|| wrong_length(sent + size, announced))?;
                    if !more && *left > 0 {
                        return Err(wrong_length(sent + size, announced));
                    }
                }
                let blocks = (state.sent + size) / HIGH_WATER as u64 - state.sent / HIGH_WATER as u64;
                state.sent += size;
                Ok((Rc::clone(stream), *bodiless, blocks))
            }
            Phase::Open | Phase::Headed(_) | Phase::Trailing { .. } | Phase::Complete | Phase::Gone => {
                Err(events::gone())
            }
        })?;
        let full = !bodiless && stream.push(py, piece);
        if !more {
            self.end_body(py, stream);
            return Ok(None);
        }
        if full {
            let future = self.future(py)?;
            stream.await_room(py, future.clone().unbind());
            return Waiting::alone(&future).map(Some);
        }
        // Nobody takes what is sent for HEAD, so nothing else would ever suspend who sends without an end.
        if bodiless && blocks > 0 {
            let shared = self.shared.with(py, |shared| Rc::clone(shared));
            return Waiting::alone(&shared.tasks.turn(py)?).map(Some);
        }
        Ok(None)
    }

    /// The body is complete: so is the response, unless trailers follow.
    fn end_body(&self, py: Python<'_>, stream: Rc<Stream>) {
        let trailing = self.state.with(py, |state| {
            let trailing = state.trailers.is_some();
            if trailing {
                state.phase = Phase::Trailing { stream: Rc::clone(&stream) };
            }
            trailing
        });
        if !trailing {
            stream.complete(py);
            self.end(py, Phase::Complete);
        }
    }

    /// Trailers, which end the response (ASGI extension "Trailers"). hyper sends those that the `Trailer` header
    /// names, to clients that said `TE: trailers` (RFC 9110 §6.5.1).
    fn trailers(&self, py: Python<'_>, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let mut head = Head::default();
        if let Some(headers) = event.get_item(intern!(py, "headers"))? {
            head.add_all(&headers)?;
        }
        let more = match event.get_item(intern!(py, "more_trailers"))? {
            Some(more) => more.is_truthy()?,
            None => false,
        };
        let whole = self.state.with(py, |state| {
            let (Phase::Trailing { stream }, Some(trailers)) = (&state.phase, &mut state.trailers) else {
                return Err(match state.phase {
                    Phase::Gone => events::gone(),
                    _ => PyRuntimeError::new_err(
                        "trailers are sent after the last body event of a response that began with `trailers`",
                    ),
                });
            };
            if trailers.len() + head.headers.len() > MOST_HEADERS {
                return Err(too_many());
            }
            trailers.extend(head.into_parts().1);
            Ok(if more { None } else { Some((Rc::clone(stream), std::mem::take(trailers))) })
        })?;
        if let Some((stream, trailers)) = whole {
            stream.complete_with(py, trailers);
            self.end(py, Phase::Complete);
        }
        Ok(())
    }

    /// A 103 with links (ASGI extension "Early Hint").
    fn early_hint(&self, py: Python<'_>, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let mut links = Vec::new();
        if let Some(given) = event.get_item(intern!(py, "links"))? {
            for link in given.try_iter()? {
                let link = bytes_of(&link?)?;
                let link = HeaderValue::from_maybe_shared(link)
                    .map_err(|_| PyValueError::new_err("a link has characters that a header cannot have"))?;
                links.push(link);
            }
        }
        let interim = self.state.with(py, |state| match state.phase {
            Phase::Open => Ok(state.interim.clone()),
            Phase::Gone => Err(events::gone()),
            _ => Err(PyRuntimeError::new_err("an early hint was sent after `http.response.start`")),
        })?;
        if let Some(interim) = interim.filter(|_| !links.is_empty()) {
            interim.early_hints(&links);
        }
        Ok(())
    }
}
