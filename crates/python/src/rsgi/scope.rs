//! The scope of a request, as attributes.

use super::connection::Connection;
use crate::{
    call::told_client,
    request::{RSGI_VERSIONS, RequestDeadline, forwarded, latin1, tls, unquoted},
};
use hostler_eventloop::GilCell;
use hostler_http::{Began, Forwarded, RequestFacts};
use hyper::{HeaderMap, Request, Version, header::HOST};
use pyo3::{
    exceptions::PyKeyError,
    prelude::*,
    types::{PyDict, PyIterator, PyList, PyString},
};
use std::rc::Rc;

/// The version of the specification.
const RSGI_VERSION: &str = "1.6";

/// `scope`: the same class for requests ("http") and WebSockets ("ws").
#[pyclass(frozen, module = "hostler.rsgi")]
pub(crate) struct Scope {
    #[pyo3(get)]
    proto: &'static str,
    head: GilCell<Request<()>>,
    headers: GilCell<Option<Py<Headers>>>,
    connection: GilCell<Rc<Connection>>,
}

impl Scope {
    pub(super) fn new(proto: &'static str, head: Request<()>, connection: Rc<Connection>) -> Self {
        Self {
            proto,
            head: GilCell::new(head),
            headers: GilCell::new(None),
            connection: GilCell::new(connection),
        }
    }

    /// For the log.
    pub(super) fn facts(&self, py: Python<'_>, began: Began) -> RequestFacts {
        let background = self.connection.with(py, |connection| connection.link.background.clone());
        let taken =
            self.headers.with(py, |slot| slot.as_ref().map(|kept| background.given_id(&kept.get().0)));
        self.head.with(py, |head| {
            let client = told_client(head.extensions()).or_else(|| background.client());
            let id = taken.unwrap_or_else(|| background.given_id(head.headers()));
            RequestFacts::of(began, (head.method(), head.uri()), client, id.as_ref())
        })
    }

    /// What a trusted proxy said of the request.
    fn forwarded<T>(&self, py: Python<'_>, told: impl Fn(&Forwarded) -> Option<T>) -> Option<T> {
        self.head.with(py, |head| forwarded(head).and_then(told))
    }
}

/// `host:port`, with brackets around an IPv6 address.
fn at_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[pymethods]
impl Scope {
    #[getter]
    fn rsgi_version(&self) -> &'static str {
        RSGI_VERSION
    }

    #[getter]
    fn http_version(&self, py: Python<'_>) -> &'static str {
        RSGI_VERSIONS.text(self.head.with(py, |head| head.version()))
    }

    #[getter]
    fn server<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        let told = self
            .forwarded(py, |forwarded| forwarded.server.as_ref().map(|(host, port)| at_port(host, *port)));
        if let Some(server) = told {
            return PyString::new(py, &server);
        }
        self.connection.with(py, |connection| PyString::new(py, &connection.server))
    }

    #[getter]
    fn client<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        if let Some(client) = self.forwarded(py, |forwarded| forwarded.client) {
            return PyString::new(py, &client.to_string());
        }
        self.connection.with(py, |connection| PyString::new(py, &connection.client))
    }

    #[getter]
    fn scheme(&self, py: Python<'_>) -> &'static str {
        let told = self.forwarded(py, |forwarded| forwarded.scheme);
        told.unwrap_or_else(|| self.connection.with(py, |connection| connection.scheme)).as_str()
    }

    /// What was agreed on in the TLS handshake: the dictionary of ASGI's `tls` extension; `None` without TLS.
    #[getter]
    fn tls<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let tls = self.connection.with(py, |connection| connection.tls.clone());
        tls.map(|tls| tls::extension(py, &tls)).transpose()
    }

    #[getter]
    fn method<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        self.head.with(py, |head| PyString::new(py, head.method().as_str()))
    }

    /// Percent-decoded.
    #[getter]
    fn path<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        self.head.with(py, |head| unquoted(py, head.uri().path()))
    }

    #[getter]
    fn query_string<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        self.head.with(py, |head| PyString::new(py, head.uri().query().unwrap_or("")))
    }

    /// A pseudo-header of HTTP/2, so never there in HTTP/1: the host that the client asked for, as a trusted proxy says.
    #[getter]
    fn authority<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        if self.head.with(py, |head| head.version() != Version::HTTP_2) {
            return None;
        }
        let host = |headers: &HeaderMap| headers.get(HOST).cloned();
        let taken = self.headers.with(py, |slot| slot.as_ref().and_then(|kept| host(&kept.get().0)));
        let host = taken.or_else(|| self.head.with(py, |head| host(head.headers())))?;
        Some(latin1(py, host.as_bytes()))
    }

    #[getter]
    fn headers(&self, py: Python<'_>) -> PyResult<Py<Headers>> {
        if let Some(headers) =
            self.headers.with(py, |headers| headers.as_ref().map(|kept| kept.clone_ref(py)))
        {
            return Ok(headers);
        }
        let map = self.head.with(py, |head| std::mem::take(head.headers_mut()));
        let headers = Py::new(py, Headers(map))?;
        self.headers.with(py, |slot| *slot = Some(headers.clone_ref(py)));
        Ok(headers)
    }

    /// With --request-timeout, the request's deadline, to be extended (hostler's own).
    #[getter]
    fn deadline<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, RequestDeadline>>> {
        let deadline = self.head.with(py, |head| head.extensions().get().cloned());
        RequestDeadline::new(py, deadline)
    }
}

/// A read-only mapping; values are decoded as Latin-1.
#[pyclass(frozen, mapping, module = "hostler.rsgi")]
pub(crate) struct Headers(HeaderMap);

#[pymethods]
impl Headers {
    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(hyper::header::HeaderName::as_str).collect()
    }

    fn values<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyString>> {
        self.0.values().map(|value| latin1(py, value.as_bytes())).collect()
    }

    fn items<'py>(&self, py: Python<'py>) -> Vec<(&str, Bound<'py, PyString>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), latin1(py, value.as_bytes()))).collect()
    }

    fn __contains__(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Bound<'py, PyString>> {
        let value = self.0.get(key).ok_or_else(|| PyKeyError::new_err(key.to_owned()))?;
        Ok(latin1(py, value.as_bytes()))
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        PyList::new(py, self.keys())?.try_iter()
    }

    fn __len__(&self) -> usize {
        self.0.keys_len()
    }

    #[pyo3(signature = (key, default = None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &str,
        default: Option<Bound<'py, PyAny>>,
    ) -> Option<Bound<'py, PyAny>> {
        self.0.get(key).map(|value| latin1(py, value.as_bytes()).into_any()).or(default)
    }

    /// All values of a header that may come several times.
    fn get_all<'py>(&self, py: Python<'py>, key: &str) -> Vec<Bound<'py, PyString>> {
        self.0.get_all(key).iter().map(|value| latin1(py, value.as_bytes())).collect()
    }
}
