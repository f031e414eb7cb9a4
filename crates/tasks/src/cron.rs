//! Times at which tasks are enqueued by themselves.

use crate::Millis;
use croner::{
    Cron,
    parser::{CronParser, Seconds},
};
use jiff::{Timestamp, tz::TimeZone};

/// A cron expression of five fields (or six, with seconds first) in a time zone.
#[derive(Debug)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

impl Schedule {
    /// # Errors
    /// What is wrong with the expression or the name of the zone, in words.
    pub fn new(expression: &str, zone: &str) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let cron = parser
            .parse(expression)
            .map_err(|error| format!("`{expression}` is no cron expression: {error}"))?;
        let zone =
            TimeZone::get(zone).map_err(|_| format!("`{zone}` is no time zone that this machine knows"))?;
        Ok(Self { cron, zone })
    }

    /// The first time after this one; none if there is no such day.
    #[must_use]
    pub fn next(&self, after: Millis) -> Option<Millis> {
        let after = Timestamp::from_millisecond(after).ok()?.to_zoned(self.zone.clone());
        self.cron.find_next_occurrence(&after, false).ok().map(|next| next.timestamp().as_millisecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Millis {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn next(expression: &str, zone: &str, after: &str) -> String {
        let next = Schedule::new(expression, zone).unwrap().next(at(after)).unwrap();
        Timestamp::from_millisecond(next).unwrap().to_string()
    }

    #[test]
    fn the_next_time_is_after_the_given_one() {
        assert_eq!(next("*/5 * * * *", "UTC", "2026-11-22T23:04:59.5Z"), "2026-11-22T23:05:00Z");
        assert_eq!(next("*/5 * * * *", "UTC", "2026-11-22T23:05:00Z"), "2026-11-22T23:10:00Z");
        assert_eq!(next("*/2 * * * * *", "UTC", "2026-11-22T23:05:00Z"), "2026-11-22T23:05:02Z");
        assert_eq!(next("0 0 1 1 *", "UTC", "2026-11-22T23:05:00Z"), "2027-01-01T00:00:00Z");
    }

    #[test]
    fn a_night_with_a_change_of_clocks_has_each_tick_once() {
        // 02:30 does not exist on 2026-03-29 in Berlin, and exists twice on 2026-10-25.
        let spring = next("30 2 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z");
        assert!(spring.starts_with("2026-03-29T01:") || spring.starts_with("2026-03-30T00:30"), "{spring}");
        let first = next("30 2 * * *", "Europe/Berlin", "2026-10-24T22:00:00Z");
        assert_eq!(first, "2026-10-25T00:30:00Z");
        assert_eq!(next("30 2 * * *", "Europe/Berlin", &first), "2026-10-26T01:30:00Z");
    }

    #[test]
    fn what_is_no_expression_is_named() {
        assert!(Schedule::new("* * *", "UTC").unwrap_err().contains("`* * *` is no cron expression"));
        assert!(Schedule::new("61 * * * *", "UTC").is_err());
        assert!(Schedule::new("* * * * *", "Mars/Base").unwrap_err().contains("Mars/Base"));
        assert_eq!(Schedule::new("0 0 30 2 *", "UTC").unwrap().next(0), None);
    }
}
