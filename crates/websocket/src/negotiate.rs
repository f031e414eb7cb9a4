//! The choice of permessage-deflate and its parameters (RFC 7692 §7.1).

use crate::{Deflater, Inflater};
use std::fmt::Write;

const NAME: &str = "permessage-deflate";
const MAX_WINDOW_BITS: u8 = 15;
/// zlib cannot write raw DEFLATE with 8.
const MIN_WINDOW_BITS: u8 = 9;

/// permessage-deflate as the server's user configured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateOptions {
    /// The base-2 logarithm of the window, 9 to 15, for both directions; others are taken as the nearest.
    ///
    /// A client that does not offer `client_max_window_bits` cannot be restricted, and uses 15.
    pub window_bits: u8,
    /// Whether the window is kept from message to message (context takeover).
    pub context_takeover: bool,
}

/// The negotiated parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The value of the response's `Sec-WebSocket-Extensions`.
    pub response: String,
    server: Direction,
    client: Direction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Direction {
    window_bits: u8,
    takeover: bool,
}

impl Agreement {
    /// For what the client sends; one for each connection.
    #[must_use]
    pub fn inflater(&self) -> Inflater {
        // A larger window reads what was written with a smaller one.
        Inflater::new(self.client.window_bits.max(MIN_WINDOW_BITS), self.client.takeover)
    }

    /// For what the server sends; one for each connection.
    #[must_use]
    pub fn deflater(&self) -> Deflater {
        Deflater::new(self.server.window_bits, self.server.takeover)
    }
}

/// Chooses the first acceptable offer of permessage-deflate; `None` for no compression.
///
/// `offers` are the values of the request's `Sec-WebSocket-Extensions` headers (RFC 6455 §9.1). An offer with
/// parameters that are unknown, repeated or have a bad value is declined, as RFC 7692 §7.1 requires, and so is
/// `server_max_window_bits=8`, which zlib cannot do; the next one is tried then.
#[must_use]
pub fn agree<'a>(offers: impl Iterator<Item = &'a str>, options: DeflateOptions) -> Option<Agreement> {
    offers
        .flat_map(|value| split(value, ','))
        .filter_map(Offer::parse)
        .find_map(|offer| offer.accept(options))
}

#[derive(Debug, Default)]
struct Offer {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// 15 if the client gave no value: it can be restricted, and sets no limit itself.
    client_max_window_bits: Option<u8>,
}

impl Offer {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = split(text, ';');
        if parts.next()?.trim_matches(BLANKS) != NAME {
            return None;
        }
        let mut offer = Self::default();
        for part in parts {
            offer.set(part)?;
        }
        Some(offer)
    }

    /// `None` if the parameter makes the offer unacceptable.
    fn set(&mut self, parameter: &str) -> Option<()> {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name, Some(unquote(value.trim_matches(BLANKS))?)),
            None => (parameter, None),
        };
        let repeated = match (name.trim_matches(BLANKS), value) {
            ("server_no_context_takeover", None) => std::mem::replace(&mut self.server_no_takeover, true),
            ("client_no_context_takeover", None) => std::mem::replace(&mut self.client_no_takeover, true),
            ("server_max_window_bits", Some(value)) => {
                self.server_max_window_bits.replace(window_bits(value)?).is_some()
            }
            ("client_max_window_bits", value) => {
                let bits = value.map_or(Some(MAX_WINDOW_BITS), window_bits)?;
                self.client_max_window_bits.replace(bits).is_some()
            }
            _ => return None,
        };
        (!repeated).then_some(())
    }

    fn accept(&self, options: DeflateOptions) -> Option<Agreement> {
        let ours = options.window_bits.clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS);
        let server = Direction {
            window_bits: self.server_max_window_bits.map_or(ours, |bits| bits.min(ours)),
            takeover: options.context_takeover && !self.server_no_takeover,
        };
        if server.window_bits < MIN_WINDOW_BITS {
            return None;
        }
        let client = Direction {
            window_bits: self.client_max_window_bits.map_or(MAX_WINDOW_BITS, |bits| bits.min(ours)),
            takeover: options.context_takeover && !self.client_no_takeover,
        };
        Some(Agreement { response: self.response(server, client), server, client })
    }

    fn response(&self, server: Direction, client: Direction) -> String {
        let mut response = NAME.to_owned();
        if !server.takeover {
            response.push_str("; server_no_context_takeover");
        }
        if !client.takeover {
            response.push_str("; client_no_context_takeover");
        }
        // An offered limit must be confirmed (§7.1.2.1); an unsolicited one saves the client memory.
        if self.server_max_window_bits.is_some() || server.window_bits < MAX_WINDOW_BITS {
            let _ = write!(response, "; server_max_window_bits={}", server.window_bits);
        }
        // Less than 15 only if it was offered, as §7.1.2.2 requires.
        if client.window_bits < MAX_WINDOW_BITS {
            let _ = write!(response, "; client_max_window_bits={}", client.window_bits);
        }
        response
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

/// 8 to 15, without leading zeros (RFC 7692 §7.1.2.1).
fn window_bits(value: &str) -> Option<u8> {
    if !value.bytes().all(|byte| byte.is_ascii_digit()) || value.starts_with('0') {
        return None;
    }
    value.parse().ok().filter(|bits| (8..=MAX_WINDOW_BITS).contains(bits))
}

/// The value itself, or what is between its quotes; `None` if a quote is missing. Escapes stay: no value that
/// is accepted has one.
fn unquote(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(value),
    }
}

/// Splits at separators that are not in a quoted string (RFC 9110 §5.6.4).
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let literal = escaped;
        escaped = quoted && !literal && c == '\\';
        quoted ^= c == '"' && !literal;
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: DeflateOptions = DeflateOptions { window_bits: 15, context_takeover: true };
    const SMALL: DeflateOptions = DeflateOptions { window_bits: 11, context_takeover: false };

    fn agreed(offers: &[&str], options: DeflateOptions) -> Option<Agreement> {
        agree(offers.iter().copied(), options)
    }

    #[test]
    fn accepted() {
        for (options, offer, response) in [
            (FULL, "", ""),
            (FULL, "; client_max_window_bits", ""),
            (FULL, "; client_max_window_bits=15", ""),
            (FULL, ";client_max_window_bits=10", "; client_max_window_bits=10"),
            (FULL, "; client_max_window_bits=8", "; client_max_window_bits=8"),
            (FULL, "; client_max_window_bits=\"10\"", "; client_max_window_bits=10"),
            (FULL, " ; server_max_window_bits = \"9\" ", "; server_max_window_bits=9"),
            (FULL, "; server_max_window_bits=15", "; server_max_window_bits=15"),
            (FULL, "; server_no_context_takeover", "; server_no_context_takeover"),
            (FULL, "; client_no_context_takeover", "; client_no_context_takeover"),
            (
                FULL,
                "; client_max_window_bits; server_no_context_takeover; server_max_window_bits=12; \
                 client_no_context_takeover",
                "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12",
            ),
            (
                SMALL,
                "",
                "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11",
            ),
            (
                SMALL,
                "; client_max_window_bits; server_max_window_bits=10",
                "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; \
                 client_max_window_bits=11",
            ),
        ] {
            let agreement = agreed(&[&format!("permessage-deflate{offer}")], options);
            assert_eq!(agreement.unwrap().response, format!("permessage-deflate{response}"), "{offer}");
        }
    }

    #[test]
    fn declined() {
        for offer in [
            "",
            ",",
            "x-webkit-deflate-frame",
            "permessage-deflate2",
            "x; permessage-deflate",
            "permessage-deflate;",
            "permessage-deflate; unknown",
            "permessage-deflate; unknown=1",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=\"\"",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=010",
            "permessage-deflate; server_max_window_bits=+10",
            "permessage-deflate; server_max_window_bits=266",
            "permessage-deflate; server_max_window_bits=\"10",
            "permessage-deflate; server_max_window_bits=\"",
            "permessage-deflate; client_max_window_bits=ten",
            "permessage-deflate; client_max_window_bits=",
            "x; y=\"a, permessage-deflate\"",
            "x; y=\"\\\", permessage-deflate\"",
        ] {
            assert_eq!(agreed(&[offer], FULL), None, "{offer}");
        }
        assert_eq!(agreed(&[], FULL), None);
    }

    #[test]
    fn the_first_that_fits_is_chosen() {
        for offers in [
            &["permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10"]
                [..],
            &["x; y=\"z\\\",\", permessage-deflate; server_max_window_bits=10, permessage-deflate"],
            &["x", "permessage-deflate; what, permessage-deflate; server_max_window_bits=10"],
            &["permessage-deflate; server_max_window_bits=10", "permessage-deflate"],
        ] {
            let agreement = agreed(offers, FULL).unwrap();
            assert_eq!(agreement.response, "permessage-deflate; server_max_window_bits=10", "{offers:?}");
        }
    }

    #[test]
    fn directions_follow_the_agreement() {
        let direction = |window_bits, takeover| Direction { window_bits, takeover };
        for (options, offer, server, client) in [
            (FULL, "", direction(15, true), direction(15, true)),
            (FULL, "; server_no_context_takeover", direction(15, false), direction(15, true)),
            (FULL, "; client_no_context_takeover", direction(15, true), direction(15, false)),
            (FULL, "; server_max_window_bits=9", direction(9, true), direction(15, true)),
            (FULL, "; client_max_window_bits=9", direction(15, true), direction(9, true)),
            // The client did not say that it can be restricted.
            (SMALL, "", direction(11, false), direction(15, false)),
            (SMALL, "; client_max_window_bits", direction(11, false), direction(11, false)),
            (SMALL, "; client_max_window_bits=9", direction(11, false), direction(9, false)),
        ] {
            let agreement = agreed(&[&format!("permessage-deflate{offer}")], options).unwrap();
            assert_eq!((agreement.server, agreement.client), (server, client), "{offer}");
        }
    }

    #[test]
    fn what_is_agreed_works() {
        let offer = "permessage-deflate; client_max_window_bits=8; server_max_window_bits=9";
        for window_bits in [0, 8, 9, 15, 200] {
            let options = DeflateOptions { window_bits, context_takeover: true };
            let agreement = agreed(&[offer], options).unwrap();
            let (mut wire, mut out) = (Vec::new(), Vec::new());
            agreement.deflater().write_frame(&mut wire, crate::Opcode::Text, b"Hello");
            let mut inflater = agreement.inflater();
            inflater.inflate(&wire[2..], &mut out, 100).unwrap();
            inflater.finish(&mut out, 100).unwrap();
            assert_eq!(out, b"Hello");
        }
    }
}
