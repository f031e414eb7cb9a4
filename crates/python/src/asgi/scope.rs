//! The scope dictionary of a request: a copy of the connection's, with what is new replaced.

use super::{Shared, cycle::Cycle};
use crate::{
    calls::bytes_pair, deadline::RequestDeadline, eventloop::spawn_local, gil::GilCell, response::HEAD_LIMIT,
};
use hostler_http::{ConnectionInfo, Link, PeerAddress};
use hyper::{
    HeaderMap, Request,
    header::{HeaderName, HeaderValue},
};
use pyo3::{
    IntoPyObjectExt,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyString, PyTuple},
};
use tokio::time::sleep;

/// What a connection's requests have in common.
pub(crate) struct ConnectionScope {
    /// All keys of an HTTP scope; those of the request are set in a copy. `None` if Python had no memory.
    template: PyResult<Py<PyDict>>,
    /// The headers of the last request. Clients repeat them, so their tuples are used again.
    headers: GilCell<Vec<(HeaderName, HeaderValue, Py<PyTuple>)>>,
    /// The request whose application is suspended.
    current: GilCell<Option<Py<Cycle>>>,
    /// Earlier ones whose applications answer HEAD without an end.
    endless: GilCell<Vec<Py<Cycle>>>,
    link: Link,
}

impl ConnectionScope {
    pub(super) fn new(py: Python<'_>, shared: &Shared, info: &ConnectionInfo, link: Link) -> Self {
        let template = template(py, shared, info).map(Bound::unbind);
        let (headers, current, endless) = (GilCell::default(), GilCell::default(), GilCell::default());
        Self { template, headers, current, endless, link }
    }

    /// What can be done with the connection beside answering.
    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// The scope of a WebSocket (ASGI WebSocket connection scope).
    pub(super) fn of_websocket<'py, B>(
        &self,
        py: Python<'py>,
        shared: &Shared,
        request: &Request<B>,
        subprotocols: &[String],
    ) -> PyResult<Bound<'py, PyDict>> {
        let scope = self.of(py, shared, request)?;
        scope.set_item("type", "websocket")?;
        scope.set_item("scheme", "ws")?;
        scope.del_item("method")?;
        scope.set_item("subprotocols", subprotocols)?;
        let extensions = PyDict::new(py);
        extensions.set_item("websocket.http.response", PyDict::new(py))?;
        scope.set_item("extensions", extensions)?;
        Ok(scope)
    }

    /// The request whose application is suspended, if one is.
    pub(super) fn current(&self, py: Python<'_>) -> Option<Py<Cycle>> {
        self.current.with(py, |current| current.as_ref().map(|cycle| cycle.clone_ref(py)))
    }

    /// Names the request whose application is suspended.
    pub(super) fn set_current(&self, py: Python<'_>, cycle: Option<Py<Cycle>>) {
        let before = self.current.with(py, |current| std::mem::replace(current, cycle));
        if let Some(before) = before
            && before.get().outlives_answer(py)
        {
            let mut endless = self.endless.with(py, std::mem::take);
            endless.retain(|cycle| cycle.get().outlives_answer(py));
            endless.push(before);
            self.endless.with(py, |kept| *kept = endless);
        }
    }

    /// The scope of one request (ASGI HTTP connection scope).
    pub(super) fn of<'py, B>(
        &self,
        py: Python<'py>,
        shared: &Shared,
        request: &Request<B>,
    ) -> PyResult<Bound<'py, PyDict>> {
        self.set_current(py, None);
        let names = &shared.names;
        let template = self.template.as_ref().map_err(|error| error.clone_ref(py))?;
        let scope = template.bind(py).copy()?;
        let uri = request.uri();
        let (path, raw_path) = path_objects(py, shared, uri.path());
        scope.set_item(&names.http_version, names.version(request.version()))?;
        scope.set_item(&names.method, names.method(py, request.method()))?;
        scope.set_item(&names.path, path)?;
        scope.set_item(&names.raw_path, raw_path)?;
        if let Some(query) = uri.query() {
            scope.set_item(&names.query_string, PyBytes::new(py, query.as_bytes()))?;
        }
        scope.set_item(&names.headers, self.headers(py, shared, request.headers())?)?;
        shared.abilities.with(py, |abilities| {
            scope.set_item(&names.asgi, &abilities.asgi)?;
            if let Some(deadline) = RequestDeadline::of(py, request)? {
                abilities.extensions.bind(py).set_item("hostler.deadline", deadline)?;
            }
            scope.set_item(&names.extensions, &abilities.extensions)
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
        let mut replaced = Vec::new();
        for (index, (name, value)) in headers.iter().enumerate() {
            let kept = self.headers.with(py, |last| {
                let (last_name, last_value, tuple) = last.get(index)?;
                (last_name == name && last_value == value).then(|| tuple.clone_ref(py))
            });
            let tuple = match kept {
                Some(tuple) => tuple.into_bound(py),
                None => {
                    let tuple = bytes_pair(py, &shared.names.header(py, name), value.as_bytes())?;
                    replaced.extend(self.keep(py, index, name, value, &tuple));
                    tuple
                }
            };
            list.append(tuple)?;
        }
        drop(replaced);
        Ok(list)
    }

    /// Remembers a header for the next request; returns what stood in its place, to be dropped by the caller.
    fn keep(
        &self,
        py: Python<'_>,
        index: usize,
        name: &HeaderName,
        value: &HeaderValue,
        tuple: &Bound<'_, PyTuple>,
    ) -> Option<Py<PyTuple>> {
        // A header's value shares hyper's read buffer; a copy keeps that from living on with it.
        let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        let new = (name.clone(), value, tuple.clone().unbind());
        self.headers.with(py, |last| match last.get_mut(index) {
            Some(slot) => Some(std::mem::replace(slot, new).2),
            None => {
                last.push(new);
                None
            }
        })
    }
}

impl Drop for ConnectionScope {
    fn drop(&mut self) {
        let cycles: Vec<Py<Cycle>> = Python::attach(|py| {
            let mut cycles = self.endless.with(py, std::mem::take);
            cycles.extend(self.current.with(py, Option::take));
            cycles.retain(|cycle| cycle.get().outlives_answer(py));
            cycles
        });
        if !cycles.is_empty() {
            spawn_local(async move {
                sleep(HEAD_LIMIT).await;
                Python::attach(|py| cycles.iter().for_each(|cycle| cycle.get().connection_ended(py)));
            });
        }
    }
}

fn template<'py>(py: Python<'py>, shared: &Shared, info: &ConnectionInfo) -> PyResult<Bound<'py, PyDict>> {
    let scope = PyDict::new(py);
    scope.set_item("type", "http")?;
    scope.set_item("asgi", py.None())?;
    scope.set_item("http_version", "1.1")?;
    scope.set_item("method", "GET")?;
    scope.set_item("scheme", "http")?;
    scope.set_item("path", "/")?;
    scope.set_item("raw_path", &shared.names.empty_bytes)?;
    scope.set_item("query_string", &shared.names.empty_bytes)?;
    scope.set_item("root_path", &shared.root_path)?;
    scope.set_item("headers", py.None())?;
    scope.set_item("client", address(py, &info.peer, true)?)?;
    scope.set_item("server", address(py, &info.local, false)?)?;
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
        _ if !raw.contains('%') => PyString::new(py, raw),
        _ => PyString::new(py, &percent_encoding::percent_decode_str(raw).decode_utf8_lossy()),
    };
    (path, bytes)
}
