//! The options about workers' lives.

use crate::{error::Error, resolve::Values};
use hostler_wire::Identity;
use std::time::Duration;

/// How many workers there are, how long they live, what they may use up.
#[derive(Clone, Debug)]
pub struct Supervision {
    /// How long a worker told to drain may take.
    pub graceful_timeout: Duration,
    /// How long to serve on after the signal to stop.
    pub drain_delay: Duration,
    /// How long a worker may take to be ready.
    pub boot_timeout: Option<Duration>,
    /// How long a worker's loop may stand still.
    pub stall_timeout: Option<Duration>,
    /// The age at which a worker is replaced.
    pub lifetime: Option<Duration>,
    /// The greatest part of the lifetime that chance takes off, 0 to 1.
    pub lifetime_jitter: f64,
    /// The least time between two replacements.
    pub respawn_interval: Duration,
    /// How many workers may be replaced at a time.
    pub max_replacing: u16,
    /// Requests after which a worker is replaced.
    pub max_requests: Option<u64>,
    /// The most that chance takes off that number.
    pub max_requests_jitter: u64,
    /// Memory in KiB above which a worker is replaced.
    pub max_memory: Option<u64>,
    /// How often memory is measured.
    pub memory_interval: Duration,
    /// How many measurements in a row must be over the limit.
    pub memory_samples: u32,
}

/// Where nothing else is said.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

pub(crate) fn from_values(values: &Values) -> Result<Supervision, Error> {
    refuse_contradictions(values)?;
    let max_requests = values.int("max-requests");
    let percent = values.int("workers-lifetime-jitter").unwrap_or(0);
    Ok(Supervision {
        graceful_timeout: graceful_timeout(values),
        drain_delay: values.duration("drain-delay").unwrap_or_default(),
        boot_timeout: limit(values, "boot-timeout"),
        stall_timeout: limit(values, "stall-timeout"),
        lifetime: values.duration("workers-lifetime"),
        lifetime_jitter: f64::from(u8::try_from(percent).unwrap_or(100)) / 100.0,
        respawn_interval: values.duration("respawn-interval").unwrap_or_default(),
        max_replacing: values.int("max-replacing").and_then(|n| u16::try_from(n).ok()).unwrap_or(1),
        max_requests,
        max_requests_jitter: values.int("max-requests-jitter").unwrap_or(max_requests.unwrap_or(0) / 10),
        max_memory: values.int("workers-max-rss").map(|mebibytes| mebibytes.saturating_mul(1024)),
        memory_interval: values.duration("rss-sample-interval").unwrap_or(DEFAULT_GRACE),
        memory_samples: values.int("rss-samples").and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
    })
}

/// `--graceful-timeout`, or its other name.
pub(crate) fn graceful_timeout(values: &Values) -> Duration {
    let other = values.duration("workers-kill-timeout");
    other.or_else(|| values.duration("graceful-timeout")).unwrap_or(DEFAULT_GRACE)
}

/// A duration for which 0 is "no limit".
pub(crate) fn limit(values: &Values, name: &str) -> Option<Duration> {
    values.duration(name).filter(|limit| !limit.is_zero())
}

fn refuse_contradictions(values: &Values) -> Result<(), Error> {
    let both = |a: &str, b: &str, cause: &str| {
        let (source, text) = (values.source(a), values.text(a).unwrap_or_default());
        let other = values.text(b).unwrap_or_default();
        Error::at(&source, format!("--{a} {text} and --{b} {other} contradict each other ({source})"))
            .because(cause)
    };
    if let (Some(jitter), Some(most)) = (values.int("max-requests-jitter"), values.int("max-requests"))
        && jitter >= most
    {
        let cause = "chance must leave at least one request";
        return Err(both("max-requests-jitter", "max-requests", cause));
    }
    if values.int("max-requests-jitter").is_some() && values.int("max-requests").is_none() {
        return Err(both("max-requests-jitter", "max-requests", "there is no number of requests to vary"));
    }
    let set = |name| values.source(name) != crate::error::Source::Default;
    if set("workers-kill-timeout")
        && set("graceful-timeout")
        && values.duration("workers-kill-timeout") != values.duration("graceful-timeout")
    {
        return Err(both("workers-kill-timeout", "graceful-timeout", "they are two names of one limit"));
    }
    if let (Some(request), Some(stall)) = (limit(values, "request-timeout"), limit(values, "stall-timeout"))
        && set("stall-timeout")
        && values.text("interface") == Some("wsgi")
        && values.int("blocking-threads") == Some(1)
        && stall < request
    {
        let cause =
            "with one blocking thread a request is a standstill of the loop: it would be killed first";
        return Err(both("stall-timeout", "request-timeout", cause));
    }
    Ok(())
}

/// Whom workers run as.
pub(crate) fn identity(values: &Values) -> Result<Identity, Error> {
    let wrong = |name: &str, cause: &str| {
        let (source, text) = (values.source(name), values.text(name).unwrap_or_default());
        Error::at(&source, format!("invalid value '{text}' for --{name} ({source})")).because(cause)
    };
    let mut identity = Identity::default();
    if let Some(text) = values.text("user") {
        let account = hostler_sys::identity::find_user(text).map_err(|_| {
            wrong("user", "there is no such user").hint("name a user of /etc/passwd, or a number")
        })?;
        identity.user = Some((account.user, account.name));
        identity.home = account.home;
        identity.group = Some(account.group);
    }
    if let Some(text) = values.text("group") {
        identity.group = Some(hostler_sys::identity::find_group(text).map_err(|_| {
            wrong("group", "there is no such group").hint("name a group of /etc/group, or a number")
        })?);
    }
    if let Some(text) = values.text("umask") {
        let mask = u32::from_str_radix(text.trim_start_matches("0o"), 8).ok().filter(|mask| *mask <= 0o777);
        identity.umask = Some(mask.ok_or_else(|| wrong("umask", "it must be octal digits up to 777"))?);
    }
    if !hostler_sys::identity::is_root() && hostler_sys::identity::would_change(&identity) {
        let name = if identity.user.is_some() { "user" } else { "group" };
        return Err(wrong(name, "only root can run workers as somebody else")
            .hint("start the server as root, or leave the option out"));
    }
    Ok(identity)
}
