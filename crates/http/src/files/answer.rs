//! The response with a file: its headers, and as much of it as the request asks for.

use super::{
    body::{FileBody, Segment},
    multipart::{content_range, segments},
    negotiate::Encoding,
    range::{self, Part, Ranges},
    validators::{Outcome, Stamp, Validators, http_date},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
        ETAG, LAST_MODIFIED, LOCATION, RANGE, VARY,
    },
};
use std::{
    fs::File,
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

/// What a response of this room has as its body.
pub(crate) enum Content {
    Nothing,
    Text(&'static str),
    File(Box<FileBody>),
}

/// A response of this room.
pub(crate) type Answer = Response<Content>;

/// A file, and what is said of it.
pub(super) struct Representation {
    pub(super) file: Arc<File>,
    pub(super) stamp: Stamp,
    pub(super) encoding: Option<Encoding>,
    pub(super) content_type: HeaderValue,
    pub(super) cache_control: Option<HeaderValue>,
    /// The encoding depends on what the client accepts.
    pub(super) varies: bool,
    pub(super) validators: Validators,
}

impl Representation {
    /// The response to GET or HEAD; `extra` headers replace those of the same names.
    pub(super) fn respond(
        self,
        method: &Method,
        headers: &HeaderMap,
        extra: &[(HeaderName, HeaderValue)],
    ) -> Answer {
        let outcome = self.validators.evaluate(headers);
        let mut response = match outcome {
            Outcome::PreconditionFailed => {
                return text(StatusCode::PRECONDITION_FAILED, "Precondition Failed");
            }
            Outcome::NotModified => Response::new(Content::Nothing),
            Outcome::Send { ranged } => {
                let asked = if ranged && method == Method::GET {
                    asked_for(headers, self.stamp.length)
                } else {
                    Ranges::All
                };
                self.send(asked)
            }
        };
        if matches!(outcome, Outcome::NotModified) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        self.describe(response.headers_mut());
        for (name, value) in extra {
            // What the encoding depends on stays, or caches would send one client's encoding to another.
            if *name == VARY && self.varies {
                response.headers_mut().append(name.clone(), value.clone());
            } else {
                response.headers_mut().insert(name.clone(), value.clone());
            }
        }
        if method == Method::HEAD {
            *response.body_mut() = Content::Nothing;
        }
        response
    }

    fn send(&self, asked: Ranges) -> Answer {
        let length = self.stamp.length;
        match asked {
            Ranges::All => self.part(StatusCode::OK, Part { at: 0, length }),
            Ranges::Unsatisfiable => {
                let mut response = text(StatusCode::RANGE_NOT_SATISFIABLE, "Range Not Satisfiable");
                insert(response.headers_mut(), CONTENT_RANGE, format!("bytes */{length}"));
                response
            }
            Ranges::Parts(parts) => match parts[..] {
                [part] => {
                    let mut response = self.part(StatusCode::PARTIAL_CONTENT, part);
                    insert(response.headers_mut(), CONTENT_RANGE, content_range(part, length));
                    response
                }
                _ => self.parts(&parts),
            },
        }
    }

    fn part(&self, status: StatusCode, part: Part) -> Answer {
        let body = FileBody::new(Arc::clone(&self.file), part.at, part.length);
        self.with_body(status, body, part.length, self.content_type.clone())
    }

    fn parts(&self, parts: &[Part]) -> Answer {
        let boundary = format!("{:016x}", RandomState::new().build_hasher().finish());
        let kind = self.content_type.to_str().unwrap_or("application/octet-stream");
        let (segments, total): (Vec<Segment>, u64) = segments(parts, self.stamp.length, kind, &boundary);
        let body = FileBody::of_segments(Arc::clone(&self.file), segments);
        let kind = HeaderValue::from_str(&format!("multipart/byteranges; boundary={boundary}"));
        let kind = kind.unwrap_or(HeaderValue::from_static("multipart/byteranges"));
        self.with_body(StatusCode::PARTIAL_CONTENT, body, total, kind)
    }

    fn with_body(&self, status: StatusCode, body: FileBody, length: u64, kind: HeaderValue) -> Answer {
        let mut response = Response::new(Content::File(Box::new(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.reserve(8);
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(CONTENT_LENGTH, length.into());
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if let Some(encoding) = self.encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        }
        response
    }

    /// What is said of the file with any of these responses.
    fn describe(&self, headers: &mut HeaderMap) {
        insert(headers, ETAG, self.validators.etag.clone());
        if let Some(modified) = self.validators.modified {
            insert(headers, LAST_MODIFIED, http_date(modified));
        }
        if let Some(cache_control) = &self.cache_control {
            headers.insert(CACHE_CONTROL, cache_control.clone());
        }
        if self.varies {
            headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
    }
}

/// What a request asks for; of several headers none counts (RFC 9110 §14.2 has one).
fn asked_for(headers: &HeaderMap, length: u64) -> Ranges {
    let mut values = headers.get_all(RANGE).iter();
    match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(value), None) => range::parse(value, length),
        _ => Ranges::All,
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
        headers.insert(name, value);
    }
}

/// A line of text, in the server's own words.
pub(super) fn text(status: StatusCode, text: &'static str) -> Answer {
    let mut response = Response::new(Content::Text(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// To a method that files do not have.
pub(super) fn method_not_allowed() -> Answer {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// To the name of a directory without its slash: what its index refers to would be looked for beside it. The reference is relative:
/// a proxy may have taken off the beginning of the path.
pub(super) fn add_slash(path: &str, query: Option<&str>) -> Answer {
    let last = path.rsplit('/').next().unwrap_or_default();
    let mut response = text(StatusCode::MOVED_PERMANENTLY, "Moved Permanently");
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    insert(response.headers_mut(), LOCATION, format!("./{last}/{query}"));
    response
}
