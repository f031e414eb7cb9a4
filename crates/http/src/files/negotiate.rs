//! Which of the encodings that a file was stored in the client gets (RFC 9110 §12.5.3): pure.

/// An encoding in which a file may be stored beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Brotli,
    Zstd,
    Gzip,
}

impl Encoding {
    /// All, the preferred one first.
    pub(super) const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// As in `Content-Encoding`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What the names of such files end in.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }

    fn is_called(self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.name()) || (self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip"))
    }
}

/// The encoding that is sent, of those that are there; `None` to send the file itself.
pub(super) fn choose(accept_encoding: &str, is_there: impl Fn(Encoding) -> bool) -> Option<Encoding> {
    let identity = quality(accept_encoding, |name| name.eq_ignore_ascii_case("identity"));
    let mut best = None;
    for encoding in Encoding::ALL.into_iter().filter(|encoding| is_there(*encoding)) {
        let own = quality(accept_encoding, |name| encoding.is_called(name));
        let wanted = own.or_else(|| quality(accept_encoding, |name| name == "*")).unwrap_or(0);
        if wanted > 0 && wanted >= identity.unwrap_or(0) && best.is_none_or(|(most, _)| wanted > most) {
            best = Some((wanted, encoding));
        }
    }
    best.map(|(_, encoding)| encoding)
}

/// The weight of the first item of this name, in thousandths.
fn quality(header: &str, is_meant: impl Fn(&str) -> bool) -> Option<u16> {
    header.split(',').find_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        is_meant(name).then(|| {
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            weight.map_or(1000, thousandths)
        })
    })
}

/// `0.75` as 750; 0 for what is no weight.
fn thousandths(weight: &str) -> u16 {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    match whole {
        "1" => 1000,
        "0" => format!("{fraction:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoding, choose};
    use proptest::prelude::{any, proptest};

    #[test]
    fn the_client_s_weights_decide_and_then_the_server() {
        use Encoding::{Brotli, Gzip, Zstd};
        for (header, expected) in [
            ("gzip, deflate, br, zstd", Some(Brotli)),
            ("gzip, zstd", Some(Zstd)),
            ("gzip", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("GZIP;Q=0.5", Some(Gzip)),
            ("br;q=0.5, gzip;q=0.9", Some(Gzip)),
            ("br;q=0, *", Some(Zstd)),
            ("*", Some(Brotli)),
            ("*;q=0", None),
            ("br;q=0", None),
            ("br;q=0.0001", None),
            ("br;q=2", None),
            ("br;q=x", None),
            ("identity, br;q=0.5", None),
            ("identity;q=0.5, br;q=0.5", Some(Brotli)),
            ("deflate", None),
            ("", None),
            ("brr, brotli", None),
            (" br ; q=1.000 ,", Some(Brotli)),
        ] {
            assert_eq!(choose(header, |_| true), expected, "{header}");
        }
    }

    #[test]
    fn only_what_is_there_is_chosen() {
        assert_eq!(choose("br, gzip", |encoding| encoding == Encoding::Gzip), Some(Encoding::Gzip));
        assert_eq!(choose("br, gzip", |_| false), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(header in any::<String>()) {
            let _ = choose(&header, |_| true);
        }
    }
}
