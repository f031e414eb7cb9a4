//! Where metrics are exported to.

use crate::layers::Layers;
use hostler_settings::Metrics;
use hostler_wire::Failure;

/// The port of OTLP over HTTP.
const PORT: u16 = 4318;
/// Where collectors take metrics.
const PATH: &str = "/v1/metrics";

/// Host with port, and path, of a URL like `http://collector:4318`; `None` if it is none of HTTP without TLS.
#[must_use]
pub fn parts(endpoint: &str) -> Option<(String, String)> {
    let rest = endpoint.strip_prefix("http://")?;
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) if !path.is_empty() => (authority, format!("/{path}")),
        Some((authority, _)) => (authority, PATH.to_owned()),
        None => (rest, PATH.to_owned()),
    };
    let is_text = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b"@\"<>".contains(&byte));
    let port = match authority.rsplit_once(':') {
        // The end of an address of IPv6 is no port.
        Some((_, port)) if !port.contains(']') => Some(port),
        _ => None,
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if authority.is_empty() || !is_port || !is_text(authority) || !is_text(&path) {
        return None;
    }
    let authority = if port.is_some() { authority.to_owned() } else { format!("{authority}:{PORT}") };
    Some((authority, path))
}

pub(crate) fn check(layers: &Layers) -> Result<(), Failure> {
    match &layers.settings.metrics.otlp_endpoint {
        Some(endpoint) if parts(endpoint).is_none() => Err(layers
            .invalid(Metrics::otlp_endpoint())
            .because("it is no URL of a collector that is reached by HTTP without TLS")
            .hint("write http://HOST:PORT, as http://127.0.0.1:4318; a collector beside the server can send on over TLS")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn an_endpoint_has_a_host_a_port_and_a_path() {
        let found = |endpoint| parts(endpoint).map(|(authority, path)| format!("{authority} {path}"));
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "127.0.0.1:4318 /v1/metrics"),
            ("http://collector/", "collector:4318 /v1/metrics"),
            ("http://[::1]:9/otlp/metrics", "[::1]:9 /otlp/metrics"),
            ("http://[::1]", "[::1]:4318 /v1/metrics"),
        ] {
            assert_eq!(found(endpoint).as_deref(), Some(expected));
        }
        for endpoint in
            ["https://a", "a:4318", "http://", "http://a:b", "http://a:0", "http://a b", "http://u@a"]
        {
            assert_eq!(found(endpoint), None, "{endpoint}");
        }
    }
}
