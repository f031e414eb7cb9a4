//! Files as responses: a stage before the application, and what applications respond with.
//!
//! | file | duty |
//! |---|---|
//! | `path` | from a request's path to the name of a file; routes |
//! | `mount`, `store` | a route and its directory; from a name to an open file, and what was opened a moment ago |
//! | `negotiate`, `validators`, `range` | what the request asks for: encoding, conditions, ranges |
//! | `content_type`, `hashed` | what a file's name says of it |
//! | `answer`, `multipart` | the response |
//! | `body` | parts of a file as a body, for applications, too |
//! | `x_sendfile` | files that applications name in a header |
//!
//! Nothing here knows which version of HTTP it is, or what is sent to the socket how ([`crate::io::file_pieces`]). What is
//! opened and asked of files is done at once, on the loop's thread; content is read in pieces.

pub(crate) mod answer;
pub(crate) mod body;
mod content_type;
#[cfg(test)]
mod fuzz;
mod hashed;
mod mount;
mod multipart;
mod negotiate;
mod path;
mod range;
mod store;
mod validators;
pub(crate) mod x_sendfile;

use answer::{Answer, Representation, add_slash, method_not_allowed, text};
use hostler_settings::StaticFiles;
use http::{HeaderMap, Method, StatusCode, Uri, header::ACCEPT_ENCODING};
use mount::Mount;
use negotiate::Encoding;
use std::{io, time::SystemTime};
use store::{Entry, Lookup};
use validators::Validators;

/// The log line when a file turns out to be shorter than its length said.
pub(crate) const FILE_SHRANK: &str = "a file shrank while it was sent: the response is cut off";

/// The static files of a worker.
pub(crate) struct Files {
    /// Those with the longest routes first.
    mounts: Vec<Mount>,
}

impl Files {
    /// `None` if there are no mounts.
    ///
    /// # Errors
    /// The kernel's, for a directory that cannot be entered.
    pub(crate) fn new(settings: &StaticFiles) -> io::Result<Option<Self>> {
        let mut mounts: Vec<Mount> =
            settings.all_mounts().map(|mount| Mount::new(&mount)).collect::<io::Result<_>>()?;
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.route.len()));
        Ok((!mounts.is_empty()).then_some(Self { mounts }))
    }

    /// The response to a request for a file; `None` if it is for the application.
    pub(crate) fn respond(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Answer> {
        let Some(decoded) = path::decode(uri.path()) else {
            let mount = self.mounts.iter().find(|mount| mount.has_prefix_of(uri.path()))?;
            return (!mount.falls_through).then(not_found);
        };
        let (mount, name) =
            self.mounts.iter().find_map(|mount| Some((mount, path::beneath(&decoded, &mount.route)?)))?;
        if !matches!(*method, Method::GET | Method::HEAD) {
            return (!mount.falls_through).then(method_not_allowed);
        }
        match mount.store.look_up(name, path::is_route_itself(&decoded, &mount.route)) {
            Lookup::File(entry) => Some(mount.send(&entry, method, headers)),
            // Browsers take a backslash for a slash, and `//` for the beginning of a host.
            Lookup::Directory if !uri.path().contains('\\') => Some(add_slash(uri.path(), uri.query())),
            Lookup::Directory | Lookup::Nothing => (!mount.falls_through).then(not_found),
            Lookup::Forbidden => Some(text(StatusCode::FORBIDDEN, "Forbidden")),
            Lookup::Failed => Some(unavailable()),
        }
    }
}

impl Mount {
    fn send(&self, entry: &Entry, method: &Method, headers: &HeaderMap) -> Answer {
        let accepted = || {
            let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
            values.collect::<Vec<_>>().join(",")
        };
        let varies = entry.is_encoded();
        let encoding =
            varies.then(|| negotiate::choose(&accepted(), |encoding| entry.has(encoding))).flatten();
        let (file, stamp) = match entry.content(encoding) {
            Ok(content) => content,
            Err(error) => {
                tracing::error!(name = entry.name, %error, "a static file cannot be read: responding with 503");
                return unavailable();
            }
        };
        let content_type = self.content_type.as_ref().unwrap_or(&entry.content_type).clone();
        let cache_control = self.cache_control(&entry.name);
        let validators = Validators::new(&stamp, encoding.map(Encoding::name), SystemTime::now());
        let file = Representation { file, stamp, encoding, content_type, cache_control, varies, validators };
        file.respond(method, headers, &self.headers)
    }
}

fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "Not Found")
}

fn unavailable() -> Answer {
    text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
}
