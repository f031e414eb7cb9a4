//! Compressed responses (`--compress`): which ones, with which coding, and what that changes in their heads.
//!
//! [`negotiate`] reads what the client accepts, [`head`] decides on a response and changes its head, [`body`] encodes its
//! body piece by piece, [`encoder`] has the codings. What an application has compressed itself, event streams, ranges,
//! files and what does not become smaller pass as they are.
//!
//! Not here: files that were compressed before they are served, which have a Content-Encoding of their own.

pub(crate) mod body;
mod encoder;
mod head;
mod negotiate;

pub(crate) use encoder::Encoder;

use encoder::Idle;
use hostler_settings::Compress;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    header::{CONTENT_LENGTH, HeaderValue, IF_NONE_MATCH},
};
use std::fmt;

/// The codings that responses can have (RFC 9110 §8.4.1, RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Gzip,
    Brotli,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// The rules of a worker, and its idle encoders. It lives as long as its process.
pub(crate) struct Compression {
    level: Option<u8>,
    min_size: u64,
    idle: Idle,
}

impl fmt::Debug for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, min_size, .. } = self;
        f.debug_struct("Compression")
            .field("level", level)
            .field("min_size", min_size)
            .finish_non_exhaustive()
    }
}

/// What a request says of its response's compression.
#[derive(Debug)]
pub(crate) struct Accepted {
    rules: &'static Compression,
    coding: Option<Coding>,
    /// The response has a head alone.
    head_alone: bool,
    /// The tags of what the client has already.
    has: Vec<HeaderValue>,
}

/// What is done about a response's body.
pub(crate) enum Encoding {
    /// It is sent as it is.
    Unchanged,
    /// It is not sent (HEAD), and the length of what it would be is not known.
    HeadAlone,
    Encoded(Encoder),
}

/// Marks a response to HEAD whose GET is a file, which is not compressed: the body does not show it.
#[derive(Clone, Copy, Debug)]
pub struct HeadOfFile;

impl Compression {
    /// The rules, if responses are to be compressed.
    pub(crate) fn new(settings: &Compress) -> Option<&'static Self> {
        let rules = Self { level: settings.level, min_size: settings.min_size.0, idle: Idle::default() };
        settings.enabled.then(|| &*Box::leak(Box::new(rules)))
    }

    /// What a request accepts.
    pub(crate) fn accepted<B>(&'static self, request: &Request<B>) -> Accepted {
        // To HTTP/1.0, a response without a length ends with its connection; what follows a CONNECT is another protocol's.
        let can_end = request.version() != Version::HTTP_10 && request.method() != Method::CONNECT;
        let coding = negotiate::coding(request.headers()).filter(|_| can_end);
        let has = request.headers().get_all(IF_NONE_MATCH).iter().cloned().collect();
        Accepted { rules: self, coding, head_alone: request.method() == Method::HEAD, has }
    }
}

impl Accepted {
    /// For a response that is not compressed, whatever is accepted.
    pub(crate) fn uncompressed(&self) -> Uncompressed {
        Uncompressed { min_size: self.rules.min_size }
    }

    /// Changes the head of a response of the application that is to be compressed; what is to be done about its body.
    pub(crate) fn apply<B: http_body::Body>(&self, response: &mut Response<B>) -> Encoding {
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED {
            head::not_modified(response.headers_mut(), self.coding.is_some(), &self.has);
            return Encoding::Unchanged;
        }
        let length = length(response.headers(), response.body());
        let is_unknown_head = self.head_alone && length == Some(0);
        if is_unknown_head
            || response.extensions().get::<HeadOfFile>().is_some()
            || !head::is_compressible(status, response.headers(), length, self.rules.min_size)
        {
            return Encoding::Unchanged;
        }
        head::vary(response.headers_mut());
        let Some(coding) = self.coding else { return Encoding::Unchanged };
        // Without memory for an encoder, the response is sent as it is.
        let encoding = match self.head_alone {
            true => Encoding::HeadAlone,
            false => match Encoder::new(coding, self.rules, length) {
                Ok(encoder) => Encoding::Encoded(encoder),
                Err(_) => return Encoding::Unchanged,
            },
        };
        head::encoded(response.headers_mut(), coding.name());
        encoding
    }
}

/// What remains to be done where a response is sent past this, as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uncompressed {
    min_size: u64,
}

impl Uncompressed {
    /// Tells caches that the response would be compressed otherwise.
    pub(crate) fn vary(self, status: StatusCode, headers: &mut HeaderMap, length: Option<u64>) {
        if head::is_compressible(status, headers, length, self.min_size) {
            head::vary(headers);
        }
    }
}

/// The length of a body, as far as it is known.
fn length(headers: &HeaderMap, body: &impl http_body::Body) -> Option<u64> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    announced.or_else(|| body.size_hint().exact())
}
