//! Files that applications name in the header `X-Sendfile`, as with Apache's mod_xsendfile and lighttpd.
//!
//! The application decides who may have a file, and responds without a body; the file is sent as static files are: conditions and
//! ranges of the request count, and it is opened beneath one of the directories that were allowed. Headers of the
//! application stay, but for those that say how long its body would have been.

use super::{
    answer::{Answer, Representation, text},
    content_type, mount,
    store::stamp,
    validators::Validators,
};
use hostler_settings::StaticFiles;
use hostler_sys::beneath::{Directory, Links};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE,
        IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE, TRANSFER_ENCODING,
    },
};
use std::{
    fs::{File, Metadata},
    io,
    path::{Component, Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::SystemTime,
};
use tracing::error;

const X_SENDFILE: HeaderName = HeaderName::from_static("x-sendfile");

/// The headers of a request that count when its response is a file.
const CONDITIONS: [HeaderName; 6] =
    [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE, RANGE];

/// Headers of the application that the file's replace.
const REPLACED: [HeaderName; 7] =
    [ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, TRANSFER_ENCODING];

/// The directories beneath which applications may name files.
pub(crate) struct Allowed(Vec<PathBuf>);

/// What is kept of a request until its response names a file, or does not.
pub(crate) struct Asked {
    allowed: Rc<Allowed>,
    method: Method,
    conditions: HeaderMap,
}

impl Allowed {
    /// `None` if there are no directories.
    ///
    /// # Errors
    /// The kernel's, for a directory that cannot be entered.
    pub(crate) fn new(settings: &StaticFiles) -> io::Result<Option<Rc<Self>>> {
        settings.x_sendfile.iter().try_for_each(|path| mount::check(path))?;
        Ok((!settings.x_sendfile.is_empty()).then(|| Rc::new(Self(settings.x_sendfile.clone()))))
    }

    /// Keeps what a response with a file would depend on.
    pub(crate) fn asked(self: &Rc<Self>, method: &Method, headers: &HeaderMap) -> Box<Asked> {
        let mut conditions = HeaderMap::new();
        for name in CONDITIONS {
            for value in headers.get_all(&name) {
                conditions.append(name.clone(), value.clone());
            }
        }
        Box::new(Asked { allowed: Rc::clone(self), method: method.clone(), conditions })
    }

    /// Opens a file by its whole name.
    fn open(&self, path: &Path) -> io::Result<(File, Metadata)> {
        let outside = || io::Error::other("it lies in no directory of --x-sendfile");
        let is_plain =
            path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let beneath = |directory: &&PathBuf| is_plain && path.starts_with(directory);
        let directory = self.0.iter().find(beneath).ok_or_else(outside)?;
        let name = path.strip_prefix(directory).map_err(|_| outside())?;
        let name = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        let (file, about) = Directory::open(directory)?.open_file(name, Links::Within)?;
        if about.is_file() { Ok((file, about)) } else { Err(io::Error::other("it is no regular file")) }
    }
}

impl Asked {
    /// The response with the file that the application's response names, if it names one.
    pub(crate) fn answer<B>(&self, response: &mut Response<B>) -> Option<Answer> {
        let named = response.headers_mut().remove(X_SENDFILE)?;
        // Such a response has no content (RFC 9110 §15.3.5, §15.3.6, §15.4.5).
        if matches!(
            response.status(),
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
        ) {
            return None;
        }
        let path = PathBuf::from(String::from_utf8_lossy(named.as_bytes()).into_owned());
        match self.allowed.open(&path) {
            Ok((file, about)) => Some(self.respond(response, &path, file, &about)),
            Err(error) => {
                error!(path = %path.display(), %error, "X-Sendfile: cannot send the file: responding with 404");
                Some(text(StatusCode::NOT_FOUND, "Not Found"))
            }
        }
    }

    fn respond<B>(&self, response: &Response<B>, path: &Path, file: File, about: &Metadata) -> Answer {
        let headers = response.headers();
        let stamp = stamp(about);
        let own = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let validators =
            Validators::new(&stamp, None, SystemTime::now()).replaced(own(ETAG), own(LAST_MODIFIED));
        let guessed = || HeaderValue::from_str(&content_type::of_name(&path.to_string_lossy()));
        let content_type = headers.get(CONTENT_TYPE).cloned().or_else(|| guessed().ok());
        let file = Representation {
            file: Arc::new(file),
            stamp,
            encoding: None,
            content_type: content_type.unwrap_or(HeaderValue::from_static("application/octet-stream")),
            cache_control: None,
            varies: false,
            validators,
        };
        // Conditions are about what GET and HEAD would get without them: a 200. Of other methods they were about what the
        // application has done by now.
        let none = HeaderMap::new();
        let is_ok = response.status() == StatusCode::OK;
        let counts = is_ok && matches!(self.method, Method::GET | Method::HEAD);
        let mut answer = file.respond(&self.method, if counts { &self.conditions } else { &none }, &[]);
        if !is_ok {
            *answer.status_mut() = response.status();
        }
        for (name, value) in headers.iter().filter(|(name, _)| !REPLACED.contains(name)) {
            answer.headers_mut().append(name.clone(), value.clone());
        }
        answer
    }
}
