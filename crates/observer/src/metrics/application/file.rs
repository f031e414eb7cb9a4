//! A file of prometheus_client: how much of it is used (an `int`, and four bytes), then for each value the length of its key, the key
//! in JSON, padded to eight bytes, the value and when it was set (two `double`s).

use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::Path,
};

/// No file is read beyond this: what is longer is no file of metrics.
const MAX_BYTES: u64 = 64 << 20;
const HEAD: usize = 8;

/// Whose values a file has: what its name says, `counter_17.db` or `gauge_livesum_17.db`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// `counter`, `gauge`, `histogram`, `summary`.
    pub(super) kind: String,
    /// How values of processes become one; of gauges only.
    pub(super) mode: Option<String>,
    pub(super) pid: String,
}

impl Source {
    pub(super) fn of(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".db")?.split('_');
        let kind = parts.next()?.to_owned();
        let mode = if kind == "gauge" { Some(parts.next()?.to_owned()) } else { None };
        Some(Self { kind, mode, pid: parts.next()?.to_owned() })
    }

    /// Whether values count only while their process runs.
    pub(super) fn is_live(&self) -> bool {
        self.mode.as_ref().is_some_and(|mode| mode.starts_with("live"))
    }

    /// Whether its process runs; an identifier that is no process is taken for one.
    pub(super) fn lives(&self) -> bool {
        self.pid.parse::<u32>().is_err() || Path::new("/proc").join(&self.pid).exists()
    }
}

/// A value of a process.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) key: Key,
    pub(super) value: f64,
    /// When it was set, in seconds since 1970; 0 if that is not known.
    pub(super) set_at: f64,
}

/// What a value is of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Key(
    /// The metric.
    pub(super) String,
    /// The sample: the metric's name, and maybe a suffix.
    pub(super) String,
    /// Labels.
    pub(super) BTreeMap<String, String>,
    /// The help text.
    pub(super) String,
);

/// All values of a file.
///
/// # Errors
/// The kernel's; `InvalidData` if it is no such file.
pub(super) fn read(path: &Path) -> io::Result<Vec<Value>> {
    let mut file = File::open(path)?;
    let mut head = [0; HEAD];
    file.read_exact(&mut head)?;
    let used = u64::from(number(&head, 0)?);
    if used > MAX_BYTES {
        return Err(invalid());
    }
    let mut bytes = Vec::new();
    file.take(used.saturating_sub(HEAD as u64)).read_to_end(&mut bytes)?;
    values(&bytes)
}

fn values(bytes: &[u8]) -> io::Result<Vec<Value>> {
    let (mut values, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let length = usize::try_from(number(bytes, at)?).map_err(io::Error::other)?;
        let from = at + 4;
        let key = bytes.get(from..from.saturating_add(length)).ok_or_else(invalid)?;
        let key: Key = serde_json::from_slice(key)?;
        let after = from + length + (8 - (length + 4) % 8);
        let (value, set_at) = (double(bytes, after)?, double(bytes, after + 8)?);
        values.push(Value { key, value, set_at });
        at = after + 16;
    }
    Ok(values)
}

fn number(bytes: &[u8], at: usize) -> io::Result<u32> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or_else(invalid)?;
    Ok(u32::from_ne_bytes(*found))
}

fn double(bytes: &[u8], at: usize) -> io::Result<f64> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or_else(invalid)?;
    Ok(f64::from_ne_bytes(*found))
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a file of prometheus_client")
}
