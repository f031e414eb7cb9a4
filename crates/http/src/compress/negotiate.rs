//! What a client accepts (RFC 9110 §12.5.3).

use super::Coding;
use hyper::{HeaderMap, header::ACCEPT_ENCODING};

/// The codings that there are, the one that is taken among equals first: at the default levels, zstd takes a third of gzip's
/// time and a tenth more bytes, brotli twice its time for no fewer bytes (docs/COMPRESSION.md has what was measured).
const CODINGS: [Coding; 3] = [Coding::Zstd, Coding::Gzip, Coding::Brotli];

/// The coding that the client prefers; `None` if it prefers none, or says nothing.
pub(super) fn coding(headers: &HeaderMap) -> Option<Coding> {
    let mut weights = Weights::default();
    for value in headers.get_all(ACCEPT_ENCODING) {
        value.to_str().ok()?.split(',').for_each(|part| weights.read(part));
    }
    let weight = |coding: Coding| weights.codings[coding as usize].or(weights.any).unwrap_or(0);
    // The first of the greatest.
    let best = CODINGS.into_iter().rev().max_by_key(|coding| weight(*coding))?;
    (weight(best) > 0 && weight(best) >= weights.identity.unwrap_or(0)).then_some(best)
}

/// Weights in thousandths; `None` is "not named".
#[derive(Default)]
struct Weights {
    codings: [Option<u16>; 3],
    identity: Option<u16>,
    any: Option<u16>,
}

impl Weights {
    fn read(&mut self, part: &str) {
        let (name, parameters) = part.split_once(';').unwrap_or((part, ""));
        // A weight that is none of the specification's says nothing.
        let Some(weight) = weight(parameters) else { return };
        let place = match name.trim().to_ascii_lowercase().as_str() {
            "zstd" => &mut self.codings[Coding::Zstd as usize],
            "br" => &mut self.codings[Coding::Brotli as usize],
            "gzip" | "x-gzip" => &mut self.codings[Coding::Gzip as usize],
            "identity" => &mut self.identity,
            "*" => &mut self.any,
            _ => return,
        };
        *place = Some(weight);
    }
}

/// `q=0.5` in thousandths; 1 without it (RFC 9110 §12.4.2).
fn weight(parameters: &str) -> Option<u16> {
    let parameters = parameters.trim();
    if parameters.is_empty() {
        return Some(1000);
    }
    let text = parameters.strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('=')?.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Coding, coding};
    use hyper::HeaderMap;
    use proptest::prelude::*;

    fn of(values: &[&str]) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("accept-encoding", value.parse().unwrap());
        }
        coding(&headers)
    }

    #[test]
    fn the_coding_of_the_greatest_weight_is_taken_and_zstd_among_equals() {
        assert_eq!(of(&["gzip, deflate, br, zstd"]), Some(Coding::Zstd));
        assert_eq!(of(&["gzip, br"]), Some(Coding::Gzip));
        assert_eq!(of(&["br, gzip;q=0.9"]), Some(Coding::Brotli));
        assert_eq!(of(&["gzip;q=1.0, br;q=0.8, zstd;q=0"]), Some(Coding::Gzip));
        assert_eq!(of(&["GZIP"]), Some(Coding::Gzip));
        assert_eq!(of(&["br;q=0.2", "x-gzip ; Q = 0.3"]), Some(Coding::Gzip));
        assert_eq!(of(&["*"]), Some(Coding::Zstd));
        assert_eq!(of(&["*;q=0.1, zstd;q=0"]), Some(Coding::Gzip));
    }

    #[test]
    fn a_client_that_accepts_none_gets_none() {
        for values in [
            &[][..],
            &[""],
            &["identity"],
            &["deflate"],
            &["*;q=0"],
            &["gzip;q=0"],
            &["gzip;q=0.000, br;q=0"],
            &["gzip;q=0.5, identity"],
            &["gzip;q=2"],
            &["gzip;q=1.001"],
            &["gzip;q=0.1234"],
            &["gzip;level=9"],
        ] {
            assert_eq!(of(values), None, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(value in "[ -~]{0,60}") {
            let _ = of(&[&value]);
        }
    }
}
