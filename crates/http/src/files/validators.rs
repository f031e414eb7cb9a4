//! A file's validators, and what conditional requests make of them (RFC 9110 §8.8, §13): pure.

use http::{
    HeaderMap,
    header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE},
};
use std::{
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Times before this (the first days of 1980, where ZIP's time begins, or 1970) are those of reproducible builds: they say
/// nothing of the content.
const FIRST_REAL_TIME: u64 = 315_700_000;

/// What tells one content of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) length: u64,
    /// When the content was last changed, in nanoseconds since 1970.
    pub(super) modified: i128,
    /// When the file was last changed, or came to its place.
    pub(super) changed: i128,
}

/// A file's entity tag and date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validators {
    /// As in `ETag`; without one the response has none.
    pub(super) etag: String,
    /// As in `Last-Modified`: whole seconds since 1970.
    pub(super) modified: Option<u64>,
    /// The content cannot have changed without the validators (RFC 9110 §8.8.2.2).
    pub(super) is_strong: bool,
}

impl Validators {
    /// The validators of a file at this time. Within the second of its last change it may change again, unnoticed: its tag is
    /// weak then.
    pub(super) fn new(stamp: &Stamp, encoding: Option<&str>, now: SystemTime) -> Self {
        let now = nanos(now);
        let is_strong = now - stamp.modified >= 1_000_000_000;
        let modified = u64::try_from(stamp.modified.min(now) / 1_000_000_000).unwrap_or(0);
        let mut etag = String::with_capacity(48);
        let weak = if is_strong { "" } else { "W/" };
        let _ = write!(etag, "{weak}\"{:x}-{:x}", stamp.modified, stamp.length);
        let is_real = modified >= FIRST_REAL_TIME;
        if !is_real {
            let _ = write!(etag, "-{:x}", stamp.changed);
        }
        if let Some(encoding) = encoding {
            let _ = write!(etag, "-{encoding}");
        }
        etag.push('"');
        Self { etag, modified: is_real.then_some(modified), is_strong }
    }

    /// With those that an application has set itself.
    pub(super) fn replaced(self, etag: Option<&str>, modified: Option<&str>) -> Self {
        Self {
            etag: etag.map_or(self.etag, str::to_owned),
            modified: modified.and_then(date).or(self.modified),
            is_strong: self.is_strong,
        }
    }

    /// What a request asks of a file with these validators, in the order of precedence of RFC 9110 §13.2.2.
    pub(super) fn evaluate(&self, headers: &HeaderMap) -> Outcome {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if headers.contains_key(IF_MATCH) {
            if !matches_any(headers, &IF_MATCH, |tag| self.is_same(tag)) {
                return Outcome::PreconditionFailed;
            }
        } else if let (Some(modified), Some(date)) = (self.modified, text(IF_UNMODIFIED_SINCE).and_then(date))
            && modified > date
        {
            return Outcome::PreconditionFailed;
        }
        if headers.contains_key(IF_NONE_MATCH) {
            if matches_any(headers, &IF_NONE_MATCH, |tag| opaque(tag) == opaque(&self.etag)) {
                return Outcome::NotModified;
            }
        } else if let (Some(modified), Some(date)) = (self.modified, text(IF_MODIFIED_SINCE).and_then(date))
            && modified <= date
        {
            return Outcome::NotModified;
        }
        let ranged = headers.contains_key(RANGE) && text(IF_RANGE).is_none_or(|value| self.is_current(value));
        Outcome::Send { ranged: ranged && (text(IF_RANGE).is_some() || !headers.contains_key(IF_RANGE)) }
    }

    /// Whether the value of `If-Range` is this content's: a tag or a date.
    fn is_current(&self, value: &str) -> bool {
        let value = value.trim();
        if value.starts_with('"') || value.starts_with("W/") {
            return self.is_same(value);
        }
        self.is_strong && self.modified.is_some() && date(value) == self.modified
    }

    /// The strong comparison (RFC 9110 §8.8.3.2).
    fn is_same(&self, tag: &str) -> bool {
        self.etag == tag && !tag.starts_with("W/")
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The content is sent; the ranges that the request asks for, if they count.
    Send { ranged: bool },
    /// 304
    NotModified,
    /// 412
    PreconditionFailed,
}

/// A date as a header has it.
pub(super) fn http_date(seconds: u64) -> String {
    // Later ones have five digits in the year, which the format has not.
    let last = 253_402_300_799;
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(last)))
}

fn date(text: &str) -> Option<u64> {
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    Some(date.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

fn nanos(time: SystemTime) -> i128 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i128::try_from(since.as_nanos()).unwrap_or(i128::MAX),
        Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
    }
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// Whether a list of entity tags has one that matches; `*` does.
fn matches_any(headers: &HeaderMap, name: &HeaderName, matches: impl Fn(&str) -> bool) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|list| list.trim() == "*" || tags(list).any(&matches))
}

/// The entity tags of a list, up to the first that is malformed. They may contain commas.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let start = if rest.starts_with("W/\"") { 3 } else { usize::from(rest.starts_with('"')) };
        if start == 0 {
            return None;
        }
        let end = start + rest[start..].find('"')? + 1;
        let tag = &rest[..end];
        rest = &rest[end..];
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Stamp, Validators, http_date, tags};
    use http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::{any, proptest};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    const MODIFIED: u64 = 1_700_000_000;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn stamp() -> Stamp {
        let modified = i128::from(MODIFIED) * 1_000_000_000 + 5;
        Stamp { length: 10, modified, changed: modified }
    }

    fn validators() -> Validators {
        Validators::new(&stamp(), None, at(MODIFIED + 100))
    }

    fn outcome(validators: &Validators, headers: &[(&'static str, &str)]) -> Outcome {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        validators.evaluate(&map)
    }

    const WHOLE: Outcome = Outcome::Send { ranged: false };
    const RANGED: Outcome = Outcome::Send { ranged: true };

    #[test]
    fn the_tag_tells_contents_encodings_and_recent_changes_apart() {
        let strong = validators();
        assert!(strong.is_strong && strong.etag.starts_with('"'));
        assert_eq!(strong.modified, Some(MODIFIED));
        let zipped = Validators::new(&stamp(), Some("gzip"), at(MODIFIED + 100));
        let longer = Validators::new(&Stamp { length: 11, ..stamp() }, None, at(MODIFIED + 100));
        let later = Stamp { modified: stamp().modified + 1, ..stamp() };
        let later = Validators::new(&later, None, at(MODIFIED + 100));
        assert!(strong.etag != zipped.etag && strong.etag != longer.etag && strong.etag != later.etag);
        let recent = Validators::new(&stamp(), None, at(MODIFIED));
        assert_eq!(recent.etag, format!("W/{}", strong.etag));
    }

    /// Nix and images that are built reproducibly give every file the same time.
    #[test]
    fn a_time_that_says_nothing_is_no_validator() {
        let old = |changed| Stamp { modified: 1_000_000_000, changed, length: 10 };
        let (one, other) =
            (Validators::new(&old(1), None, at(MODIFIED)), Validators::new(&old(2), None, at(MODIFIED)));
        assert!(one.etag != other.etag && one.modified.is_none());
        assert_eq!(outcome(&one, &[("if-modified-since", &http_date(MODIFIED))]), WHOLE);
    }

    #[test]
    fn a_date_in_the_future_is_not_sent() {
        let now = at(MODIFIED - 50);
        let validators = Validators::new(&stamp(), None, now);
        assert_eq!((validators.modified, validators.is_strong), (Some(MODIFIED - 50), false));
    }

    #[test]
    fn conditions_have_the_precedence_of_rfc_9110() {
        let validators = validators();
        let tag = validators.etag.clone();
        let weak = format!("W/{tag}");
        let (same, before, after) = (http_date(MODIFIED), http_date(MODIFIED - 1), http_date(MODIFIED + 1));
        for (headers, expected) in [
            (vec![], WHOLE),
            (vec![("if-none-match", tag.as_str())], Outcome::NotModified),
            (vec![("if-none-match", &weak)], Outcome::NotModified),
            (vec![("if-none-match", "*")], Outcome::NotModified),
            (vec![("if-none-match", "\"other\"")], WHOLE),
            (vec![("if-none-match", "\"a,b\" , W/\"x\",, "), ("if-none-match", &tag)], Outcome::NotModified),
            (vec![("if-none-match", "other")], WHOLE),
            (vec![("if-modified-since", &same)], Outcome::NotModified),
            (vec![("if-modified-since", &after)], Outcome::NotModified),
            (vec![("if-modified-since", &before)], WHOLE),
            (vec![("if-modified-since", "yesterday")], WHOLE),
            // If-None-Match counts, If-Modified-Since does not.
            (vec![("if-none-match", "\"other\""), ("if-modified-since", &same)], WHOLE),
            (vec![("if-match", &tag)], WHOLE),
            (vec![("if-match", "*")], WHOLE),
            (vec![("if-match", "\"other\"")], Outcome::PreconditionFailed),
            (vec![("if-match", &weak)], Outcome::PreconditionFailed),
            (vec![("if-match", &tag), ("if-unmodified-since", &before)], WHOLE),
            (vec![("if-unmodified-since", &same)], WHOLE),
            (vec![("if-unmodified-since", &before)], Outcome::PreconditionFailed),
            (vec![("if-unmodified-since", "x")], WHOLE),
            (vec![("if-match", "\"other\""), ("if-none-match", &tag)], Outcome::PreconditionFailed),
            (vec![("if-match", &tag), ("if-none-match", &tag)], Outcome::NotModified),
            (vec![("range", "bytes=0-1")], RANGED),
            (vec![("range", "bytes=0-1"), ("if-range", &tag)], RANGED),
            (vec![("range", "bytes=0-1"), ("if-range", &weak)], WHOLE),
            (vec![("range", "bytes=0-1"), ("if-range", "\"other\"")], WHOLE),
            (vec![("range", "bytes=0-1"), ("if-range", &same)], RANGED),
            (vec![("range", "bytes=0-1"), ("if-range", &after)], WHOLE),
            (vec![("range", "bytes=0-1"), ("if-range", "x")], WHOLE),
            (vec![("range", "bytes=0-1"), ("if-none-match", &tag)], Outcome::NotModified),
            (vec![("if-range", &tag)], WHOLE),
        ] {
            assert_eq!(outcome(&validators, &headers), expected, "{headers:?}");
        }
    }

    /// Bytes of the old content and of the new one must not be put together.
    #[test]
    fn a_file_that_was_just_changed_is_not_continued() {
        let recent = Validators::new(&stamp(), None, at(MODIFIED));
        let date = http_date(MODIFIED);
        let range = ("range", "bytes=0-1");
        assert_eq!(outcome(&recent, &[range, ("if-range", &recent.etag)]), WHOLE);
        assert_eq!(outcome(&recent, &[range, ("if-range", &date)]), WHOLE);
        assert_eq!(outcome(&recent, &[range]), RANGED);
        assert_eq!(outcome(&recent, &[("if-none-match", &validators().etag)]), Outcome::NotModified);
    }

    #[test]
    fn lists_of_tags_are_read_up_to_what_is_malformed() {
        let read = |list| tags(list).collect::<Vec<_>>();
        assert_eq!(read("\"a\", W/\"b,c\" ,\"\""), ["\"a\"", "W/\"b,c\"", "\"\""]);
        assert_eq!(read("\"a\", b, \"c\""), ["\"a\""]);
        assert_eq!(read("\"a"), [""; 0]);
    }

    proptest! {
        #[test]
        fn nothing_panics(values in proptest::collection::vec(any::<Vec<u8>>(), 6), seconds in any::<i64>()) {
            let names = ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"];
            let mut headers = HeaderMap::new();
            for (name, value) in names.into_iter().zip(values) {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    headers.insert(HeaderName::from_static(name), value);
                }
            }
            let modified = i128::from(seconds) * 1_000_000_000;
            let stamp = Stamp { length: 1, modified, changed: 0 };
            let _ = Validators::new(&stamp, None, SystemTime::now()).evaluate(&headers);
            let _ = http_date(seconds.unsigned_abs());
        }
    }
}
