//! What the log says of a request that may have its response already: what the scoreboard has forgotten is in its environ.

use hostler_http::{Began, RequestFacts};
use pyo3::{prelude::*, types::PyDict};
use std::net::SocketAddr;

/// Of the request that began then.
pub(super) fn of(environ: &Bound<'_, PyDict>, began: Began) -> RequestFacts {
    let mut facts = RequestFacts::in_flight(began);
    if !facts.method.is_empty() {
        return facts;
    }
    let text = |name: &str| -> String {
        let value = environ.get_item(name).ok().flatten();
        value.and_then(|value| value.extract().ok()).unwrap_or_default()
    };
    facts.method = text("REQUEST_METHOD");
    facts.path = text("SCRIPT_NAME") + &text("PATH_INFO");
    // A proxy may have told of a client without its port.
    let port = text("REMOTE_PORT").parse().unwrap_or(0);
    let client = text("REMOTE_ADDR").parse().map(|address| SocketAddr::new(address, port).to_string());
    facts.client = client.unwrap_or_default();
    if let Some(header) = RequestFacts::id_header() {
        facts.request_id = text(&format!("HTTP_{}", header.as_str().to_uppercase().replace('-', "_")));
    }
    facts
}
