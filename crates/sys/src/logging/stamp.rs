//! The time of a line (RFC 3339, UTC).

use std::time::{SystemTime, UNIX_EPOCH};

/// The time since 1970; before that, 0.
pub(super) fn now() -> (u64, u32) {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (elapsed.as_secs(), elapsed.subsec_micros())
}

/// `2026-11-22T19:30:26.123Z`.
pub(super) fn milliseconds((seconds, micros): (u64, u32)) -> String {
    format!("{}.{:03}Z", whole(seconds), micros / 1000)
}

/// `2026-11-22T19:30:26.123456Z`.
pub(super) fn microseconds((seconds, micros): (u64, u32)) -> String {
    format!("{}.{micros:06}Z", whole(seconds))
}

fn whole(seconds: u64) -> String {
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of a day after 1970-01-01, in the Gregorian calendar. Years begin in March here, so that a leap day
/// is the last of its year.
pub(super) fn date(days: u64) -> (u64, u64, u64) {
    const IN_400_YEARS: u64 = 146_097;
    // From 0000-03-01.
    let days = days + 719_468;
    let day = days % IN_400_YEARS;
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (days / IN_400_YEARS * 400 + year + later, month, of_month)
}

#[cfg(test)]
mod tests {
    use super::{microseconds, milliseconds};

    #[test]
    fn times_of_all_kinds_of_years() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_709_251_199, "2024-02-29T23:59:59"),
            (1_795_375_826, "2026-11-22T19:30:26"),
            (4_107_542_399, "2100-02-28T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(milliseconds((seconds, 7_089)), format!("{text}.007Z"));
            assert_eq!(microseconds((seconds, 7_089)), format!("{text}.007089Z"));
        }
    }
}
