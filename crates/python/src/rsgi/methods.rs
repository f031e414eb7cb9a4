//! Methods of the protocol object of an RSGI application: reading the body, and responding.

use super::{
    http_protocol::{HttpProtocol, Phase, ReadMode},
    request_body::{Pieces, Whole},
    stream::StreamTransport,
};
use crate::{
    exchange::HttpCall,
    response::{BodySender, Head, ResponseBody, bytes_of, plain, response},
};
use bytes::Bytes;
use hostler_eventloop::{Waiting, resolve};
use hostler_http::{FileBody, RequestFacts};
use hyper::StatusCode;
use pyo3::{exceptions::PyValueError, prelude::*, types::PyString};
use std::{
    io,
    path::{Path, PathBuf},
};

#[pymethods]
impl HttpProtocol {
    /// Awaits the whole body.
    fn __call__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        match this.mode(py) {
            ReadMode::Untouched => this.set_mode(py, ReadMode::Whole),
            ReadMode::Whole => {}
            ReadMode::Pieces | ReadMode::Taken => return Err(this.read_already(py)),
        }
        Waiting::on(py, Whole(slf.clone().unbind()))
    }

    /// Iterates over the body's pieces as they arrive.
    fn __aiter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let (py, this) = (slf.py(), slf.get());
        match this.mode(py) {
            ReadMode::Untouched => this.set_mode(py, ReadMode::Pieces),
            ReadMode::Pieces => {}
            ReadMode::Whole | ReadMode::Taken => return Err(this.read_already(py)),
        }
        Ok(slf.clone())
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        match slf.get().mode(slf.py()) {
            ReadMode::Pieces => Waiting::on(slf.py(), Pieces(slf.clone().unbind())),
            ReadMode::Untouched | ReadMode::Whole | ReadMode::Taken => Err(slf.get().read_already(slf.py())),
        }
    }

    /// A future that is finished when the client has disconnected.
    fn client_disconnect<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let future = this.future(py)?;
        if this.is_gone(py) || this.connection(py).is_finished() || this.ends(py) {
            resolve(&future, py.None().into_bound(py));
        } else {
            Self::watch(slf, &future);
        }
        Ok(future)
    }

    #[pyo3(signature = (status = 200, headers = None))]
    fn response_empty(
        &self,
        py: Python<'_>,
        status: u16,
        headers: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.whole(py, status, headers, Bytes::new())
    }

    #[pyo3(signature = (status = 200, headers = None, body = None))]
    fn response_str(
        &self,
        py: Python<'_>,
        status: u16,
        headers: Option<&Bound<'_, PyAny>>,
        body: Option<&Bound<'_, PyString>>,
    ) -> PyResult<()> {
        let body = match body {
            Some(text) => Bytes::copy_from_slice(text.to_str()?.as_bytes()),
            None => Bytes::new(),
        };
        self.whole(py, status, headers, body)
    }

    #[pyo3(signature = (status = 200, headers = None, body = None))]
    fn response_bytes(
        &self,
        py: Python<'_>,
        status: u16,
        headers: Option<&Bound<'_, PyAny>>,
        body: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let body = body.map_or_else(|| Ok(Bytes::new()), bytes_of)?;
        self.whole(py, status, headers, body)
    }

    fn response_file(
        &self,
        py: Python<'_>,
        status: u16,
        headers: &Bound<'_, PyAny>,
        file: PathBuf,
    ) -> PyResult<()> {
        self.file(py, status, Some(headers), &file, (0, u64::MAX))
    }

    /// The bytes from `start` to before `end`.
    fn response_file_range(
        &self,
        py: Python<'_>,
        status: u16,
        headers: &Bound<'_, PyAny>,
        file: PathBuf,
        start: u64,
        end: u64,
    ) -> PyResult<()> {
        if start >= end {
            return Err(PyValueError::new_err(format!("a range from {start} to before {end} is empty")));
        }
        self.file(py, status, Some(headers), &file, (start, end))
    }

    #[pyo3(signature = (status = 200, headers = None))]
    fn response_stream<'py>(
        slf: &Bound<'py, Self>,
        status: u16,
        headers: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, StreamTransport>> {
        let (py, this) = (slf.py(), slf.get());
        // To a client that is gone, the transport's methods raise.
        let gone = this.is_gone(py);
        if !gone && !this.is_open(py) {
            let errors = &this.connection(py).shared.errors;
            return Err(errors.wrong(py, "the request has a response already"));
        }
        let head = head(status, headers)?;
        let sender = BodySender::new(&head, this.head_request);
        if !gone {
            let body = sender.body(Box::new(slf.clone().unbind()));
            this.respond(py, response(head, body), Phase::Streaming(sender.stream()));
        }
        Bound::new(py, StreamTransport::new(sender, slf.clone().unbind()))
    }
}

impl HttpProtocol {
    fn whole(
        &self,
        py: Python<'_>,
        status: u16,
        headers: Option<&Bound<'_, PyAny>>,
        body: Bytes,
    ) -> PyResult<()> {
        if !self.may_respond(py) {
            return Ok(());
        }
        let head = head(status, headers)?;
        let bodiless = head.is_bodiless(self.head_request);
        head.check_length(body.len() as u64, bodiless)?;
        // To HEAD, the length is that of the body that GET would get (RFC 9110 §9.3.2).
        let body = if bodiless && head.length.is_some() { None } else { Some(body) };
        self.respond(py, response(head, ResponseBody::Whole(body)), Phase::Complete);
        Ok(())
    }

    fn file(
        &self,
        py: Python<'_>,
        status: u16,
        headers: Option<&Bound<'_, PyAny>>,
        path: &Path,
        range: (u64, u64),
    ) -> PyResult<()> {
        if !self.may_respond(py) {
            return Ok(());
        }
        let mut head = head(status, headers)?;
        let pieces = match FileBody::open(path, range.0, range.1) {
            Ok(opened) => opened,
            Err(error) => {
                self.tell_no_file(py, path, &error);
                self.respond(py, plain(StatusCode::NOT_FOUND, "Not Found"), Phase::Complete);
                return Ok(());
            }
        };
        let length = pieces.left();
        if head.length.is_some_and(|announced| announced != length) {
            let RequestFacts { method, path: target, client, request_id, worker, pid } = self.facts(py);
            tracing::warn!(
                file = %path.display(),
                length,
                method,
                path = target,
                client,
                request_id,
                worker,
                pid,
                "Content-Length corrected to the length of the file"
            );
        }
        head.set_length(length);
        head.in_place_of_file = head.is_bodiless(self.head_request);
        let body = match head.in_place_of_file {
            true => ResponseBody::Whole(None),
            false => ResponseBody::File(Box::new(pieces)),
        };
        self.respond(py, response(head, body), Phase::Complete);
        Ok(())
    }
}

impl HttpProtocol {
    #[cold]
    fn tell_no_file(&self, py: Python<'_>, file: &Path, error: &io::Error) {
        let RequestFacts { method, path, client, request_id, worker, pid } = self.facts(py);
        tracing::error!(
            file = %file.display(),
            %error,
            method,
            path,
            client,
            request_id,
            worker,
            pid,
            "cannot send a file of the RSGI application: responding with 404"
        );
    }
}

fn head(status: u16, headers: Option<&Bound<'_, PyAny>>) -> PyResult<Head> {
    match headers {
        Some(headers) => Head::of_strings(status, headers),
        None => Head::of(status)
            .ok_or_else(|| PyValueError::new_err(format!("{status} is not the status of a final response"))),
    }
}
