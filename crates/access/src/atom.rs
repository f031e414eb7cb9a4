//! What a line can say: atoms, under the names that Gunicorn and Granian have for them.

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName, PROXY_AUTHORIZATION, REFERER,
    SET_COOKIE, USER_AGENT,
};

/// What a line can say of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Atom {
    /// `-`, which RFC 1413 would have told.
    Nothing,
    Client,
    ClientPort,
    User,
    RequestLine,
    Method,
    Path,
    /// With the question mark: path and query as they came.
    Target,
    Query,
    Protocol,
    Scheme,
    RequestHeader(HeaderName, Repeated),
    ResponseHeader(HeaderName),
    RequestId,
    TraceId,
    ParentId,
    Worker,
    Pid,
    /// `<123>`, as Gunicorn has it.
    PidInBrackets,
    /// When the response was complete, as Common Log Format has it.
    Time,
    /// When the request began, as Granian has it.
    BeganAt,
    /// When the response was complete: RFC 3339, UTC.
    Timestamp,
    Status,
    /// `OK`: the usual words for the status.
    Reason,
    Bytes,
    /// `-` if there was no response.
    BytesOrDash,
    /// From the request's head to the end of the response, in a unit.
    Duration(Scale),
    /// The same in whole units, as Gunicorn has it.
    WholeDuration(Scale),
    /// Until the response began.
    FirstByte(Scale),
    /// Until the application was called.
    Queue(Scale),
    /// `1.000123`: Gunicorn's decimal seconds.
    DecimalSeconds,
    ClientLeft,
    Complete,
}

/// The unit of a duration: how many decimal digits of nanoseconds are behind its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Micros = 3,
    Millis = 6,
    Seconds = 9,
}

/// What is written of a header that came several times, as Gunicorn does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// The last value.
    Last,
    /// All of them, with commas between, as in WSGI's environ.
    Joined,
}

/// When an atom is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Known {
    AtStart,
    WithResponse,
    AtEnd,
}

/// What kind of value an atom has, which decides on the conversions that suit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
}

impl Scale {
    /// How many digits behind the point are written unless a format says otherwise.
    pub(crate) fn precision(self) -> u32 {
        match self {
            Self::Micros => 0,
            Self::Millis => 3,
            Self::Seconds => 6,
        }
    }
}

impl Atom {
    pub(crate) fn known(&self) -> Known {
        match self {
            Self::ResponseHeader(_) => Known::WithResponse,
            Self::Time | Self::BeganAt | Self::Timestamp | Self::Status | Self::Bytes | Self::BytesOrDash => {
                Known::AtEnd
            }
            Self::Duration(_) | Self::WholeDuration(_) | Self::FirstByte(_) | Self::Queue(_) => Known::AtEnd,
            Self::DecimalSeconds | Self::Reason | Self::ClientLeft | Self::Complete => Known::AtEnd,
            _ => Known::AtStart,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Status | Self::Bytes | Self::Worker | Self::Pid | Self::ClientPort => Kind::Number,
            Self::Duration(_) | Self::WholeDuration(_) | Self::FirstByte(_) | Self::Queue(_) => Kind::Number,
            _ => Kind::Text,
        }
    }

    /// How many digits behind the point a number has of itself, if that is always the same.
    pub(crate) fn precision(&self) -> Option<u8> {
        match self {
            Self::Duration(scale) | Self::FirstByte(scale) => u8::try_from(scale.precision()).ok(),
            Self::Queue(_) => None,
            _ => Some(0),
        }
    }

    /// Whether it would write credentials to the log.
    pub(crate) fn is_credential(&self) -> bool {
        match self {
            Self::RequestHeader(name, _) | Self::ResponseHeader(name) => {
                [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE].contains(name)
            }
            _ => false,
        }
    }

    /// What a name in a format stands for.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::gunicorn(name).or_else(|| Self::granian(name)).or_else(|| Self::own(name))
    }

    fn gunicorn(name: &str) -> Option<Self> {
        Some(match name {
            "h" => Self::Client,
            "l" => Self::Nothing,
            "u" => Self::User,
            "t" => Self::Time,
            "r" => Self::RequestLine,
            "s" => Self::Status,
            "m" => Self::Method,
            "U" => Self::Path,
            "q" => Self::Query,
            "H" => Self::Protocol,
            "b" => Self::BytesOrDash,
            "B" => Self::Bytes,
            "f" => Self::RequestHeader(REFERER, Repeated::Joined),
            "a" => Self::RequestHeader(USER_AGENT, Repeated::Joined),
            "T" => Self::WholeDuration(Scale::Seconds),
            "D" => Self::WholeDuration(Scale::Micros),
            "M" => Self::WholeDuration(Scale::Millis),
            "L" => Self::DecimalSeconds,
            "p" => Self::PidInBrackets,
            _ => return Self::in_braces(name),
        })
    }

    /// `{name}i`, `{name}o` and `{name}e`: headers of the request and of the response, and variables of WSGI's environ.
    fn in_braces(name: &str) -> Option<Self> {
        let (inner, from) = name.strip_prefix('{')?.rsplit_once('}')?;
        match from {
            "i" => header(inner).map(|name| Self::RequestHeader(name, Repeated::Last)),
            "o" => header(inner).map(Self::ResponseHeader),
            "e" => Self::environ(inner),
            _ => None,
        }
    }

    fn environ(name: &str) -> Option<Self> {
        // Gunicorn takes them by any case.
        let name = name.to_ascii_uppercase();
        let joined = |name| Self::RequestHeader(name, Repeated::Joined);
        Some(match name.as_str() {
            "REMOTE_ADDR" => Self::Client,
            "REMOTE_PORT" => Self::ClientPort,
            "REQUEST_METHOD" => Self::Method,
            "PATH_INFO" => Self::Path,
            "QUERY_STRING" => Self::Query,
            "RAW_URI" | "REQUEST_URI" => Self::Target,
            "SERVER_PROTOCOL" => Self::Protocol,
            "WSGI.URL_SCHEME" => Self::Scheme,
            "CONTENT_TYPE" => joined(CONTENT_TYPE),
            "CONTENT_LENGTH" => joined(CONTENT_LENGTH),
            name => joined(header(&name.strip_prefix("HTTP_")?.replace('_', "-"))?),
        })
    }

    fn granian(name: &str) -> Option<Self> {
        Some(match name {
            "addr" => Self::Client,
            "time" => Self::BeganAt,
            "dt_ms" => Self::Duration(Scale::Millis),
            "status" => Self::Status,
            "path" => Self::Path,
            "query_string" => Self::Query,
            "method" => Self::Method,
            "scheme" => Self::Scheme,
            "protocol" => Self::Protocol,
            "rbl" => Self::Bytes,
            _ => {
                let name = header(name.strip_prefix("header{")?.strip_suffix('}')?)?;
                Self::RequestHeader(name, Repeated::Joined)
            }
        })
    }

    fn own(name: &str) -> Option<Self> {
        Some(match name {
            "host" => Self::RequestHeader(HOST, Repeated::Joined),
            "port" => Self::ClientPort,
            "target" => Self::Target,
            "reason" => Self::Reason,
            "bytes" => Self::Bytes,
            "timestamp" => Self::Timestamp,
            "duration_ms" => Self::Duration(Scale::Millis),
            "duration_seconds" => Self::Duration(Scale::Seconds),
            "first_byte_ms" => Self::FirstByte(Scale::Millis),
            "first_byte_seconds" => Self::FirstByte(Scale::Seconds),
            "queue_ms" => Self::Queue(Scale::Millis),
            "queue_seconds" => Self::Queue(Scale::Seconds),
            "request_id" => Self::RequestId,
            "trace_id" => Self::TraceId,
            "parent_id" => Self::ParentId,
            "worker" => Self::Worker,
            "pid" => Self::Pid,
            "client_left" => Self::ClientLeft,
            "complete" => Self::Complete,
            _ => return None,
        })
    }
}

fn header(name: &str) -> Option<HeaderName> {
    HeaderName::try_from(name).ok()
}
