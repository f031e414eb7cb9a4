//! Durations as users write them: `90`, `1.5`, `500ms`, `1h30m`, `1d2h3m4s`.

use crate::{OptionValue, Rules, Shape, Unit, value::digits};
use std::time::Duration;

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl OptionValue for Duration {
    const SHAPE: Shape = Shape::Duration;
    const PATTERN: Option<&'static str> =
        Some("^([0-9]+([.][0-9]+)?|[0-9]+ms|([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?)$");

    fn parse(text: &str, rules: &Rules) -> Option<Self> {
        let range = of_number(rules.min, rules.unit)..=of_number(rules.max, rules.unit);
        let duration = of_decimal(text, rules.unit).or_else(|| of_units(text))?;
        range.contains(&duration).then_some(duration)
    }

    /// 0 disables a limit that may be unset.
    fn parse_optional(text: &str, rules: &Rules) -> Option<Option<Self>> {
        Some(Some(<Self as OptionValue>::parse(text, rules)?).filter(|duration| !duration.is_zero()))
    }

    fn render(&self, rules: &Rules) -> Vec<String> {
        vec![match rules.unit {
            Unit::Milliseconds => (self.as_secs_f64() * 1e3).to_string(),
            _ if self.subsec_nanos() == 0 => self.as_secs().to_string(),
            _ => self.as_secs_f64().to_string(),
        }]
    }

    fn value_name(rules: &Rules) -> String {
        if rules.unit == Unit::Milliseconds { "MILLISECONDS".into() } else { "DURATION".into() }
    }

    fn expected(rules: &Rules) -> String {
        let (unit, examples) = match rules.unit {
            Unit::Milliseconds => ("ms", "500, 1.5, 500ms or 30s"),
            _ => ("s", "90, 1.5, 500ms or 1d2h3m4s"),
        };
        format!("a duration from {} {unit} to {} {unit}, such as {examples}", rules.min, rules.max)
    }
}

fn of_number(number: u64, unit: Unit) -> Duration {
    if unit == Unit::Milliseconds { Duration::from_millis(number) } else { Duration::from_secs(number) }
}

/// A number without a unit, whole or not: it counts the option's.
fn of_decimal(text: &str, unit: Unit) -> Option<Duration> {
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let well_formed = match text.split_once('.') {
        Some((whole, fraction)) => is_digits(whole) && is_digits(fraction),
        None => is_digits(text),
    };
    let number: f64 = well_formed.then(|| text.parse().ok())??;
    let in_a_second = if unit == Unit::Milliseconds { 1e3 } else { 1.0 };
    Duration::try_from_secs_f64(number / in_a_second).ok()
}

/// `500ms`, `1h30m`.
fn of_units(text: &str) -> Option<Duration> {
    if let Some(millis) = text.strip_suffix("ms").filter(|number| !number.is_empty()) {
        return digits(millis).map(Duration::from_millis);
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
    use crate::{OptionValue, Rules, Unit};
    use std::time::Duration;

    fn parse(text: &str) -> Option<Duration> {
        OptionValue::parse(text, &Rules { min: 0, max: u64::MAX, unit: Unit::Base })
    }

    #[test]
    fn plain_numbers_are_seconds_and_units_come_in_order() {
        assert_eq!(parse("43200"), Some(Duration::from_secs(43_200)));
        assert_eq!(parse("3.5"), Some(Duration::from_millis(3_500)));
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("1d2h3m4s"), Some(Duration::from_secs(93_784)));
        assert_eq!(parse("1h30m"), Some(Duration::from_secs(5_400)));
        for wrong in
            ["", "x", "1.5h", "30m1h", "1h1h", "-1", "1 h", "h", ".", "5.", ".5", "+5", "+5ms", "ms", "1e3"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_plain_number_counts_the_options_unit() {
        let rules = Rules { min: 1, max: 60_000, unit: Unit::Milliseconds };
        let read = |text| <Duration as OptionValue>::parse(text, &rules);
        assert_eq!(read("800"), Some(Duration::from_millis(800)));
        assert_eq!(read("1.5"), Some(Duration::from_micros(1_500)));
        assert_eq!(Duration::from_micros(1_500).render(&rules), ["1.5"]);
        assert_eq!(read("2s"), Some(Duration::from_secs(2)));
        assert_eq!(read("61s"), None);
        assert_eq!(read("0"), None);
        assert_eq!(Duration::from_millis(800).render(&rules), ["800"]);
    }

    #[test]
    fn zero_disables_a_limit_that_may_be_unset() {
        let rules = Rules { min: 0, max: 60, unit: Unit::Base };
        assert_eq!(Option::<Duration>::parse("0", &rules), Some(None));
        assert_eq!(Option::<Duration>::parse("1", &rules), Some(Some(Duration::from_secs(1))));
        assert_eq!(Option::<Duration>::parse("61", &rules), None);
    }
}
