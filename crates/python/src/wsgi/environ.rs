//! The environ dictionary of a request (PEP 3333 §environ Variables).

use super::{Shared, queued::Queued};
use crate::deadline::RequestDeadline;
use crate::gil::GilCell;
use crate::response::Head;
use hostler_http::{ConnectionInfo, Interim, PeerAddress};
use hyper::{
    HeaderMap, Method, Request, Version,
    header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue, LINK},
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyString},
};
use std::collections::HashMap;

/// The most header names that are kept as Python strings.
const KEPT_NAMES: usize = 256;

/// Strings that every request needs, made once.
pub(super) struct Names {
    method: Py<PyString>,
    path: Py<PyString>,
    query: Py<PyString>,
    protocol: Py<PyString>,
    input: Py<PyString>,
    get: Py<PyString>,
    http_10: Py<PyString>,
    http_11: Py<PyString>,
    empty: Py<PyString>,
    /// `HTTP_ACCEPT` for `accept`, and so on.
    headers: GilCell<HashMap<HeaderName, Py<PyString>>>,
}

impl Names {
    pub(super) fn new(py: Python<'_>) -> PyResult<Self> {
        let intern = |text| PyString::intern(py, text).unbind();
        Ok(Self {
            method: intern("REQUEST_METHOD"),
            path: intern("PATH_INFO"),
            query: intern("QUERY_STRING"),
            protocol: intern("SERVER_PROTOCOL"),
            input: intern("wsgi.input"),
            get: intern("GET"),
            http_10: intern("HTTP/1.0"),
            http_11: intern("HTTP/1.1"),
            empty: intern(""),
            headers: GilCell::new(HashMap::new()),
        })
    }

    /// The key of a header.
    fn header<'py>(&self, py: Python<'py>, name: &HeaderName) -> Bound<'py, PyString> {
        let known = self.headers.with(py, |known| known.get(name).map(|key| key.clone_ref(py)));
        if let Some(key) = known {
            return key.into_bound(py);
        }
        let upper = name.as_str().to_ascii_uppercase().replace('-', "_");
        let key = match *name {
            CONTENT_TYPE | CONTENT_LENGTH => PyString::new(py, &upper),
            _ => PyString::new(py, &format!("HTTP_{upper}")),
        };
        self.headers.with(py, |known| {
            if known.len() < KEPT_NAMES {
                known.insert(name.clone(), key.clone().unbind());
            }
        });
        key
    }
}

/// What a connection's requests have in common.
pub(crate) struct ConnectionEnviron {
    template: PyResult<Py<PyDict>>,
    headers: GilCell<Vec<Kept>>,
    /// Where `write()` sends to, in place.
    pub(super) interim: Interim,
    /// Its request that may wait for a thread.
    pub(super) queued: Queued,
}

impl ConnectionEnviron {
    pub(super) fn new(py: Python<'_>, shared: &Shared, info: &ConnectionInfo, interim: Interim) -> Self {
        let template = template(py, shared, info, interim.clone()).map(Bound::unbind);
        Self { template, headers: GilCell::default(), interim, queued: Queued::default() }
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
        let method = match *request.method() {
            Method::GET => names.get.bind(py).clone(),
            ref other => PyString::new(py, other.as_str()),
        };
        environ.set_item(&names.method, method)?;
        environ.set_item(&names.path, path_info(py, uri.path(), &shared.root_path))?;
        let query = match uri.query() {
            Some(query) => latin1(py, query.as_bytes()),
            None => names.empty.bind(py).clone(),
        };
        environ.set_item(&names.query, query)?;
        let old = request.version() == Version::HTTP_10;
        environ.set_item(&names.protocol, if old { &names.http_10 } else { &names.http_11 })?;
        if old {
            environ.del_item("wsgi.early_hints")?;
        }
        environ.set_item(&names.input, input)?;
        if let Some(deadline) = RequestDeadline::of(py, request)? {
            environ.set_item("hostler.deadline", deadline)?;
        }
        self.add_headers(py, names, &environ, request.headers())?;
        Ok(environ)
    }
}

/// A header as the last request of the connection had it, and what it is in an environ.
struct Kept {
    name: HeaderName,
    value: HeaderValue,
    key: Py<PyString>,
    text: Py<PyString>,
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
            // `a_b` and `a-b` would be the same key, and a proxy that sets the one lets the other pass.
            if name.as_str().contains('_') {
                tracing::debug!(
                    header = name.as_str(),
                    "dropped: an underscore in its name makes it ambiguous"
                );
                continue;
            }
            if rest.peek().is_none_or(|(_, (next, _))| *next != name) {
                let (key, text) = self.single(py, names, index, name, value);
                environ.set_item(key, text)?;
                continue;
            }
            let mut all = vec![value.as_bytes()];
            while let Some((_, (_, more))) = rest.next_if(|(_, (next, _))| *next == name) {
                all.push(more.as_bytes());
            }
            // RFC 9110 §5.3, and RFC 6265 §5.4 for cookies.
            let separator: &[u8] = if *name == COOKIE { b"; " } else { b", " };
            environ.set_item(names.header(py, name), latin1(py, &all.join(separator)))?;
        }
        Ok(())
    }

    /// Key and value of a header that comes once. Clients repeat them, so the strings are used again.
    fn single<'py>(
        &self,
        py: Python<'py>,
        names: &Names,
        index: usize,
        name: &HeaderName,
        value: &HeaderValue,
    ) -> (Bound<'py, PyString>, Bound<'py, PyString>) {
        let known = self.headers.with(py, |last| {
            let kept = last.get(index).filter(|kept| kept.name == *name && kept.value == *value)?;
            Some((kept.key.clone_ref(py), kept.text.clone_ref(py)))
        });
        if let Some((key, text)) = known {
            return (key.into_bound(py), text.into_bound(py));
        }
        let (key, text) = (names.header(py, name), latin1(py, value.as_bytes()));
        // A header's value shares hyper's read buffer; a copy keeps that from living on with it.
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            let (key, text) = (key.clone().unbind(), text.clone().unbind());
            let kept = Kept { name: name.clone(), value, key, text };
            let before = self.headers.with(py, |last| {
                if index < last.len() {
                    return Some(std::mem::replace(&mut last[index], kept));
                }
                // Behind a gap, which headers of several values leave, it is not worth keeping.
                if index > last.len() {
                    return Some(kept);
                }
                last.push(kept);
                None
            });
            drop(before);
        }
        (key, text)
    }
}

fn template<'py>(
    py: Python<'py>,
    shared: &Shared,
    info: &ConnectionInfo,
    interim: Interim,
) -> PyResult<Bound<'py, PyDict>> {
    let environ = PyDict::new(py);
    environ.set_item("REQUEST_METHOD", "GET")?;
    environ.set_item("SCRIPT_NAME", &shared.root_path)?;
    environ.set_item("PATH_INFO", "/")?;
    environ.set_item("QUERY_STRING", "")?;
    let (name, port) = match &info.local {
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
    if let PeerAddress::Tcp(peer) = &info.peer {
        environ.set_item("REMOTE_ADDR", peer.ip().to_string())?;
        environ.set_item("REMOTE_PORT", peer.port().to_string())?;
    } else {
        environ.set_item("REMOTE_ADDR", "")?;
    }
    environ.set_item("wsgi.version", (1, 0))?;
    environ.set_item("wsgi.url_scheme", "http")?;
    environ.set_item("wsgi.input", py.None())?;
    environ.set_item("wsgi.errors", py.import("sys")?.getattr("stderr")?)?;
    environ.set_item("wsgi.multithread", shared.pool.is_some())?;
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
    let inside = path.strip_prefix(root_path).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let path = inside.unwrap_or(path);
    if path.is_ascii() && !path.contains('%') {
        return PyString::new(py, path);
    }
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
    latin1(py, &decoded)
}

fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => PyString::new(py, text),
        _ => PyString::new(py, &bytes.iter().map(|byte| char::from(*byte)).collect::<String>()),
    }
}
