//! The opening handshake (RFC 6455 §4.2).

use hyper::{
    HeaderMap, Method, Request, StatusCode, Version,
    header::{
        CONNECTION, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// What the client asked for.
pub(crate) struct Handshake {
    /// `Sec-WebSocket-Accept` of the answer.
    pub(crate) accept: String,
    /// What the client can speak, in its order.
    pub(crate) subprotocols: Vec<String>,
}

/// Whether a request is the beginning of a handshake, right or wrong.
pub(crate) fn asks_for_websocket<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11
        && has_token(request.headers(), UPGRADE, "websocket")
        && has_token(request.headers(), CONNECTION, "upgrade")
}

impl Handshake {
    /// Reads the request, or says with which status and why it is refused.
    pub(crate) fn of<B>(request: &Request<B>) -> Result<Self, (StatusCode, &'static str)> {
        let headers = request.headers();
        if request.method() != Method::GET {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "a WebSocket handshake is a GET request"));
        }
        if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err((StatusCode::UPGRADE_REQUIRED, "only WebSocket version 13 is spoken"));
        }
        let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
        let key = match (keys.next(), keys.next()) {
            (Some(key), None) if is_key(key.as_bytes()) => key.as_bytes(),
            _ => return Err((StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing or malformed")),
        };
        let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
        let subprotocols =
            offered.flat_map(|value| value.split(',')).map(|name| name.trim().to_owned()).collect();
        Ok(Self { accept: derive_accept_key(key), subprotocols })
    }
}

/// Sixteen bytes in base64 (RFC 6455 §4.1).
fn is_key(key: &[u8]) -> bool {
    let digits = key.strip_suffix(b"==").unwrap_or_default();
    digits.len() == 22 && digits.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte))
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::{Handshake, asks_for_websocket};
    use hyper::{Request, StatusCode};

    fn request(key: &str, version: &str) -> Request<()> {
        let request = Request::builder().uri("/").header("upgrade", "WebSocket");
        let request = request.header("connection", "keep-alive, Upgrade").header("sec-websocket-key", key);
        let request = request.header("sec-websocket-protocol", "chat, superchat");
        request.header("sec-websocket-version", version).body(()).unwrap()
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let request = request("dGhlIHNhbXBsZSBub25jZQ==", "13");
        assert!(asks_for_websocket(&request));
        let handshake = Handshake::of(&request).ok().unwrap();
        assert_eq!(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(handshake.subprotocols, ["chat", "superchat"]);
    }

    #[test]
    fn wrong_keys_and_versions_are_refused() {
        let status = |key, version| Handshake::of(&request(key, version)).err().map(|(status, _)| status);
        assert_eq!(status("short==", "13"), Some(StatusCode::BAD_REQUEST));
        assert_eq!(status("dGhlIHNhbXBsZSBub25jZQ==", "8"), Some(StatusCode::UPGRADE_REQUIRED));
    }
}
