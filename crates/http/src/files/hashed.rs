//! Names that contain a hash of the content, so that a file of such a name never changes: pure.
//!
//! ```text
//! app.0123456789ab.css          Django's ManifestStaticFilesStorage: 12 hexadecimal digits
//! main.8e0d62a1.chunk.js        webpack, Parcel: 8 or more hexadecimal digits
//! index-BUq2f9aB.js             Vite, Rollup: 8 of base64url
//! chunk-A7KQZ2MX.js             esbuild: 8 of base32
//! ```
//! A name that is wrongly taken for one of these would be cached for a year; one that is not recognized only for as long as
//! others. So digits alone (dates, versions), words and UUIDs are none.

/// The lengths of hashes in hexadecimal digits.
const HEX: std::ops::RangeInclusive<usize> = 8..=64;
/// The length of hashes in base64url and base32.
const SHORT: usize = 8;

/// Whether the file's name contains a hash of its content.
pub(super) fn is_hashed(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or_default();
    let mut parts = file.split('.');
    // What the name begins with may end in a hash, and what it ends in is its type.
    let first = parts.next().unwrap_or_default();
    let mut parts: Vec<&str> = parts.collect();
    if parts.pop().is_none() {
        return false;
    }
    parts.iter().any(|part| is_hex(part) || after_dash(part)) || after_dash(first)
}

/// Whether the part ends in a dash and a hash.
fn after_dash(part: &str) -> bool {
    if ends_in_uuid(part) {
        return false;
    }
    if part.rsplit_once('-').is_some_and(|(_, last)| is_hex(last)) {
        return true;
    }
    // The hash itself may contain dashes.
    part.len() > SHORT
        && part.is_char_boundary(part.len() - SHORT)
        && part[..part.len() - SHORT].ends_with('-')
        && is_base64url(&part[part.len() - SHORT..])
}

fn ends_in_uuid(part: &str) -> bool {
    let lengths = [12, 4, 4, 4, 8];
    let mut groups = part.rsplit('-');
    lengths.into_iter().all(|length| {
        groups
            .next()
            .is_some_and(|group| group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit()))
    })
}

fn is_hex(part: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    HEX.contains(&part.len()) && part.bytes().all(is_digit) && has_digit_and_letter(part)
}

fn is_base64url(part: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let has = |what: fn(&u8) -> bool| part.bytes().any(|byte| what(&byte));
    let base32 = part.bytes().all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte));
    part.bytes().all(is_digit)
        && has_digit_and_letter(part)
        && (base32 || has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase))
}

fn has_digit_and_letter(part: &str) -> bool {
    part.bytes().any(|byte| byte.is_ascii_digit()) && part.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::is_hashed;
    use proptest::prelude::{any, proptest};

    #[test]
    fn hashes_of_the_common_tools_are_recognized() {
        for name in [
            "admin/css/base.0123456789ab.css",
            "staticfiles/app.5f4dcc3b5aa7.min.js",
            "main.8e0d62a1.chunk.js",
            "main.8e0d62a1.js.map",
            "assets/index-BUq2f9aB.js",
            "assets/index-B-q2f9_B.css",
            "chunk-A7KQZ2MX.js",
            "media/logo.6ce24c58023cc2f8fd88fe9d219db6c6.svg",
            "runtime-1a2b3c4d5e6f7a8b.js",
            "_next/static/chunks/framework-0e8d27528ba61906.js",
        ] {
            assert!(is_hashed(name), "{name}");
        }
    }

    #[test]
    fn dates_versions_and_words_are_none() {
        for name in [
            "report-20240131.pdf",
            "report.20240131.pdf",
            "jquery-3.7.1.min.js",
            "bootstrap-datetime.js",
            "bootstrap-Datetime.js",
            "deadbeef.js",
            "app.deadbeef.js",
            "app.8e0d62a.js",
            "README",
            "0123456789ab",
            "0123456789ab.css",
            "app.0123456789ab",
            "a8e0d62a1/app.js",
            "photo-IMG_0042.jpg",
            "uploads/550e8400-e29b-41d4-a716-44665544000a.jpg",
            "",
            ".",
        ] {
            assert!(!is_hashed(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(name in any::<String>()) {
            let _ = is_hashed(&name);
        }
    }
}
