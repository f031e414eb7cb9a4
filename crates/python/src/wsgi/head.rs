//! Status and headers as `start_response` gets them, and pieces of a body: what PEP 3333 allows.

use crate::response::{Head, bytes_object};
use bytes::Bytes;
use hyper::{StatusCode, ext::ReasonPhrase};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyList, PyString},
};

/// Headers that belong to the connection and so to the server (PEP 3333 §Other HTTP Features).
const HOP_BY_HOP: [&str; 6] = ["connection", "keep-alive", "proxy-authenticate", "te", "trailer", "upgrade"];

/// The head of a response.
pub(super) fn head(status: &Bound<'_, PyString>, headers: &Bound<'_, PyList>) -> PyResult<Head> {
    let (status, reason) = status_line(status.to_str()?)?;
    let mut head = Head { status, reason, ..Head::default() };
    head.reserve(headers.len());
    for pair in headers.iter() {
        let (name, value) = pair
            .extract::<(Bound<'_, PyString>, Bound<'_, PyString>)>()
            .map_err(|_| PyTypeError::new_err(format!("a header is a pair of strings, not {pair:?}")))?;
        add(&mut head, name.to_str()?, value.to_str()?)?;
    }
    Ok(head)
}

/// A status and its reason phrase.
fn status_line(text: &str) -> PyResult<(StatusCode, Option<Box<ReasonPhrase>>)> {
    if text == "200 OK" {
        return Ok((StatusCode::OK, None));
    }
    let code = text.split(' ').next().filter(|code| code.len() == 3);
    let status = code
        .and_then(|code| StatusCode::from_bytes(code.as_bytes()).ok())
        .filter(|status| !status.is_informational())
        .ok_or_else(|| PyValueError::new_err(format!("{text:?} is not a status such as \"200 OK\"")))?;
    Ok((status, reason(status, text.get(4..).unwrap_or_default())?))
}

/// The application's reason phrase, unless it is the usual one. Each character is a byte (PEP 3333 §Unicode
/// Issues).
fn reason(status: StatusCode, text: &str) -> PyResult<Option<Box<ReasonPhrase>>> {
    match status.canonical_reason() {
        Some(usual) if text == usual || text.is_empty() => return Ok(None),
        _ => {}
    }
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    let phrase = bytes.and_then(|bytes| ReasonPhrase::try_from(bytes).ok());
    phrase.map(|phrase| Some(Box::new(phrase))).ok_or_else(|| {
        PyValueError::new_err(format!("the reason phrase {text:?} has characters that it cannot have"))
    })
}

fn add(head: &mut Head, name: &str, value: &str) -> PyResult<()> {
    if HOP_BY_HOP.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        tracing::debug!(header = name, "response header dropped: hop-by-hop headers are the server's");
        return Ok(());
    }
    head.add_text(name, value)
}

/// A piece of a body: a byte string and nothing else.
pub(super) fn piece(data: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    match data.cast::<PyBytes>() {
        Ok(bytes) => bytes_object(bytes),
        Err(_) => Err(PyTypeError::new_err(format!("a WSGI body consists of byte strings, not {data:?}"))),
    }
}
