//! The status and headers of an answer, checked before they reach hyper.

use hyper::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING},
};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyTuple},
};

/// The head of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// What the application announced as Content-Length.
    pub(crate) length: Option<u64>,
}

/// The head that a `websocket.http.response.start` event describes.
pub(super) fn head_of_denial(event: &Bound<'_, PyDict>) -> PyResult<Head> {
    let py = event.py();
    let status = event
        .get_item(intern!(py, "status"))?
        .ok_or_else(|| PyTypeError::new_err("`websocket.http.response.start` lacks the key `status`"))?;
    head(&status, event.get_item(intern!(py, "headers"))?)
}

/// The headers of a `websocket.accept` event.
pub(super) fn headers_of(headers: Option<Bound<'_, PyAny>>) -> PyResult<HeaderMap> {
    let mut head = Head { status: StatusCode::SWITCHING_PROTOCOLS, headers: HeaderMap::new(), length: None };
    head.add_all(headers)?;
    Ok(head.headers)
}

/// The head that an `http.response.start` event describes.
pub(super) fn head(status: &Bound<'_, PyAny>, headers: Option<Bound<'_, PyAny>>) -> PyResult<Head> {
    let code: u16 = status.extract()?;
    let status = StatusCode::from_u16(code)
        .ok()
        .filter(|status| !status.is_informational())
        .ok_or_else(|| PyValueError::new_err(format!("{code} is not the status of a final response")))?;
    let mut head = Head { status, headers: HeaderMap::new(), length: None };
    head.add_all(headers)?;
    Ok(head)
}

impl Head {
    /// Status and headers.
    pub(super) fn into_parts(self) -> (StatusCode, HeaderMap) {
        (self.status, self.headers)
    }

    fn add_all(&mut self, headers: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let Some(headers) = headers else { return Ok(()) };
        match headers.cast_exact::<PyList>() {
            Ok(list) => {
                self.headers.reserve(list.len() + 2);
                for pair in list.iter() {
                    self.add_pair(&pair)?;
                }
            }
            Err(_) => {
                for pair in headers.try_iter()? {
                    self.add_pair(&pair?)?;
                }
            }
        }
        Ok(())
    }

    fn add_pair(&mut self, pair: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(pair) = pair.cast_exact::<PyTuple>()
            && pair.len() == 2
        {
            return self.add_objects(&pair.get_item(0)?, &pair.get_item(1)?);
        }
        let mut items = pair.try_iter()?;
        match (items.next(), items.next(), items.next()) {
            (Some(name), Some(value), None) => self.add_objects(&name?, &value?),
            _ => Err(PyTypeError::new_err("a header is a pair of byte strings")),
        }
    }

    fn add_objects(&mut self, name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        match (name.cast::<PyBytes>(), value.cast::<PyBytes>()) {
            (Ok(name), Ok(value)) => self.add(name.as_bytes(), value.as_bytes()),
            _ => {
                let shown = format!("header names and values are byte strings, not {name:?}: {value:?}");
                Err(PyTypeError::new_err(shown))
            }
        }
    }

    /// Adds a header, or says why it cannot be sent (RFC 9110 §5.5: no CR, LF or NUL).
    pub(crate) fn add(&mut self, name: &[u8], value: &[u8]) -> PyResult<()> {
        let bad = |what: &str| {
            let shown = String::from_utf8_lossy(name).into_owned();
            PyValueError::new_err(format!("the response header {shown:?} has {what}"))
        };
        let header = HeaderName::from_bytes(name).map_err(|_| bad("characters that a name cannot have"))?;
        let value = HeaderValue::from_bytes(value.trim_ascii())
            .map_err(|_| bad("a value with CR, LF or another control character"))?;
        if header == CONTENT_LENGTH {
            let length = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let length =
                length.and_then(|text| text.parse().ok()).ok_or_else(|| bad("a value that is no length"))?;
            if self.length.is_some_and(|other| other != length) {
                return Err(bad("two different values"));
            }
            self.length = Some(length);
            self.headers.insert(header, value);
        } else if header != TRANSFER_ENCODING {
            // How the body is framed is the server's business; hyper decides it anew.
            self.headers.append(header, value);
        }
        Ok(())
    }

    /// Whether an answer to `method` with this status has no body whatever its length says (RFC 9110 §6.4.1).
    pub(crate) fn is_bodiless(&self, head_request: bool) -> bool {
        head_request || self.status == StatusCode::NO_CONTENT || self.status == StatusCode::NOT_MODIFIED
    }
}
