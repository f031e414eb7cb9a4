//! Any `Range`, `Accept-Encoding` and path of a request for a file, beside simple readers of the same.

use super::{
    negotiate::{Encoding, choose},
    path,
    range::{Part, Ranges, parse},
};
use crate::fuzzing::assemble_text;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

const RANGES: [&str; 16] = [
    "bytes=",
    "bytes",
    "=",
    "-",
    "0",
    "1",
    "5",
    "39",
    "40",
    "99999999999999999999",
    ",",
    ", ",
    " ",
    "\t",
    "x",
    "+",
];

/// Which bytes are asked for: one after the other, from the grammar of RFC 9110 §14.1.2.
#[test]
fn fuzz_range() {
    bolero::check!().with_max_len(40).for_each(|input: &[u8]| {
        let Some((length, input)) = input.split_first() else { return };
        let (header, length) = (assemble_text(input, &RANGES), u64::from(*length % 64));
        let found = match parse(&header, length) {
            Ranges::All => None,
            Ranges::Unsatisfiable => Some(Vec::new()),
            Ranges::Parts(parts) => {
                assert!(!parts.is_empty() && parts.len() <= 32, "{header}");
                Some(parts.into_iter().map(bytes_of).collect())
            }
        };
        assert_eq!(found, ranges(&header, length), "{header:?} of {length}");
    });
}

fn bytes_of(part: Part) -> Vec<u64> {
    (part.at..part.at + part.length).collect()
}

/// The bytes of each range; `None` for everything.
fn ranges(header: &str, length: u64) -> Option<Vec<Vec<u64>>> {
    let (unit, set) = header.split_once('=')?;
    let specs = set.split(',').map(|spec| spec.trim_matches([' ', '\t'])).filter(|spec| !spec.is_empty());
    let specs: Vec<(Option<u128>, Option<u128>)> = specs.map(bounds).collect::<Option<_>>()?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || specs.is_empty() || specs.len() > 32 {
        return None;
    }
    let is_asked = |spec: &(Option<u128>, Option<u128>), at: u64| match *spec {
        (Some(first), last) => u128::from(at) >= first && last.is_none_or(|last| u128::from(at) <= last),
        (None, suffix) => u128::from(length - at) <= suffix.unwrap_or(0),
    };
    let asked = specs.iter().map(|spec| (0..length).filter(|at| is_asked(spec, *at)).collect::<Vec<_>>());
    let asked: Vec<Vec<u64>> = asked.filter(|bytes| !bytes.is_empty()).collect();
    let total: usize = asked.iter().map(Vec::len).sum();
    (asked.len() < 2 || total as u64 <= length).then_some(asked)
}

fn bounds(spec: &str) -> Option<(Option<u128>, Option<u128>)> {
    let (first, last) = spec.split_once('-')?;
    let is_number = |text: &str| text.chars().all(|digit| digit.is_ascii_digit());
    let number = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap_or(u128::MAX));
    let digits = |text: &str| text.trim_start_matches('0').to_owned();
    let (low, high) = (digits(first), digits(last));
    let is_backwards = !last.is_empty() && (low.len(), low) > (high.len(), high);
    let is_backwards = is_backwards && !first.is_empty();
    let (is_range, first, last) = (is_number(first) && is_number(last), number(first), number(last));
    (is_range && !is_backwards && (first.is_some() || last.is_some())).then_some((first, last))
}

const ENCODINGS: [&str; 20] = [
    "gzip", "br", "zstd", "x-gzip", "GZIP", "identity", "*", "deflate", ",", ", ", ";q=0", ";q=0.5", ";q=1",
    "; Q=0.25", ";q=", "0.001", "2", " ", ";", "x",
];

/// The best weight of what is there and not worse than the file itself; of equals the one that the server prefers.
#[test]
fn fuzz_negotiation() {
    bolero::check!().with_max_len(24).for_each(|input: &[u8]| {
        let Some((there, input)) = input.split_first() else { return };
        let header = assemble_text(input, &ENCODINGS);
        let is_there = |encoding: Encoding| there & (1 << encoding as u8) != 0;
        let items: Vec<(String, u32)> = header.split(',').map(weighed).collect();
        let weight =
            |names: &[&str]| items.iter().find(|item| names.contains(&item.0.as_str())).map(|item| item.1);
        let identity = weight(&["identity"]).unwrap_or(0);
        let of = |encoding: Encoding| match encoding {
            Encoding::Gzip => weight(&["gzip", "x-gzip"]),
            other => weight(&[other.name()]),
        };
        let mut candidates: Vec<(u32, Encoding)> = Encoding::ALL
            .into_iter()
            .filter(|encoding| is_there(*encoding))
            .map(|encoding| (of(encoding).or(weight(&["*"])).unwrap_or(0), encoding))
            .filter(|(weight, _)| *weight > 0 && *weight >= identity)
            .collect();
        candidates.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        let best = candidates.first().map(|(_, encoding)| *encoding);
        assert_eq!(choose(&header, is_there), best, "{header:?} of {there:b}");
    });
}

/// A coding and its weight in thousandths, by the grammar of RFC 9110 §12.4.2.
fn weighed(item: &str) -> (String, u32) {
    let mut parts = item.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let is_weight = |text: &str| {
        let digits = text.get(2..).unwrap_or_default();
        let starts = text == "0" || text == "1" || text.starts_with("0.") || text.starts_with("1.");
        starts && digits.len() <= 3 && digits.chars().all(|digit| digit.is_ascii_digit())
    };
    let value = |text: &str| match text {
        text if !is_weight(text) => 0,
        text => (text.parse::<f64>().unwrap_or(0.0).min(1.0) * 1000.0).round() as u32,
    };
    (name, weight.map_or(1000, value))
}

const PATHS: [&str; 24] = [
    "/", "/", "/", "a", "b.css", ".", "..", "%2e", "%2E", "%2f", "%2F", "%00", "%5c", "\\", "%25", "%",
    "%c3%a9", "%ff", "%u002e", "\u{e9}", ";", "..;", "%c0%ae", "static",
];

/// A name has no part that leads elsewhere, is what a simple decoder makes of the path, and comes back from its encoded form.
#[test]
fn fuzz_path() {
    bolero::check!().with_max_len(24).for_each(|input: &[u8]| {
        let path = assemble_text(input, &PATHS);
        let name = path::decode(&path);
        assert_eq!(name.as_deref(), decoded(&path).as_deref(), "{path}");
        let Some(name) = name else { return };
        let encoded: Vec<String> =
            name.split('/').map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string()).collect();
        assert_eq!(path::decode(&format!("/{}", encoded.join("/"))), Some(name.clone()), "{path}");
        let beneath = path::beneath(&name, "static");
        let expected = name.starts_with("static/") || name == "static";
        assert_eq!(beneath.is_some(), expected, "{path}");
    });
}

fn decoded(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    let path = path.strip_prefix('/')?;
    let last = path.matches('/').count();
    for (at, part) in path.split('/').enumerate() {
        let mut escapes = part.split('%').skip(1).map(|rest| rest.as_bytes());
        let whole = |rest: &[u8]| rest.len() > 1 && rest[..2].iter().all(u8::is_ascii_hexdigit);
        let decoded = String::from_utf8(percent_decode(part.as_bytes()).collect()).ok()?;
        let is_name = !matches!(decoded.as_str(), "" | "." | "..") && !decoded.contains(['/', '\0']);
        if !escapes.all(whole) || !(is_name || part.is_empty() && at == last) {
            return None;
        }
        parts.push(decoded);
    }
    Some(parts.join("/"))
}
