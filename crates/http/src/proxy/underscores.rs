//! Header names with an underscore. WSGI, CGI and PHP turn `X-User` and `X_User` into one name, so that a client could send
//! the one that a proxy does not remove.

use super::Proxies;
use crate::request::refusal::Refusal;
use hostler_settings::HeaderMap as Rule;
use hyper::{HeaderMap, header::HeaderName};

const REFUSED: Refusal = Refusal::malformed("the name of a header has an underscore");

/// Whether a name has one: each request asks this of all its headers, so eight bytes are compared at a time.
#[inline]
pub(super) fn is_in(name: &[u8]) -> bool {
    let words = name.as_chunks().0;
    match (name.last_chunk(), name.first_chunk(), name.last_chunk()) {
        (Some(last), ..) => words.iter().any(|word| has_underscore(*word)) || has_underscore(*last),
        // The halves overlap.
        (None, Some([a, b, c, d]), Some([e, f, g, h])) => has_underscore([*a, *b, *c, *d, *e, *f, *g, *h]),
        _ => name.contains(&b'_'),
    }
}

/// A byte that is an underscore is zero when each is combined with one, and a zero is the lowest byte that borrows from
/// its highest bit.
#[inline]
fn has_underscore(word: [u8; 8]) -> bool {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let bytes = u64::from_ne_bytes(word) ^ u64::from_ne_bytes([b'_'; 8]);
    bytes.wrapping_sub(LOW) & !bytes & HIGH != 0
}

impl Proxies {
    /// Drops or refuses headers with an underscore, but for those that a trusted proxy may send.
    pub(super) fn map_underscores(&self, trusted: bool, headers: &mut HeaderMap) -> Result<(), Refusal> {
        if self.settings.header_map == Rule::Dangerous {
            return Ok(());
        }
        let (own, found): (Vec<HeaderName>, Vec<HeaderName>) =
            headers.keys().filter(|name| name.as_str().contains('_')).cloned().partition(|name| {
                trusted && self.settings.forwarder_headers.0.iter().any(|own| own.is_called(name.as_str()))
            });
        if self.settings.header_map == Rule::Refuse && !found.is_empty() {
            return Err(REFUSED);
        }
        // What the proxy says takes the place of what its client says by a name that is the same to WSGI.
        let twins = headers.keys().filter(|name| own.iter().any(|own| are_one(own, name)));
        for name in twins.cloned().chain(found).collect::<Vec<_>>() {
            self.once.dropped(name.as_str());
            headers.remove(name);
        }
        Ok(())
    }
}

/// Whether two names differ in hyphens and underscores alone.
fn are_one(a: &HeaderName, b: &HeaderName) -> bool {
    let (a, b) = (a.as_str(), b.as_str());
    a != b
        && a.len() == b.len()
        && a.bytes().zip(b.bytes()).all(|(a, b)| a == b || (b"-_".contains(&a) && b"-_".contains(&b)))
}

#[cfg(test)]
mod tests {
    use super::is_in;

    #[test]
    fn an_underscore_is_found_wherever_it_stands() {
        for length in 0..40 {
            // Neighbours of the underscore, and bytes beyond ASCII, are none.
            let name: Vec<u8> =
                [b'^', b'`', b'-', 0xDF, 0x00, 0xFF].into_iter().cycle().take(length).collect();
            assert!(!is_in(&name), "{length}");
            for at in 0..length {
                let mut with = name.clone();
                with[at] = b'_';
                assert!(is_in(&with), "{at} of {length}");
            }
        }
    }
}
