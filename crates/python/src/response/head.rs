//! The status and headers of a response, checked before they reach hyper.

use super::{Length, WrongLength};
use hyper::{
    HeaderMap, StatusCode,
    ext::ReasonPhrase,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
    },
};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyList, PyString, PyTuple},
};

/// More headers than this are a mistake. hyper's map has room for 24,576 and panics beyond.
pub(crate) const MAX_HEADERS: usize = 16 * 1024;

/// The head of a response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The application's own words for the status, unless they are the usual ones (WSGI).
    pub(crate) reason: Option<Box<ReasonPhrase>>,
    /// What the application announced as Content-Length.
    pub(crate) length: Option<u64>,
    /// It is sent alone, in place of a file.
    pub(crate) in_place_of_file: bool,
}

impl Head {
    /// An empty head; `None` if the status is not that of a final response.
    pub(crate) fn of(code: u16) -> Option<Self> {
        let status = StatusCode::from_u16(code).ok().filter(|status| !status.is_informational())?;
        Some(Self { status, ..Self::default() })
    }

    /// A head with headers as pairs of strings (RSGI).
    pub(crate) fn of_strings(code: u16, headers: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut head = Self::of(code)
            .ok_or_else(|| PyValueError::new_err(format!("{code} is not the status of a final response")))?;
        head.add_strings(headers)?;
        Ok(head)
    }

    /// Adds pairs of strings (RSGI).
    fn add_strings(&mut self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let Ok(list) = headers.cast_exact::<PyList>() else {
            return headers.try_iter()?.try_for_each(|pair| self.add_string_pair(&pair?));
        };
        self.reserve(list.len());
        list.iter().try_for_each(|pair| self.add_string_pair(&pair))
    }

    fn add_string_pair(&mut self, pair: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(tuple) = pair.cast_exact::<PyTuple>()
            && tuple.len() == 2
            && let (name, value) = (tuple.get_item(0)?, tuple.get_item(1)?)
            && let (Ok(name), Ok(value)) = (name.cast::<PyString>(), value.cast::<PyString>())
        {
            return self.add_text(name.to_str()?, value.to_str()?);
        }
        let (name, value) = pair
            .extract::<(Bound<'_, PyString>, Bound<'_, PyString>)>()
            .map_err(|_| PyTypeError::new_err(format!("a header is a pair of strings, not {pair:?}")))?;
        self.add_text(name.to_str()?, value.to_str()?)
    }
}

impl Head {
    /// Makes room for so many headers, and those that hyper adds.
    pub(crate) fn reserve(&mut self, count: usize) {
        self.headers.reserve(count.min(MAX_HEADERS) + 2);
    }

    /// Adds pairs of byte strings (ASGI).
    pub(crate) fn add_all(&mut self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        match headers.cast_exact::<PyList>() {
            Ok(list) => {
                self.reserve(list.len());
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
        if self.headers.len() >= MAX_HEADERS {
            return Err(too_many_headers());
        }
        let header = header_name(name).ok_or_else(|| bad("characters that a name cannot have"))?;
        let value = trim(value);
        if header == CONTENT_LENGTH {
            let length = parse_length(value).ok_or_else(|| bad("a value that is no length"))?;
            if self.length.is_some_and(|other| other != length) {
                return Err(bad("two different values"));
            }
            self.set_length(length);
            return Ok(());
        }
        let value = HeaderValue::from_bytes(value)
            .map_err(|_| bad("a value with CR, LF or another control character"))?;
        if !is_hop_by_hop(&header) || self.may_send(&header, &value) {
            self.headers.append(header, value);
        }
        Ok(())
    }

    /// What of the server's own headers an application may decide: that the connection ends, and in a 426, which protocol
    /// it asks for (RFC 9110 §15.5.22).
    #[cold]
    fn may_send(&self, name: &HeaderName, value: &HeaderValue) -> bool {
        let asks_to_upgrade = self.status == StatusCode::UPGRADE_REQUIRED;
        let may_send = match *name {
            CONNECTION => asks_to_upgrade || value.as_bytes().eq_ignore_ascii_case(b"close"),
            UPGRADE => asks_to_upgrade,
            _ => false,
        };
        if !may_send {
            tracing::debug!(
                header = name.as_str(),
                "response header dropped: hop-by-hop headers are the server's"
            );
        }
        may_send
    }

    /// Announces the length of the body that GET would get; a 204 has none (RFC 9110 §8.6).
    pub(crate) fn set_length(&mut self, length: u64) {
        self.length = Some(length);
        if self.status != StatusCode::NO_CONTENT {
            self.headers.insert(CONTENT_LENGTH, length.into());
        }
    }

    /// Adds a header whose value is "bytes in a string": each character is a byte (PEP 3333 §Unicode Issues).
    pub(crate) fn add_text(&mut self, name: &str, value: &str) -> PyResult<()> {
        if value.is_ascii() {
            return self.add(name.as_bytes(), value.as_bytes());
        }
        let bytes: Option<Vec<u8>> = value.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
        let bytes = bytes.ok_or_else(|| {
            PyValueError::new_err(format!("the response header {name:?} has characters beyond Latin-1"))
        })?;
        self.add(name.as_bytes(), &bytes)
    }

    /// The length of the body that this head announces, to be counted; one without a body has any.
    pub(crate) fn body_length(&self, bodiless: bool) -> Length {
        Length::new(self.length.filter(|_| !bodiless))
    }

    /// Checks the length of a whole body against what was announced.
    pub(crate) fn check_length(&self, size: u64, bodiless: bool) -> Result<(), WrongLength> {
        self.body_length(bodiless).check_whole(size)
    }

    /// Whether the response is known to have no end: a stream of events (HTML, "Server-sent events").
    pub(crate) fn is_endless(&self) -> bool {
        const EVENTS: &[u8] = b"text/event-stream";
        let kind = self.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        self.length.is_none()
            && kind
                .and_then(|kind| kind.get(..EVENTS.len()))
                .is_some_and(|kind| kind.eq_ignore_ascii_case(EVENTS))
    }

    /// Whether a response with this status has no body whatever its length says (RFC 9110 §6.4.1).
    pub(crate) fn is_bodiless(&self, head_request: bool) -> bool {
        head_request || self.status == StatusCode::NO_CONTENT || self.status == StatusCode::NOT_MODIFIED
    }
}

/// A header's name. The two that nearly all responses have are told at once, as frameworks write them.
#[inline]
fn header_name(name: &[u8]) -> Option<HeaderName> {
    match name {
        b"content-type" | b"Content-Type" => Some(CONTENT_TYPE),
        b"content-length" | b"Content-Length" => Some(CONTENT_LENGTH),
        _ => HeaderName::from_bytes(name).ok(),
    }
}

/// A value without the white space around it, which is not part of it (RFC 9110 §5.5): spaces and tabs, no ends of lines.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The value of Content-Length: digits alone (RFC 9110 §8.6).
fn parse_length(value: &[u8]) -> Option<u64> {
    let digit = |byte: u8| Some(u64::from(byte.wrapping_sub(b'0'))).filter(|digit| *digit < 10);
    let add = |length: u64, byte: &u8| length.checked_mul(10)?.checked_add(digit(*byte)?);
    if value.is_empty() { None } else { value.iter().try_fold(0, add) }
}

/// Whether a header is about the connection, and so the server's business, as how a body is framed
/// (RFC 9110 §7.6.1, RFC 9112 §6.1).
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(*name, TRANSFER_ENCODING | CONNECTION | UPGRADE | TE)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// The error for more than [`MAX_HEADERS`].
pub(crate) fn too_many_headers() -> PyErr {
    PyValueError::new_err(format!("a response has {MAX_HEADERS} headers at most"))
}
