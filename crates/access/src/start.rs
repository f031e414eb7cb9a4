//! What is known of a request when it begins, and how it is written.

use crate::{
    address,
    atom::{Atom, Repeated},
    escape,
    form::Form,
    line::Pen,
};
use data_encoding::BASE64;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version,
    header::{AUTHORIZATION, HOST, REFERER, USER_AGENT},
    uri::Authority,
};
use std::net::SocketAddr;

/// Beyond so many headers for each that is looked for, looking at all of them takes longer than looking each up.
const FEW: usize = 3;

/// What is known of a request when it begins.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The client's address; its port is 0 if it is not known.
    pub client: Option<SocketAddr>,
    /// The method and the target; `None` if the request could not be read.
    pub line: Option<(&'a Method, &'a Uri)>,
    /// The version of HTTP; `None` if it is not known.
    pub version: Option<Version>,
    /// `http`, `https`.
    pub scheme: &'a str,
    /// The header.
    pub headers: &'a HeaderMap,
    /// The id.
    pub request_id: &'a [u8],
    /// The ids of W3C's trace context: trace and parent.
    pub trace: Option<(&'a str, &'a str)>,
    /// How long the line may become, in bytes: long texts are cut.
    pub longest: usize,
}

/// The headers that most formats ask for. To look at each header once takes less than to look up each of these.
#[derive(Default)]
pub(crate) struct Found<'a> {
    pub(crate) authorization: Option<&'a HeaderValue>,
    pub(crate) referer: Option<&'a HeaderValue>,
    pub(crate) user_agent: Option<&'a HeaderValue>,
    /// Some header came several times.
    pub(crate) repeated: bool,
}

/// Which of them are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) authorization: bool,
    pub(crate) referer: bool,
    pub(crate) user_agent: bool,
}

/// How a value is written that is known when the request begins.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// The line begins with a constant.
    Nothing,
    // In their simplest form:
    Client,
    User,
    RequestLine,
    Referer,
    UserAgent,
    Other(Atom, Form),
}

impl Wanted {
    pub(crate) fn add(&mut self, value: &Value) {
        self.authorization |= matches!(value, Value::User);
        self.referer |= matches!(value, Value::Referer);
        self.user_agent |= matches!(value, Value::UserAgent);
    }

    fn count(self) -> usize {
        usize::from(self.authorization) + usize::from(self.referer) + usize::from(self.user_agent)
    }
}

impl Value {
    pub(crate) fn of(atom: Atom, form: Form) -> Self {
        match (atom, form) {
            (Atom::Client, Form::Plain) => Self::Client,
            (Atom::User, Form::Plain) => Self::User,
            (Atom::RequestLine, Form::Plain) => Self::RequestLine,
            (Atom::RequestHeader(name, Repeated::Joined), Form::Plain) if name == REFERER => Self::Referer,
            (Atom::RequestHeader(name, Repeated::Joined), Form::Plain) if name == USER_AGENT => {
                Self::UserAgent
            }
            (atom, form) => Self::Other(atom, form),
        }
    }
}

impl<'a> Found<'a> {
    #[inline]
    pub(crate) fn of(headers: &'a HeaderMap, wanted: Wanted) -> Self {
        let mut this = Self { repeated: headers.len() != headers.keys_len(), ..Self::default() };
        if headers.len() <= FEW * wanted.count() {
            for (name, value) in headers {
                if name == AUTHORIZATION {
                    this.authorization = Some(value);
                } else if name == REFERER {
                    this.referer = Some(value);
                } else if name == USER_AGENT {
                    this.user_agent = Some(value);
                }
            }
        } else {
            this.look_up(headers, wanted);
        }
        this
    }

    fn look_up(&mut self, headers: &'a HeaderMap, wanted: Wanted) {
        let get = |wanted: bool, name: HeaderName| if wanted { headers.get(name) } else { None };
        self.authorization = get(wanted.authorization, AUTHORIZATION);
        self.referer = get(wanted.referer, REFERER);
        self.user_agent = get(wanted.user_agent, USER_AGENT);
    }
}

impl Start<'_> {
    pub(crate) fn write(&self, pen: &mut Pen<'_>, value: &Value, found: &Found<'_>) {
        match value {
            Value::Nothing => {}
            Value::Client => match self.client {
                Some(client) => address::write(pen.out, client.ip()),
                None => pen.out.push(b'-'),
            },
            Value::User => match found.authorization {
                None => pen.out.push(b'-'),
                Some(_) => self.user(pen, Form::Plain),
            },
            Value::RequestLine => self.request_line(pen),
            Value::Referer => self.found(pen, found, found.referer, &REFERER),
            Value::UserAgent => self.found(pen, found, found.user_agent, &USER_AGENT),
            Value::Other(atom, form) => self.other(pen, atom, *form),
        }
    }

    fn found(&self, pen: &mut Pen<'_>, found: &Found<'_>, value: Option<&HeaderValue>, name: &HeaderName) {
        match value {
            None => pen.out.push(b'-'),
            Some(value) if !found.repeated && value.len() <= pen.most => {
                escape::text(pen.out, value.as_bytes());
            }
            Some(_) => self.header(pen, Form::Plain, (name, Repeated::Joined)),
        }
    }

    #[cold]
    fn user(&self, pen: &mut Pen<'_>, form: Form) {
        let credentials = self.headers.get(AUTHORIZATION);
        form.text(pen, credentials.and_then(|value| user(value.as_bytes())).as_deref());
    }

    #[inline(never)]
    fn other(&self, pen: &mut Pen<'_>, atom: &Atom, form: Form) {
        let value = match atom {
            Atom::Client => match self.client {
                Some(client) => return form.written(pen.out, |out| address::write(out, client.ip())),
                None => None,
            },
            Atom::User => return self.user(pen, form),
            Atom::RequestLine => {
                let mut line = Vec::new();
                let value = self.line.map(|_| {
                    self.request_line(&mut Pen { out: &mut line, most: pen.most });
                    line.as_slice()
                });
                return form.escaped(pen.out, value);
            }
            Atom::RequestHeader(name, repeated) => return self.header(pen, form, (name, *repeated)),
            Atom::ClientPort => {
                let port = self.client.map(|client| client.port()).filter(|port| *port > 0);
                return form.number(pen.out, port.map(u64::from));
            }
            Atom::Target => match self.absolute() {
                Some(target) => return form.text(pen, Some(target.as_bytes())),
                None => self.line.map(|(_, uri)| target(uri)),
            },
            Atom::Method => self.line.map(|(method, _)| method.as_str()),
            Atom::Path => self.line.map(|(_, uri)| path(uri)),
            Atom::Query => match (form, self.line.and_then(|(_, uri)| uri.query())) {
                // As text it is empty without one, as Gunicorn's `%(q)s` is.
                (Form::Plain | Form::Padded(_), None) => Some(""),
                (_, query) => query,
            },
            Atom::Protocol => self.version.map(protocol),
            Atom::Scheme => Some(self.scheme),
            Atom::TraceId => self.trace.map(|(trace, _)| trace),
            Atom::ParentId => self.trace.map(|(_, parent)| parent),
            Atom::RequestId => {
                return form.text(pen, Some(self.request_id).filter(|id| !id.is_empty()));
            }
            _ => None,
        };
        form.text(pen, value.map(str::as_bytes));
    }

    fn request_line(&self, pen: &mut Pen<'_>) {
        let Some((method, uri)) = self.line else { return pen.out.push(b'-') };
        match *method {
            Method::GET => pen.out.extend_from_slice(b"GET "),
            ref method => {
                Form::Plain.text(pen, Some(method.as_str().as_bytes()));
                pen.out.push(b' ');
            }
        }
        match self.absolute() {
            None => Form::Plain.text(pen, Some(target(uri).as_bytes())),
            Some(target) => Form::Plain.text(pen, Some(target.as_bytes())),
        }
        match self.version {
            Some(Version::HTTP_11) => pen.out.extend_from_slice(b" HTTP/1.1"),
            version => {
                pen.out.push(b' ');
                pen.out.extend_from_slice(version.map_or("-", protocol).as_bytes());
            }
        }
    }

    /// A target of HTTP/1 that names scheme and host, as it is sent to a proxy.
    #[inline]
    fn absolute(&self) -> Option<String> {
        let (_, uri) = self.line?;
        let is_absolute = uri.scheme().is_some() && self.version < Some(Version::HTTP_2);
        if is_absolute { absolute(uri) } else { None }
    }

    /// A header that may not be there, or have come several times.
    fn header(&self, pen: &mut Pen<'_>, form: Form, (name, repeated): (&HeaderName, Repeated)) {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next_back(), repeated) {
            (Some(_), Some(last), Repeated::Last) => form.text(pen, Some(last.as_bytes())),
            (Some(_), Some(_), Repeated::Joined) => {
                let values: Vec<_> = self.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
                form.text(pen, Some(&values.join(&b","[..])));
            }
            // HTTP/2 has it in the target.
            (None, ..) if *name == HOST => {
                let authority = self.line.and_then(|(_, uri)| uri.authority());
                form.text(pen, authority.map(|authority| host(authority).as_bytes()));
            }
            (first, ..) => form.text(pen, first.map(HeaderValue::as_bytes)),
        }
    }
}

/// The path of a target; host and port in that of CONNECT, which has none.
#[must_use]
pub fn path(uri: &Uri) -> &str {
    if uri.path_and_query().is_some() { uri.path() } else { target(uri) }
}

/// The target without scheme and host.
#[inline]
pub(crate) fn target(uri: &Uri) -> &str {
    match (uri.path_and_query(), uri.authority()) {
        (Some(target), _) => target.as_str(),
        (None, Some(authority)) => host(authority),
        (None, None) => "/",
    }
}

#[cold]
fn absolute(uri: &Uri) -> Option<String> {
    Some(format!("{}://{}{}", uri.scheme_str()?, host(uri.authority()?), uri.path_and_query()?))
}

/// Host and port, without the name of a user, and a password.
fn host(authority: &Authority) -> &str {
    authority.as_str().rsplit('@').next().unwrap_or_default()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        _ => "-",
    }
}

/// The user of HTTP's Basic authentication (RFC 7617), without the password. What has no colon may be a secret.
fn user(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, credentials) = value.split_at_checked(6)?;
    let decoded =
        BASE64.decode(credentials.trim_ascii()).ok().filter(|_| scheme.eq_ignore_ascii_case(b"basic "))?;
    let end = decoded.iter().position(|byte| *byte == b':')?;
    Some(decoded[..end].to_vec()).filter(|user| !user.is_empty())
}
