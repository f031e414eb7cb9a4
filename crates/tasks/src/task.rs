//! What a task is.

use crate::{Backoff, Rate};
use serde::{Deserialize, Serialize, de::Error as _};
use std::{fmt, str::FromStr};

/// Milliseconds since 1970 (UTC).
pub type Millis = i64;

/// A day.
pub(crate) const DAY: Millis = 24 * 60 * 60 * 1000;

/// Which task: 16 bytes that its client chose (UUID version 7, RFC 9562), so that it may send the task twice and have it once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub [u8; 16]);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is no id of a task.
#[derive(Debug, thiserror::Error)]
#[error("an id has 32 hexadecimal digits, with or without hyphens")]
pub struct NoId;

impl FromStr for TaskId {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        let mut bytes = [0; 16];
        let mut digits = text.bytes().filter(|byte| *byte != b'-');
        let mut digit = || digits.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(NoId);
        for byte in &mut bytes {
            let (high, low) = (digit()?, digit()?);
            *byte = u8::try_from(high * 16 + low).map_err(|_| NoId)?;
        }
        match digits.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(NoId),
        }
    }
}

impl Serialize for TaskId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Where a task is in its life. The numbers are in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum State {
    /// Waits for a worker.
    Ready = 0,
    /// Waits for its time: a countdown, the pause before a retry, its turn at a rate.
    Scheduled = 1,
    /// Waits for a worker that knows its name.
    Unknown = 2,
    /// A worker has it.
    Running = 3,
    /// Finished with a result.
    Succeeded = 4,
    /// Finished with an error, and is not tried again: a dead letter.
    Failed = 5,
    /// Was cancelled.
    Cancelled = 6,
    /// Was not started in time.
    Expired = 7,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ready,
        Self::Scheduled,
        Self::Unknown,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// Its name, as in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Scheduled => "scheduled",
            Self::Unknown => "unknown",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// Whether nothing more happens to it.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Expired)
    }
}

/// How a task is run; kept with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskOptions {
    /// How many times it is tried again after an error.
    pub retries: u32,
    /// The pause before that.
    pub backoff: Backoff,
    /// How long it may run, in milliseconds; 0 is unlimited.
    pub timeout: u64,
    /// How many start in a period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How long the result is kept, in milliseconds; 0 keeps none.
    pub keep: u64,
    /// How arguments and result are written, for the worker.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub coding: String,
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self {
            retries: 0,
            backoff: Backoff::default(),
            timeout: 0,
            rate: None,
            keep: DAY.unsigned_abs(),
            coding: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_what_it_writes_and_nothing_else() {
        let text = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(text.parse::<TaskId>().unwrap().to_string(), text);
        assert_eq!(text.replace('-', "").parse::<TaskId>().unwrap().to_string(), text);
        for wrong in [
            "",
            "0",
            &text[1..],
            &format!("{text}0"),
            &text.replace('a', "x"),
            "é1890a5dac96774bbcceb302099a8057",
        ] {
            assert!(wrong.parse::<TaskId>().is_err(), "{wrong}");
        }
    }
}
