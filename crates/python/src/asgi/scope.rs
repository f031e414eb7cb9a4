//! The scope dictionary of a request: a copy of the connection's, with what is new replaced.

use super::shared::Shared;
use crate::{
    capi::bytes_pair,
    request::{LastHeaders, RequestDeadline, RequestMeta, decoded, forwarded, inside, quoted, tls, unquoted},
};
use hostler_http::{Forwarded, PeerAddress, Scheme};
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
    /// The extension `tls`; `None` without TLS.
    tls: Option<Py<PyDict>>,
    headers: LastHeaders<Py<PyTuple>>,
}

impl ScopeTemplate {
    pub(super) fn new(py: Python<'_>, shared: &Shared, meta: &RequestMeta) -> Self {
        let mut template = template(py, shared, meta).map(Bound::unbind);
        let tls = match meta.tls.as_ref().map(|tls| tls::extension(py, tls)).transpose() {
            Ok(tls) => tls.map(Bound::unbind),
            Err(error) => {
                template = Err(error);
                None
            }
        };
        Self { template, scheme: meta.scheme, tls, headers: LastHeaders::default() }
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
        let scheme = forwarded(request).and_then(|forwarded| forwarded.scheme).unwrap_or(self.scheme);
        scope.set_item("scheme", scheme.websocket())?;
        scope.del_item("method")?;
        scope.set_item("subprotocols", subprotocols)?;
        let extensions = PyDict::new(py);
        extensions.set_item("websocket.http.response", PyDict::new(py))?;
        self.add_tls(py, &extensions)?;
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
        let told_root = forwarded(request).and_then(|forwarded| forwarded.root_path.as_deref());
        let root_path = told_root.unwrap_or(&shared.root_path);
        let (path, raw_path) = path_objects(py, shared, uri.path(), root_path);
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
            self.add_tls(py, capabilities.extensions.bind(py))?;
            scope.set_item(&names.extensions, &capabilities.extensions)
        })?;
        if let Some(state) = &shared.state {
            scope.set_item(&names.state, state.bind(py).copy()?)?;
        }
        if let Some(forwarded) = forwarded(request) {
            forward(&scope, forwarded)?;
        }
        Ok(scope)
    }

    /// Adds the extension `tls`, which is the request's own.
    fn add_tls(&self, py: Python<'_>, extensions: &Bound<'_, PyDict>) -> PyResult<()> {
        match &self.tls {
            Some(tls) => extensions.set_item("tls", tls.bind(py).copy()?),
            None => Ok(()),
        }
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

/// Sets what a trusted proxy said of the request.
#[cold]
fn forward(scope: &Bound<'_, PyDict>, forwarded: &Forwarded) -> PyResult<()> {
    if let Some(client) = forwarded.client {
        scope.set_item("client", (client.ip().to_string(), client.port()))?;
    }
    if let Some(scheme) = forwarded.scheme {
        scope.set_item("scheme", scheme.as_str())?;
    }
    if let Some((host, port)) = &forwarded.server {
        scope.set_item("server", (host, port))?;
    }
    if let Some(root_path) = &forwarded.root_path {
        scope.set_item("root_path", root_path)?;
    }
    Ok(())
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

/// `path` (percent-decoded text) and `raw_path` (the bytes as sent). Both begin with the path that the application is
/// mounted on, whether or not the proxy in front removes it.
fn path_objects<'py>(
    py: Python<'py>,
    shared: &Shared,
    raw: &str,
    root_path: &str,
) -> (Bound<'py, PyString>, Bound<'py, PyBytes>) {
    if !root_path.is_empty() && inside(raw, root_path).is_none() {
        let (path, raw_path) = ([root_path, &decoded(raw)].concat(), [&quoted(root_path), raw].concat());
        return (PyString::new(py, &path), PyBytes::new(py, raw_path.as_bytes()));
    }
    let bytes = PyBytes::new(py, raw.as_bytes());
    let path = match raw {
        "/" => shared.names.slash.bind(py).clone(),
        _ => unquoted(py, raw),
    };
    (path, bytes)
}
