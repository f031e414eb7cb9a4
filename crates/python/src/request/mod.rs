//! What interfaces tell an application about its request.
//!
//! | file | duty |
//! |---|---|
//! | `meta` | client, server, scheme and HTTP version, and how each interface names them |
//! | `methods` | methods as Python strings |
//! | `headers` | header names and values as Python objects, kept for the next request |
//! | `text` | bytes of a request as Python strings |
//! | `tls` | the TLS handshake of its connection |
//! | `deadline` | `hostler.deadline` |

mod deadline;
mod headers;
mod meta;
mod methods;
mod text;
pub(crate) mod tls;

pub(crate) use deadline::RequestDeadline;
pub(crate) use headers::{HeaderNames, LastHeaders};
pub(crate) use meta::{ASGI_VERSIONS, RSGI_VERSIONS, RequestMeta, VersionNames, WSGI_VERSIONS, forwarded};
pub(crate) use methods::MethodNames;
pub(crate) use text::{decoded, inside, latin1, quoted, unquoted};
