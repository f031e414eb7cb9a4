//! W3C's trace context (Trace Context, Level 1): `traceparent` is passed through, read for the log, and made where that is
//! configured.

use hostler_sys::{facts::hexadecimal, random::mix};
use hyper::{HeaderMap, header::HeaderName, header::HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// `00-` trace id `-` parent id `-` flags.
const LENGTH: usize = 55;

/// The ids of a request's trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceContext([u8; LENGTH]);

impl TraceContext {
    /// That of a request, if it has a valid one.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut came = headers.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (came.next(), came.next()) else { return None };
        Self::parse(value.as_bytes())
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_first_chunk::<LENGTH>()?;
        let is_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
        let dashes = [head[2], head[35], head[52]] == [b'-'; 3];
        let parts = [&head[..2], &head[3..35], &head[36..52], &head[53..]];
        // A later version may have more behind a further dash; this one has not.
        let version = match (&head[..2], rest) {
            (b"ff", _) => false,
            (b"00", rest) => rest.is_empty(),
            (_, rest) => rest.is_empty() || rest[0] == b'-',
        };
        let valid =
            dashes && version && parts.into_iter().all(is_hex) && !is_zero(parts[1]) && !is_zero(parts[2]);
        valid.then_some(Self(*head))
    }

    /// Trace and parent.
    pub(crate) fn ids(&self) -> (&str, &str) {
        let text = |part| std::str::from_utf8(part).unwrap_or_default();
        (text(&self.0[3..35]), text(&self.0[36..52]))
    }

    /// Begins a trace for a request that has none, or none that is valid; what it says of its state is then of no use.
    pub(crate) fn provide(headers: &mut HeaderMap, seed: u64, now: u64) {
        if Self::of(headers).is_some() {
            return;
        }
        let trace = u128::from(mix(seed ^ now)) << 64 | u128::from(mix(seed.wrapping_add(now)));
        let parent = mix(seed.rotate_left(17) ^ now);
        let mut text = [b'-'; LENGTH];
        text[..2].copy_from_slice(b"00");
        // Zero is no id.
        text[3..35].copy_from_slice(&hexadecimal::<32>(trace.max(1)));
        text[36..52].copy_from_slice(&hexadecimal::<16>(u128::from(parent.max(1))));
        // Whether it is sampled is for the application to decide; its id is random.
        text[53..].copy_from_slice(b"00");
        headers.remove(TRACESTATE);
        if let Ok(value) = HeaderValue::from_bytes(&text) {
            headers.insert(TRACEPARENT, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{TRACEPARENT, TRACESTATE, TraceContext};
    use hyper::HeaderMap;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn ids(value: &str) -> Option<(String, String)> {
        TraceContext::parse(value.as_bytes()).map(|context| {
            let (trace, parent) = context.ids();
            (trace.to_owned(), parent.to_owned())
        })
    }

    #[test]
    fn a_valid_traceparent_is_read() {
        let expected = Some(("0af7651916cd43dd8448eb211c80319c".into(), "b7ad6b7169203331".into()));
        assert_eq!(ids(VALID), expected);
        assert_eq!(ids(&format!("cc{}-what-comes", &VALID[2..])), expected);
    }

    #[test]
    fn an_invalid_traceparent_is_none() {
        for value in [
            "",
            "00",
            &VALID[..54],
            &format!("{VALID}-more"),
            &VALID.to_uppercase(),
            &format!("ff{}", &VALID[2..]),
            &format!("cc{}x", &VALID[2..]),
            &VALID.replace('-', "_"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        ] {
            assert_eq!(ids(value), None, "{value}");
        }
    }

    #[test]
    fn a_trace_is_made_for_a_request_without_a_valid_one() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, VALID.parse().unwrap());
        headers.insert(TRACESTATE, "a=1".parse().unwrap());
        TraceContext::provide(&mut headers, 1, 2);
        assert_eq!(
            (&headers[TRACEPARENT], &headers[TRACESTATE]),
            (&VALID.parse().unwrap(), &"a=1".parse().unwrap())
        );
        headers.insert(TRACEPARENT, "broken".parse().unwrap());
        TraceContext::provide(&mut headers, 1, 2);
        assert!(TraceContext::of(&headers).is_some() && !headers.contains_key(TRACESTATE));
    }
}

#[cfg(test)]
#[path = "trace_fuzz.rs"]
mod fuzz;
