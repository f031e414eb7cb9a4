//! The scope dictionary of a request: a copy of the connection's, with what is new replaced.

use super::shared::Shared;
use crate::{
    capi::bytes_pair,
    request::{LastHeaders, RequestDeadline, RequestMeta, unquoted},
};
use hostler_http::{PeerAddress, Scheme};
use hyper::{HeaderMap, Request};
use pyo3::{
    IntoPyObjectExt,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyString, PyTuple},
};

/// What the scopes of a connection have in common.
pub(super) struct ScopeTemplate {
    /// All keys of an HTTP scope; those of the request are set in a copy. An error if Python had no memory.
    template: PyResult<Py<PyDict>>,
    scheme: Scheme,
    headers: LastHeaders<Py<PyTuple>>,
}

impl ScopeTemplate {
    pub(super) fn new(py: Python<'_>, shared: &Shared, meta: &RequestMeta) -> Self {
        let template = template(py, shared, meta).map(Bound::unbind);
        Self { template, scheme: meta.scheme, headers: LastHeaders::default() }
    }

    /// The scope of a WebSocket (ASGI WebSocket connection scope).
    pub(super) fn websocket<'py, B>(
        &self,
        py: Python<'py>,
        shared: &Shared,
        request: &Request<B>,
        subprotocols: &[String],
    ) -> PyResult<Bound<'py, PyDict>> {
        let scope = self.http(py, shared, request)?;
        scope.set_item("type", "websocket")?;
        scope.set_item("scheme", self.scheme.websocket())?;
        scope.del_item("method")?;
        scope.set_item("subprotocols", subprotocols)?;
        let extensions = PyDict::new(py);
        extensions.set_item("websocket.http.response", PyDict::new(py))?;
        scope.set_item("extensions", extensions)?;
        Ok(scope)
    }

    /// The scope of one request (ASGI HTTP connection scope).
    pub(super) fn http<'py, B>(
        &self,
        py: Python<'py>,
        shared: &Shared,
        request: &Request<B>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let names = &shared.names;
        let template = self.template.as_ref().map_err(|error| error.clone_ref(py))?;
        let scope = template.bind(py).copy()?;
        let uri = request.uri();
        let (path, raw_path) = path_objects(py, shared, uri.path());
        scope.set_item(&names.http_version, names.versions.of(request.version()))?;
        scope.set_item(&names.method, names.methods.of(py, request.method()))?;
        scope.set_item(&names.path, path)?;
        scope.set_item(&names.raw_path, raw_path)?;
        if let Some(query) = uri.query() {
            scope.set_item(&names.query_string, PyBytes::new(py, query.as_bytes()))?;
        }
        scope.set_item(&names.headers, self.headers(py, shared, request.headers())?)?;
        shared.capabilities.with(py, |capabilities| {
            scope.set_item(&names.asgi, &capabilities.asgi)?;
            if let Some(deadline) = RequestDeadline::of(py, request)? {
                capabilities.extensions.bind(py).set_item("hostler.deadline", deadline)?;
            }
            scope.set_item(&names.extensions, &capabilities.extensions)
        })?;
        if let Some(state) = &shared.state {
            scope.set_item(&names.state, state.bind(py).copy()?)?;
        }
        Ok(scope)
    }

    fn headers<'py>(
        &self,
        py: Python<'py>,
        shared: &Shared,
        headers: &HeaderMap,
    ) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for (index, (name, value)) in headers.iter().enumerate() {
            let kept = self.headers.at(py, index, name, value, |tuple| tuple.clone_ref(py));
            let tuple = match kept {
                Some(tuple) => tuple.into_bound(py),
                None => {
                    let name_bytes = shared.names.header_names.of(py, name);
                    let tuple = bytes_pair(py, &name_bytes, value.as_bytes())?;
                    self.headers.keep(py, index, name, value, tuple.clone().unbind());
                    tuple
                }
            };
            list.append(tuple)?;
        }
        Ok(list)
    }
}

fn template<'py>(py: Python<'py>, shared: &Shared, meta: &RequestMeta) -> PyResult<Bound<'py, PyDict>> {
    let scope = PyDict::new(py);
    scope.set_item("type", "http")?;
    scope.set_item("asgi", py.None())?;
    scope.set_item("http_version", "1.1")?;
    scope.set_item("method", "GET")?;
    scope.set_item("scheme", meta.scheme.as_str())?;
    scope.set_item("path", "/")?;
    scope.set_item("raw_path", &shared.names.empty_bytes)?;
    scope.set_item("query_string", &shared.names.empty_bytes)?;
    scope.set_item("root_path", &shared.root_path)?;
    scope.set_item("headers", py.None())?;
    scope.set_item("client", address(py, &meta.client, true)?)?;
    scope.set_item("server", address(py, &meta.server, false)?)?;
    scope.set_item("extensions", py.None())?;
    if shared.state.is_some() {
        scope.set_item("state", py.None())?;
    }
    Ok(scope)
}

fn address(py: Python<'_>, address: &PeerAddress, client: bool) -> PyResult<Py<PyAny>> {
    match address {
        PeerAddress::Tcp(address) => (address.ip().to_string(), address.port()).into_py_any(py),
        // "server" of a Unix socket is its path and None; its clients have no address.
        PeerAddress::Unix(Some(path)) if !client => (path.to_string_lossy(), py.None()).into_py_any(py),
        PeerAddress::Unix(_) => Ok(py.None()),
    }
}

/// `path` (percent-decoded text) and `raw_path` (the bytes as sent).
fn path_objects<'py>(
    py: Python<'py>,
    shared: &Shared,
    raw: &str,
) -> (Bound<'py, PyString>, Bound<'py, PyBytes>) {
    let bytes = PyBytes::new(py, raw.as_bytes());
    let path = match raw {
        "/" => shared.names.slash.bind(py).clone(),
        _ => unquoted(py, raw),
    };
    (path, bytes)
}
