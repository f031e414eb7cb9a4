//! Numbers as people read them, in few columns.

/// `0`, `7.3`, `412`, `12.4k`, `3.1M`.
pub(crate) fn count(number: f64) -> String {
    match number {
        n if n >= 9_999_500.0 => format!("{:.0}M", n / 1e6),
        n if n >= 999_950.0 => format!("{:.1}M", n / 1e6),
        n if n >= 9_999.5 => format!("{:.1}k", n / 1e3),
        n if n >= 9.95 => format!("{n:.0}"),
        n if n > 0.0 => format!("{n:.1}"),
        _ => "0".into(),
    }
}

/// `512K`, `41M`, `1.2G`.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
pub(crate) fn bytes(bytes: u64) -> String {
    let kib = bytes as f64 / 1024.0;
    match kib {
        k if k >= 1024.0 * 1024.0 => format!("{:.1}G", k / 1024.0 / 1024.0),
        k if k >= 1024.0 => format!("{:.0}M", k / 1024.0),
        k => format!("{k:.0}K"),
    }
}

/// `850µs`, `12ms`, `3.4s`, `5m12s`, `3h20m`, `2d4h`.
pub(crate) fn time(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a time, and rounded")]
    let whole = seconds as u64;
    match seconds {
        s if !s.is_finite() => "more".into(),
        s if s <= 0.0 => "0".into(),
        s if s < 0.001 => format!("{:.0}µs", s * 1e6),
        s if s < 0.01 => format!("{:.1}ms", s * 1e3),
        s if s < 1.0 => format!("{:.0}ms", s * 1e3),
        s if s < 60.0 => format!("{s:.1}s"),
        s if s < 3600.0 => format!("{}m{}s", whole / 60, whole % 60),
        s if s < 86_400.0 => format!("{}h{}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d{}h", whole / 86_400, whole % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, time};

    #[test]
    fn numbers_have_few_columns() {
        assert_eq!(
            [0.0, 7.26, 412.3, 12_412.0, 3_100_000.0, 41e6].map(count),
            ["0", "7.3", "412", "12.4k", "3.1M", "41M"]
        );
        assert_eq!([1 << 19, 41 << 20, 1_300 << 20].map(bytes), ["512K", "41M", "1.3G"]);
        let times = [0.0, 0.000_85, 0.0042, 0.012, 3.44, 312.0, 12_000.0, 187_200.0, f64::INFINITY].map(time);
        assert_eq!(times, ["0", "850µs", "4.2ms", "12ms", "3.4s", "5m12s", "3h20m", "2d4h", "more"]);
    }
}
