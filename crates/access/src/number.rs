//! Numbers as text, without the machinery of `std::fmt`.

use crate::line::first;

/// Numbers below a thousand: three digits, and how many of them are needed.
const DIGITS: [[u8; 4]; 1000] = {
    let mut digits = [[0; 4]; 1000];
    let mut number = 0;
    while number < 1000 {
        let needed = if number < 10 {
            1
        } else if number < 100 {
            2
        } else {
            3
        };
        digits[number] = [
            b'0' + (number / 100) as u8,
            b'0' + (number / 10 % 10) as u8,
            b'0' + (number % 10) as u8,
            needed,
        ];
        number += 1;
    }
    digits
};

const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut at = 1;
    while at < 20 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// Ten to this power.
#[inline]
pub(crate) const fn power(of: u32) -> u64 {
    POWERS[if of < 20 { of as usize } else { 19 }]
}

/// A number of up to three digits, and how many they are.
#[inline]
pub(crate) fn short(number: u64) -> Option<([u8; 4], usize)> {
    let [a, b, c, needed] = *DIGITS.get(usize::try_from(number).ok()?)?;
    let digits = u32::from_le_bytes([a, b, c, 0]) >> (8 * (3 - u32::from(needed)));
    Some((digits.to_le_bytes(), usize::from(needed)))
}

/// Appends a whole number.
#[inline]
pub(crate) fn whole(out: &mut Vec<u8>, number: u64) {
    match short(number) {
        Some((digits, length)) => first(out, &digits, length),
        None => large(out, number),
    }
}

fn large(out: &mut Vec<u8>, number: u64) {
    let mut groups = [0; 7];
    let (mut count, mut rest) = (0, number);
    while rest >= 1000 {
        groups[count] = rest % 1000;
        rest /= 1000;
        count += 1;
    }
    whole(out, rest);
    groups[..count].iter().rev().for_each(|group| first(out, &DIGITS[*group as usize], 3));
}

/// Appends a whole number with zeros in front, up to this many digits.
pub(crate) fn padded(out: &mut Vec<u8>, number: u64, digits: usize) {
    let mut limit = digits.saturating_sub(1);
    while limit > 0 && number < power(limit as u32) {
        out.push(b'0');
        limit -= 1;
    }
    whole(out, number);
}

/// Appends `number` shifted right by `scale` decimal digits, rounded to `precision` of them.
pub(crate) fn decimal(out: &mut Vec<u8>, number: u64, scale: u32, precision: u32) {
    let precision = precision.min(scale);
    let unit = power(scale - precision);
    let rounded = number.saturating_add(unit / 2) / unit;
    if precision == 0 {
        return whole(out, rounded);
    }
    let one = power(precision);
    whole(out, rounded / one);
    out.push(b'.');
    padded(out, rounded % one, precision as usize);
}

#[cfg(test)]
mod tests {
    use super::{decimal, padded, whole};
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 9, 10, 99, 100, 200, 999, 1000, 1001, 999_999, 1_000_000, 1_000_007, u64::MAX] {
            assert_eq!(text(|out| whole(out, number)), number.to_string());
        }
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_elsewhere(number in any::<u64>(), shift in 0..64_u32, digits in 0..9_usize) {
            let number = number >> shift;
            prop_assert_eq!(text(|out| whole(out, number)), number.to_string());
            prop_assert_eq!(text(|out| padded(out, number, digits)), format!("{number:0digits$}"));
        }
    }

    #[test]
    fn decimals_are_rounded() {
        assert_eq!(text(|out| decimal(out, 1_234_567, 6, 3)), "1.235");
        assert_eq!(text(|out| decimal(out, 999_600, 6, 3)), "1.000");
        assert_eq!(text(|out| decimal(out, 42_000, 9, 6)), "0.000042");
        assert_eq!(text(|out| decimal(out, 1_500, 3, 0)), "2");
        assert_eq!(text(|out| decimal(out, 5, 3, 9)), "0.005");
    }
}
