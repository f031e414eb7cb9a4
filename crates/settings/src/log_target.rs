//! Where log lines go, other than to a file.

use crate::{OptionValue, Rules, Shape, value::digits};
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf};

/// Where systemd's journal takes entries with fields.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// Where this machine's syslog daemon takes messages.
const DEV_LOG: &str = "/dev/log";
/// RFC 5426, RFC 6587.
const UDP_PORT: u16 = 514;
const TCP_PORT: u16 = 601;

/// Where log lines go, other than to a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogTarget {
    /// Standard error.
    StandardError,
    /// The journal's socket.
    Journal(PathBuf),
    /// A syslog daemon's socket.
    Local(PathBuf),
    /// A syslog daemon by UDP.
    Udp(String, u16),
    /// A syslog daemon by TCP.
    Tcp(String, u16),
}

impl LogTarget {
    /// The journal, if this machine has one.
    #[must_use]
    pub fn journal_of_this_machine() -> Option<Self> {
        std::path::Path::new(JOURNAL).exists().then(|| Self::Journal(JOURNAL.into()))
    }
}

impl fmt::Display for LogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = |f: &mut fmt::Formatter<'_>, kind: &str, host: &str, port: u16| match host.contains(':')
        {
            true => write!(f, "{kind}://[{host}]:{port}"),
            false => write!(f, "{kind}://{host}:{port}"),
        };
        match self {
            Self::StandardError => f.write_str("stderr"),
            Self::Journal(path) if path.as_os_str() == JOURNAL => f.write_str("journald"),
            Self::Journal(path) => write!(f, "journald:{}", path.display()),
            Self::Local(path) if path.as_os_str() == DEV_LOG => f.write_str("syslog"),
            Self::Local(path) => write!(f, "unix:{}", path.display()),
            Self::Udp(host, port) => address(f, "udp", host, *port),
            Self::Tcp(host, port) => address(f, "tcp", host, *port),
        }
    }
}

impl OptionValue for LogTarget {
    const SHAPE: Shape = Shape::Text;
    const PATTERN: Option<&'static str> = Some(
        "^(stderr|-|journald(:/.+)?|syslog|unix:/.+|(udp|tcp)://[^/:]+(:[0-9]+)?|(udp|tcp)://\\[[^\\]]+\\](:[0-9]+)?)?$",
    );

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        // As Gunicorn writes it: `unix:///dev/log#dgram`.
        let path = |text: &str| {
            let text = text.strip_suffix("#dgram").unwrap_or(text);
            let path = text.strip_prefix("//").unwrap_or(text);
            path.starts_with('/').then(|| PathBuf::from(path))
        };
        match text {
            "stderr" | "-" => Some(Self::StandardError),
            "journald" => Some(Self::Journal(JOURNAL.into())),
            "syslog" => Some(Self::Local(DEV_LOG.into())),
            _ => match text.split_once(':')? {
                ("journald", rest) => path(rest).map(Self::Journal),
                ("unix", rest) => path(rest).map(Self::Local),
                ("udp", rest) => host_and_port(rest, UDP_PORT).map(|(host, port)| Self::Udp(host, port)),
                ("tcp", rest) => host_and_port(rest, TCP_PORT).map(|(host, port)| Self::Tcp(host, port)),
                _ => None,
            },
        }
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![self.to_string()]
    }

    fn value_name(_: &Rules) -> String {
        "TARGET".into()
    }

    fn expected(_: &Rules) -> String {
        "stderr, journald, syslog (/dev/log), unix:/PATH, udp://HOST:PORT or tcp://HOST:PORT".into()
    }
}

fn host_and_port(text: &str, default: u16) -> Option<(String, u16)> {
    let text = text.strip_prefix("//")?;
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(default), |port| digits(port)?.try_into().ok())?;
    (!host.is_empty() && port > 0).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Log;

    #[test]
    fn targets_are_read_as_they_are_written() {
        let read = |text: &str| LogTarget::parse(text, &Log::target().rules);
        for text in [
            "stderr",
            "journald",
            "journald:/run/systemd/journal.shop/socket",
            "syslog",
            "unix:/run/log",
            "udp://localhost:514",
            "udp://[::1]:1514",
            "tcp://logs.example:601",
        ] {
            assert_eq!(read(text).expect(text).to_string(), text);
        }
        assert_eq!(read("unix:///dev/log#dgram"), read("syslog"));
        assert_eq!(read("udp://logs"), Some(LogTarget::Udp("logs".into(), 514)));
        for text in ["", "stdout", "journald:here", "udp://", "udp://a:0", "tcp:a:1", "http://a:1"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
