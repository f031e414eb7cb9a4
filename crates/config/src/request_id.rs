//! `--request-id-header`: which names it takes. An id may be put into any header but those that mean something already.

use crate::layers::Layers;
use hostler_settings::Tracing;
use hostler_wire::Failure;

/// Names, or how they begin if they end with `-`, and what headers of these names are for.
const TAKEN: [(&str, &[&str]); 8] = [
    (
        "says where a message ends",
        &[
            "content-length",
            "transfer-encoding",
            "trailer",
            "te",
            "expect",
            "content-type",
            "content-encoding",
        ],
    ),
    (
        "is about the connection",
        &["connection", "keep-alive", "proxy-connection", "upgrade", "http2-settings", "sec-", "alt-svc"],
    ),
    ("says which host a request is for", &["host"]),
    (
        "carries credentials",
        &[
            "authorization",
            "authentication-info",
            "www-authenticate",
            "proxy-authenticate",
            "proxy-authentication-info",
            "proxy-authorization",
            "cookie",
            "set-cookie",
            "x-api-key",
            "x-csrf-token",
        ],
    ),
    ("carries a trace: its ids are in the log in any case", &["traceparent", "tracestate", "baggage"]),
    (
        "says what proxies know of a client",
        &["forwarded", "x-forwarded-", "x-real-ip", "via", "x-sendfile", "x-accel-"],
    ),
    (
        "says what a client wants, or what the response is",
        &[
            "accept",
            "accept-",
            "access-control-",
            "allow",
            "content-",
            "if-",
            "max-forwards",
            "origin",
            "prefer",
            "range",
            "referer",
            "user-agent",
            "priority",
            "status",
            "link",
            "location",
            "retry-after",
            "server",
            "date",
        ],
    ),
    (
        "is for caches",
        &["age", "cache-control", "etag", "expires", "last-modified", "pragma", "vary", "clear-site-data"],
    ),
];

/// Checks the name of the header with ids.
pub(crate) fn check(layers: &Layers) -> Result<(), Failure> {
    let tracing = &layers.settings.tracing;
    let Some(name) = &tracing.request_id_header else {
        return match tracing.request_id_response {
            true => Err(layers
                .unusable(Tracing::request_id_response())
                .because("it sends the header that --request-id-header names, which is not set")
                .hint("set --request-id-header as well")),
            false => Ok(()),
        };
    };
    let invalid = || layers.invalid(Tracing::request_id_header());
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if name.is_empty() || !is_name {
        return Err(invalid()
            .because("it is no name of a header: letters, digits and hyphens")
            .hint("X-Request-ID is what most proxies send"));
    }
    match meaning(name) {
        Some(meaning) => Err(invalid()
            .because(format!("`{name}` {meaning}, and would be replaced by an id"))
            .hint("ids need a header of their own: X-Request-ID is what most proxies send")),
        None => Ok(()),
    }
}

/// What the header of this name is for, if that is something else.
fn meaning(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let is_it = |taken: &&str| name == *taken || (taken.ends_with('-') && name.starts_with(taken));
    TAKEN.iter().find(|(_, names)| names.iter().any(is_it)).map(|(meaning, _)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::meaning;

    #[test]
    fn headers_that_mean_something_are_told_from_those_for_ids() {
        for name in [
            "Content-Length",
            "transfer-encoding",
            "Host",
            "CONNECTION",
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "traceparent",
            "TraceState",
            "Forwarded",
            "X-Forwarded-For",
            "Sec-WebSocket-Key",
            "If-None-Match",
            "Date",
        ] {
            assert!(meaning(name).is_some(), "{name}");
        }
        for name in [
            "X-Request-ID",
            "Request-Id",
            "X-Correlation-ID",
            "X-Amzn-Trace-Id",
            "X-Cloud-Trace-Context",
            "CF-Ray",
            "X-Trace",
            "Hosts",
            "Range-Id",
        ] {
            assert_eq!(meaning(name), None, "{name}");
        }
    }
}
