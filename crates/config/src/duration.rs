//! Durations as users write them: `90`, `1.5`, `500ms`, `1h30m`, `1d2h3m4s`.

use std::time::Duration;

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Reads a duration; plain numbers are seconds.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    if let Some(millis) = text.strip_suffix("ms") {
        return millis.parse().ok().map(Duration::from_millis);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Duration::try_from_secs_f64(text.parse().ok()?).ok();
    }
    let (mut seconds, mut rest, mut units) = (0u64, text, UNITS.iter());
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = (rest[..digits].parse::<u64>().ok()?, rest[digits..].chars().next()?);
        // Units come in this order, each at most once.
        let (_, size) = units.find(|(name, _)| *name == unit)?;
        seconds = seconds.checked_add(number.checked_mul(*size)?)?;
        rest = &rest[digits + 1..];
    }
    (!text.is_empty()).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn plain_numbers_are_seconds_and_units_come_in_order() {
        assert_eq!(parse("43200"), Some(Duration::from_secs(43_200)));
        assert_eq!(parse("3.5"), Some(Duration::from_millis(3_500)));
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("1d2h3m4s"), Some(Duration::from_secs(93_784)));
        assert_eq!(parse("1h30m"), Some(Duration::from_secs(5_400)));
        for wrong in ["", "x", "1.5h", "30m1h", "1h1h", "-1", "1 h", "h", "."] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
