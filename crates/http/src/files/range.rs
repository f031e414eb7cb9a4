//! Which bytes of a file are asked for (RFC 9110 §14): pure.

/// The most ranges of a request; one with more gets the whole file (RFC 9110 §14.2: "many small ranges").
const MAX_RANGES: usize = 32;

/// What a `Range` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ranges {
    /// Everything: there is no range that is understood, or there are too many.
    All,
    /// Nothing that the file has (416).
    Unsatisfiable,
    /// These parts, in the order in which they were asked for; one or more.
    Parts(Vec<Part>),
}

/// Bytes of a file; one or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) at: u64,
    pub(super) length: u64,
}

/// Reads the header for a file of this length. Several ranges that are together longer than the file get all of it
/// instead: they overlap.
pub(super) fn parse(header: &str, length: u64) -> Ranges {
    let Some((unit, set)) = header.split_once('=') else { return Ranges::All };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Ranges::All;
    }
    let (mut parts, mut asked) = (Vec::new(), 0);
    for spec in set.split(',').map(|spec| spec.trim_matches([' ', '\t'])).filter(|spec| !spec.is_empty()) {
        asked += 1;
        match part(spec, length) {
            Spec::Malformed => return Ranges::All,
            Spec::Unsatisfiable => {}
            Spec::Part(part) => parts.push(part),
        }
        if asked > MAX_RANGES {
            return Ranges::All;
        }
    }
    let total = parts.iter().fold(0_u64, |total, part| total.saturating_add(part.length));
    match parts.len() {
        _ if asked == 0 => Ranges::All,
        0 => Ranges::Unsatisfiable,
        1 => Ranges::Parts(parts),
        _ if total > length => Ranges::All,
        _ => Ranges::Parts(parts),
    }
}

enum Spec {
    Malformed,
    Unsatisfiable,
    Part(Part),
}

fn part(spec: &str, length: u64) -> Spec {
    let bounds = spec.split_once('-').and_then(|(first, last)| Some((bound(first)?, bound(last)?)));
    match bounds {
        None | Some((None, None)) => Spec::Malformed,
        Some((Some(_), Some(_))) if is_backwards(spec) => Spec::Malformed,
        Some((Some(first), _)) if first >= length => Spec::Unsatisfiable,
        Some((Some(first), last)) => {
            let last = last.unwrap_or(u64::MAX).min(length - 1);
            Spec::Part(Part { at: first, length: last - first + 1 })
        }
        // The last bytes.
        Some((None, Some(suffix))) => match suffix.min(length) {
            0 => Spec::Unsatisfiable,
            suffix => Spec::Part(Part { at: length - suffix, length: suffix }),
        },
    }
}

/// Whether the first number is greater than the last, of however many digits they are.
fn is_backwards(spec: &str) -> bool {
    let mut numbers = spec.split('-').map(|number| number.trim_start_matches('0'));
    let mut next = || numbers.next().map(|digits| (digits.len(), digits));
    next() > next()
}

/// Digits, or nothing; more than fit are the greatest number.
fn bound(text: &str) -> Option<Option<u64>> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| (!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::{Part, Ranges, parse};
    use proptest::prelude::{ProptestConfig, any, proptest};

    fn parts(parts: &[(u64, u64)]) -> Ranges {
        Ranges::Parts(parts.iter().map(|&(at, length)| Part { at, length }).collect())
    }

    #[test]
    fn ranges_are_read() {
        for (header, expected) in [
            ("bytes=0-0", parts(&[(0, 1)])),
            ("bytes=0-", parts(&[(0, 100)])),
            ("bytes=10-19", parts(&[(10, 10)])),
            ("bytes=-1", parts(&[(99, 1)])),
            ("bytes=-500", parts(&[(0, 100)])),
            ("bytes=90-500", parts(&[(90, 10)])),
            ("bytes=0-99999999999999999999999", parts(&[(0, 100)])),
            ("bytes=0010-19", parts(&[(10, 10)])),
            ("Bytes = 0-1 , 5-6", parts(&[(0, 2), (5, 2)])),
            ("bytes=,5-6,, 0-1,", parts(&[(5, 2), (0, 2)])),
            ("bytes=0-9,200-300,-1", parts(&[(0, 10), (99, 1)])),
        ] {
            assert_eq!(parse(header, 100), expected, "{header}");
        }
    }

    #[test]
    fn what_is_not_understood_is_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=a-b",
            "bytes=1-a",
            "bytes=5-1",
            "bytes=05-1",
            "bytes=99999999999999999999-88888888888888888888",
            "bytes=-",
            "bytes=--1",
            "bytes=1",
            "bytes=+1-2",
            "bytes=0x1-2",
            "items=0-1",
            "bytes=0-1,x",
            "bytes=1 - 2",
            "bytes=0-1;2-3",
        ] {
            assert_eq!(parse(header, 100), Ranges::All, "{header}");
        }
    }

    #[test]
    fn what_the_file_does_not_have_is_unsatisfiable() {
        for header in
            ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=18446744073709551616-", "bytes=200-300,-0"]
        {
            assert_eq!(parse(header, 100), Ranges::Unsatisfiable, "{header}");
        }
        assert_eq!(parse("bytes=0-", 0), Ranges::Unsatisfiable);
        assert_eq!(parse("bytes=-1", 0), Ranges::Unsatisfiable);
    }

    #[test]
    fn many_ranges_and_overlapping_ones_get_everything() {
        assert_eq!(parse(&format!("bytes={}", "0-0,".repeat(33)), 100), Ranges::All);
        assert!(matches!(parse(&format!("bytes={}", "0-0,".repeat(32)), 100), Ranges::Parts(_)));
        assert_eq!(parse("bytes=0-99,0-99", 100), Ranges::All);
        assert_eq!(parse("bytes=0-,0-0", 100), Ranges::All);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn parts_are_within_the_file_and_no_longer_in_all(
            bytes in proptest::collection::vec(proptest::sample::select(b"0123456789-, a".to_vec()), 0..40),
            length in 0_u64..1000,
        ) {
            let header = format!("bytes={}", String::from_utf8(bytes).unwrap());
            if let Ranges::Parts(parts) = parse(&header, length) {
                assert!(!parts.is_empty() && parts.iter().all(|part| part.length > 0 && part.at + part.length <= length));
                assert!(parts.iter().map(|part| part.length).sum::<u64>() <= length);
            }
        }

        #[test]
        fn nothing_panics(header in any::<String>(), length in any::<u64>()) {
            let _ = parse(&header, length);
            let _ = parse(&format!("bytes={header}"), length);
        }
    }
}
