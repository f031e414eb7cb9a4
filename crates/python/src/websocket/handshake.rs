//! The opening handshake (RFC 6455 §4.2), and that on a stream of HTTP/2 (RFC 8441 §5).

use crate::response::{ResponseBody, plain};
use hostler_websocket::{Agreement, DeflateOptions, accept_key, agree};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    header::{
        CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};

/// What the client asked for.
pub(crate) struct Handshake {
    /// `Sec-WebSocket-Accept` of the response; none on a stream.
    pub(crate) accept: Option<String>,
    /// What the client can speak, in its order.
    pub(crate) subprotocols: Vec<String>,
    /// The extensions it offers, as it wrote them.
    extensions: Vec<String>,
}

/// Whether a request is the beginning of a handshake, right or wrong.
pub(crate) fn asks_for_websocket<B>(request: &Request<B>) -> bool {
    let is_upgrade = request.version() == Version::HTTP_11
        && has_token(request.headers(), UPGRADE, "websocket")
        && has_token(request.headers(), CONNECTION, "upgrade");
    is_upgrade || is_stream(request)
}

/// Whether a request asks for a WebSocket on a stream of HTTP/2; others than these are refused before.
fn is_stream<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_2 && request.method() == Method::CONNECT
}

/// A handshake that is wrong.
pub(crate) struct Refusal(StatusCode, &'static str);

impl Refusal {
    /// The response. Every refusal names the version that is supported (RFC 6455 §4.4).
    pub(crate) fn response(self) -> Response<ResponseBody> {
        let mut response = plain(self.0, self.1);
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        response
    }
}

impl Handshake {
    /// Reads the request, or says why it is refused.
    pub(crate) fn of<B>(request: &Request<B>) -> Result<Self, Refusal> {
        let headers = request.headers();
        let is_stream = is_stream(request);
        if request.method() != Method::GET && !is_stream {
            return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket handshake is a GET request"));
        }
        if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err(Refusal(StatusCode::UPGRADE_REQUIRED, "only WebSocket version 13 is spoken"));
        }
        let accept = if is_stream { None } else { Some(accept(headers)?) };
        let texts = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        // A list may have empty elements (RFC 9110 §5.6.1.2).
        let offered = texts(SEC_WEBSOCKET_PROTOCOL).flat_map(|value| value.split(',')).map(str::trim);
        Ok(Self {
            accept,
            subprotocols: offered.filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            extensions: texts(SEC_WEBSOCKET_EXTENSIONS).map(str::to_owned).collect(),
        })
    }

    /// The compression that both sides can.
    pub(super) fn agree(&self, options: DeflateOptions) -> Option<Agreement> {
        agree(self.extensions.iter().map(String::as_str), options)
    }
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// What proves that the server has understood the request.
fn accept(headers: &HeaderMap) -> Result<String, Refusal> {
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let accept = match (keys.next(), keys.next()) {
        (Some(key), None) => accept_key(key.as_bytes()),
        _ => None,
    };
    accept.ok_or(Refusal(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing or malformed"))
}
