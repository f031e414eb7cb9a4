//! The environ dictionary of a request (PEP 3333 §environ Variables).

use super::{names::Names, queued::Queued, shared::Shared};
use crate::{
    request::{LastHeaders, RequestDeadline, RequestMeta, forwarded, inside, latin1, tls},
    response::Head,
};
use hostler_eventloop::GilCell;
use hostler_http::{BackgroundTasks, Began, ConnectionInfo, Forwarded, Interim, Link, PeerAddress};
use hyper::{
    HeaderMap, Request, Version,
    header::{COOKIE, HeaderName, HeaderValue, LINK},
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyString},
};

/// What a connection's requests have in common.
pub(crate) struct ConnectionEnviron {
    template: PyResult<Py<PyDict>>,
    /// Keys and values.
    headers: LastHeaders<(Py<PyString>, Py<PyString>)>,
    /// Where `write()` sends, in place.
    pub(super) interim: Interim,
    /// Its request that may be in the queue.
    pub(super) queued: Queued,
    background: BackgroundTasks,
}

impl ConnectionEnviron {
    pub(super) fn new(py: Python<'_>, shared: &Shared, info: ConnectionInfo, link: Link) -> Self {
        let Link { interim, background, .. } = link;
        let template = template(py, shared, &RequestMeta::of(info), interim.clone()).map(Bound::unbind);
        Self { template, headers: LastHeaders::default(), interim, queued: Queued::default(), background }
    }

    /// The request that the application is called for.
    pub(super) fn current(&self) -> Began {
        self.background.current()
    }

    /// The environ of one request.
    pub(super) fn of<'py, B>(
        &self,
        py: Python<'py>,
        shared: &Shared,
        request: &Request<B>,
        input: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let names = &shared.names;
        let template = self.template.as_ref().map_err(|error| error.clone_ref(py))?;
        let environ = template.bind(py).copy()?;
        let uri = request.uri();
        environ.set_item(&names.method, names.methods.of(py, request.method()))?;
        let forwarded = forwarded(request);
        let told_root = forwarded.and_then(|forwarded| forwarded.root_path.as_deref());
        environ.set_item(&names.path, path_info(py, uri.path(), told_root.unwrap_or(&shared.root_path)))?;
        let query = match uri.query() {
            Some(query) => latin1(py, query.as_bytes()),
            None => names.empty.bind(py).clone(),
        };
        environ.set_item(&names.query, query)?;
        environ.set_item(&names.protocol, names.versions.of(request.version()))?;
        if request.version() == Version::HTTP_10 {
            environ.del_item("wsgi.early_hints")?;
        }
        environ.set_item(&names.input, input)?;
        if let Some(deadline) = RequestDeadline::of(py, request)? {
            environ.set_item("hostler.deadline", deadline)?;
        }
        self.add_headers(py, names, &environ, request.headers())?;
        if let Some(forwarded) = forwarded {
            forward(&environ, forwarded)?;
        }
        Ok(environ)
    }
}

impl ConnectionEnviron {
    fn add_headers(
        &self,
        py: Python<'_>,
        names: &Names,
        environ: &Bound<'_, PyDict>,
        headers: &HeaderMap,
    ) -> PyResult<()> {
        // One pass: values of the same name follow one another.
        let mut rest = headers.iter().enumerate().peekable();
        while let Some((index, (name, value))) = rest.next() {
            if rest.peek().is_none_or(|(_, (next, _))| *next != name) {
                let (key, text) = self.single(py, names, index, name, value);
                // Passed on by --header-map dangerous, or --forwarder-headers: `a_b` and `a-b` are one key.
                let before = if name.as_str().contains('_') { environ.get_item(&key)? } else { None };
                match before {
                    Some(before) => environ.set_item(key, before.add(",")?.add(text)?)?,
                    None => environ.set_item(key, text)?,
                }
                continue;
            }
            let mut all = vec![value.as_bytes()];
            while let Some((_, (_, more))) = rest.next_if(|(_, (next, _))| *next == name) {
                all.push(more.as_bytes());
            }
            // RFC 9110 §5.3, and RFC 6265 §5.4 for cookies.
            let separator: &[u8] = if *name == COOKIE { b"; " } else { b", " };
            environ.set_item(names.header_names.of(py, name), latin1(py, &all.join(separator)))?;
        }
        Ok(())
    }

    /// Key and value of a header that comes once; the strings are reused while clients repeat it.
    fn single<'py>(
        &self,
        py: Python<'py>,
        names: &Names,
        index: usize,
        name: &HeaderName,
        value: &HeaderValue,
    ) -> (Bound<'py, PyString>, Bound<'py, PyString>) {
        let kept =
            self.headers.at(py, index, name, value, |(key, text)| (key.clone_ref(py), text.clone_ref(py)));
        if let Some((key, text)) = kept {
            return (key.into_bound(py), text.into_bound(py));
        }
        let (key, text) = (names.header_names.of(py, name), latin1(py, value.as_bytes()));
        self.headers.keep(py, index, name, value, (key.clone().unbind(), text.clone().unbind()));
        (key, text)
    }
}

fn template<'py>(
    py: Python<'py>,
    shared: &Shared,
    meta: &RequestMeta,
    interim: Interim,
) -> PyResult<Bound<'py, PyDict>> {
    let environ = PyDict::new(py);
    environ.set_item("REQUEST_METHOD", "GET")?;
    environ.set_item("SCRIPT_NAME", latin1(py, shared.root_path.as_bytes()))?;
    environ.set_item("PATH_INFO", "/")?;
    environ.set_item("QUERY_STRING", "")?;
    let (name, port) = match &meta.server {
        PeerAddress::Tcp(address) => (address.ip().to_string(), address.port().to_string()),
        PeerAddress::Unix(path) => {
            let path = path.as_ref().map_or_else(String::new, |path| path.to_string_lossy().into_owned());
            (path, String::new())
        }
    };
    environ.set_item("SERVER_NAME", name)?;
    environ.set_item("SERVER_PORT", port)?;
    environ.set_item("SERVER_PROTOCOL", "HTTP/1.1")?;
    environ.set_item("SERVER_SOFTWARE", concat!("hostler/", env!("CARGO_PKG_VERSION")))?;
    if let PeerAddress::Tcp(peer) = &meta.client {
        environ.set_item("REMOTE_ADDR", peer.ip().to_string())?;
        environ.set_item("REMOTE_PORT", peer.port().to_string())?;
    } else {
        environ.set_item("REMOTE_ADDR", "")?;
    }
    environ.set_item("wsgi.version", (1, 0))?;
    environ.set_item("wsgi.url_scheme", meta.scheme.as_str())?;
    if let Some(tls) = &meta.tls {
        tls::variables(&environ, tls)?;
    }
    environ.set_item("wsgi.input", py.None())?;
    environ.set_item("wsgi.errors", py.import("sys")?.getattr("stderr")?)?;
    environ.set_item("wsgi.multithread", shared.has_pool())?;
    environ.set_item("wsgi.multiprocess", true)?;
    environ.set_item("wsgi.run_once", false)?;
    environ.set_item("wsgi.input_terminated", true)?;
    environ.set_item("wsgi.file_wrapper", py.import("hostler._wsgi")?.getattr("FileWrapper")?)?;
    environ.set_item("wsgi.early_hints", Bound::new(py, EarlyHints(GilCell::new(interim)))?)?;
    Ok(environ)
}

/// `environ["wsgi.early_hints"]`, as Gunicorn has it: called with pairs of header names and values before the
/// response, it sends those that are links in a 103.
#[pyclass(frozen, module = "hostler")]
struct EarlyHints(GilCell<Interim>);

#[pymethods]
impl EarlyHints {
    fn __call__(&self, py: Python<'_>, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut head = Head::default();
        for pair in headers.try_iter()? {
            let (name, value) = pair?.extract::<(Bound<'_, PyString>, Bound<'_, PyString>)>()?;
            head.add_text(name.to_str()?, value.to_str()?)?;
        }
        let links: Vec<_> = head.headers.get_all(LINK).iter().cloned().collect();
        if !links.is_empty() {
            let interim = self.0.with(py, |interim| interim.clone());
            interim.early_hints(&links);
        }
        Ok(())
    }
}

/// The decoded path without the prefix that SCRIPT_NAME holds, as "bytes in a string" (PEP 3333 §Unicode).
fn path_info<'py>(py: Python<'py>, path: &str, root_path: &str) -> Bound<'py, PyString> {
    if root_path.is_empty() && path.is_ascii() && !path.contains('%') {
        return PyString::new(py, path);
    }
    let decoded = inside(path, root_path);
    latin1(py, &decoded.unwrap_or_else(|| percent_encoding::percent_decode_str(path).collect()))
}

/// Sets what a trusted proxy said of the request.
#[cold]
fn forward(environ: &Bound<'_, PyDict>, forwarded: &Forwarded) -> PyResult<()> {
    let py = environ.py();
    if let Some(client) = forwarded.client {
        environ.set_item("REMOTE_ADDR", client.ip().to_string())?;
        if client.port() > 0 {
            environ.set_item("REMOTE_PORT", client.port().to_string())?;
        } else if environ.contains("REMOTE_PORT")? {
            environ.del_item("REMOTE_PORT")?;
        }
    }
    if let Some(scheme) = forwarded.scheme {
        environ.set_item("wsgi.url_scheme", scheme.as_str())?;
    }
    if let Some((host, port)) = &forwarded.server {
        environ.set_item("SERVER_NAME", host)?;
        environ.set_item("SERVER_PORT", port.to_string())?;
    }
    if let Some(root_path) = &forwarded.root_path {
        environ.set_item("SCRIPT_NAME", latin1(py, root_path.as_bytes()))?;
    }
    Ok(())
}
