//! Sizes, parts and counts.

use crate::{OptionValue, Rules, Shape, Unit, value::digits};
use serde::{Deserialize, Serialize};

/// A number of bytes, written as a number or with a unit: `65536`, `64KiB`, `64k`, `512MB`. All units are powers of 1024, as
/// Docker, nginx and systemd have them, and are read in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ByteSize(pub u64);

const SIZES: [(char, u32); 4] = [('k', 10), ('m', 20), ('g', 30), ('t', 40)];

/// A size of digits and a unit, or of digits alone, which count `unit` bytes.
fn size(text: &str, unit: u64) -> Option<u64> {
    let (number, name) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match name.to_ascii_lowercase().as_str() {
        "" => unit,
        "b" => 1,
        name => {
            let (prefix, rest) = (name.chars().next()?, name.get(1..)?);
            let (_, shift) = SIZES.iter().find(|(known, _)| *known == prefix)?;
            ["", "b", "i", "ib"].contains(&rest).then_some(1 << shift)?
        }
    };
    digits(number).filter(|_| !number.is_empty())?.checked_mul(unit)
}

impl ByteSize {
    /// So many kibibytes.
    #[must_use]
    pub const fn kib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 10))
    }

    /// So many mebibytes.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 20))
    }

    /// In bytes, for what is in memory.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// In kibibytes, as the kernel counts memory.
    #[must_use]
    pub const fn as_kib(self) -> u64 {
        self.0 >> 10
    }
}

impl Unit {
    const fn bytes(self) -> u64 {
        if matches!(self, Self::Mebibytes) { 1 << 20 } else { 1 }
    }
}

impl OptionValue for ByteSize {
    const SHAPE: Shape = Shape::NumberOrText;
    const PATTERN: Option<&'static str> = Some("^[0-9]+([KkMmGgTt][Ii]?[Bb]?|[Bb])?$");

    fn parse(text: &str, rules: &Rules) -> Option<Self> {
        let bytes = size(text, rules.unit.bytes())?;
        let least = rules.min.saturating_mul(rules.unit.bytes());
        let most = rules.max.saturating_mul(rules.unit.bytes());
        (least..=most).contains(&bytes).then_some(Self(bytes))
    }

    fn render(&self, rules: &Rules) -> Vec<String> {
        vec![(self.0 / rules.unit.bytes()).to_string()]
    }

    fn value_name(rules: &Rules) -> String {
        if rules.unit == Unit::Mebibytes { "MIB".into() } else { "BYTES".into() }
    }

    fn expected(rules: &Rules) -> String {
        let unit = if rules.unit == Unit::Mebibytes { "MiB" } else { "bytes" };
        format!("a size from {} to {} {unit}, as a number or with a unit such as 64MiB", rules.min, rules.max)
    }
}

/// A part of something, from 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Percent(pub u8);

impl Percent {
    /// From 0 to 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0.min(100)) / 100.0
    }
}

impl OptionValue for Percent {
    const SHAPE: Shape = Shape::Number;

    fn parse(text: &str, rules: &Rules) -> Option<Self> {
        rules.number(text)?.try_into().ok().map(Self)
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![self.0.to_string()]
    }

    fn value_name(_: &Rules) -> String {
        "PERCENT".into()
    }

    fn expected(rules: &Rules) -> String {
        u8::expected(rules)
    }
}

/// How many workers to keep alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerCount {
    /// This many.
    Fixed(u16),
    /// One per processor that the process may use.
    Auto,
    /// As many as there is work for, within bounds.
    Range {
        /// Not fewer.
        least: u16,
        /// Not more; `None` is one per processor that the process may use.
        most: Option<u16>,
    },
}

impl WorkerCount {
    /// Whether there are to be no workers, whatever there is to do.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::Fixed(0)
    }

    /// `MIN:MAX`.
    fn range(least: &str, most: &str, rules: &Rules) -> Option<Self> {
        let least = u16::parse(least, rules)?;
        if most == "auto" {
            return Some(Self::Range { least, most: None });
        }
        let most = u16::parse(most, rules).filter(|most| *most >= least)?;
        Some(if least == most { Self::Fixed(least) } else { Self::Range { least, most: Some(most) } })
    }
}

impl OptionValue for WorkerCount {
    const SHAPE: Shape = Shape::NumberOrText;
    const PATTERN: Option<&'static str> = Some("^(auto|[0-9]+(:(auto|[0-9]+))?)$");

    fn parse(text: &str, rules: &Rules) -> Option<Self> {
        match text.split_once(':') {
            Some((least, most)) => Self::range(least, most, rules),
            None if text == "auto" => Some(Self::Auto),
            None => u16::parse(text, rules).map(Self::Fixed),
        }
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![match self {
            Self::Fixed(count) => count.to_string(),
            Self::Auto => "auto".into(),
            Self::Range { least, most: Some(most) } => format!("{least}:{most}"),
            Self::Range { least, most: None } => format!("{least}:auto"),
        }]
    }

    fn value_name(_: &Rules) -> String {
        "N|MIN:MAX|auto".into()
    }

    fn expected(rules: &Rules) -> String {
        format!("auto, {}, or two of them as MIN:MAX", u16::expected(rules))
    }
}

#[cfg(test)]
mod tests {
    use super::{ByteSize, Percent, WorkerCount};
    use crate::{OptionValue, Rules, Unit};

    #[test]
    fn sizes_are_numbers_of_the_options_unit_or_have_their_own() {
        let bytes = Rules { min: 1, max: 1 << 30, unit: Unit::Base };
        assert_eq!(ByteSize::parse("65536", &bytes), Some(ByteSize::kib(64)));
        assert_eq!(ByteSize::parse("64KiB", &bytes), Some(ByteSize::kib(64)));
        for same in ["64k", "64K", "64kb", "64KB", "64Ki", "64kib", "65536", "65536B"] {
            assert_eq!(ByteSize::parse(same, &bytes), Some(ByteSize::kib(64)), "{same}");
        }
        for wrong in [
            "64bk",
            "64ki b",
            "64kibi",
            "k",
            "64é",
            "",
            "0",
            "2GiB",
            "1.5MiB",
            "1 KiB",
            "KiB",
            "-1",
            "+1",
            "99999999999999TiB",
        ] {
            assert_eq!(ByteSize::parse(wrong, &bytes), None, "{wrong}");
        }
        let mebibytes = Rules { min: 1, max: 1 << 32, unit: Unit::Mebibytes };
        assert_eq!(ByteSize::parse("300", &mebibytes), Some(ByteSize::mib(300)));
        assert_eq!(ByteSize::parse("1GiB", &mebibytes), Some(ByteSize::mib(1024)));
        assert_eq!(ByteSize::mib(300).render(&mebibytes), ["300"]);
    }

    #[test]
    fn counts_and_parts_have_ranges() {
        let rules = Rules { min: 1, max: 1024, unit: Unit::Base };
        assert_eq!(WorkerCount::parse("auto", &rules), Some(WorkerCount::Auto));
        assert_eq!(WorkerCount::parse("8", &rules), Some(WorkerCount::Fixed(8)));
        assert_eq!(WorkerCount::parse("1025", &rules), None);
        assert_eq!(WorkerCount::parse("+3", &rules), None);
        assert_eq!(
            WorkerCount::expected(&rules),
            "auto, a whole number from 1 to 1024, or two of them as MIN:MAX"
        );
        let range = |least, most| Some(WorkerCount::Range { least, most });
        for (text, expected) in [
            ("2:8", range(2, Some(8))),
            ("2:auto", range(2, None)),
            ("3:3", Some(WorkerCount::Fixed(3))),
            ("8:2", None),
            ("0:2", None),
            ("2:1025", None),
            ("auto:2", None),
            (":2", None),
            ("2:", None),
            ("1:2:3", None),
        ] {
            let parsed = WorkerCount::parse(text, &rules);
            assert_eq!(parsed, expected, "{text}");
            assert!(parsed.is_none_or(|it| WorkerCount::parse(&it.render(&rules)[0], &rules) == parsed));
        }
        let none = Rules { min: 0, ..rules };
        assert_eq!(WorkerCount::parse("0:4", &none), range(0, Some(4)));
        assert!(WorkerCount::parse("0:0", &none).is_some_and(WorkerCount::is_none));
        assert_eq!(Percent::parse("10", &Rules { min: 0, max: 100, unit: Unit::Base }), Some(Percent(10)));
        assert!((Percent(10).fraction() - 0.1).abs() < 1e-9);
    }
}
