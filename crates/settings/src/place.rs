//! Addresses, paths and modes.

use crate::{OptionValue, Rules, Shape};
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf};

/// A place to listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bind {
    /// A host name or address, and a port.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
    /// A socket that the process was started with.
    Descriptor(i32),
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Descriptor(number) => write!(f, "fd://{number}"),
        }
    }
}

impl OptionValue for Bind {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return (!path.is_empty()).then(|| Self::Unix(PathBuf::from(path)));
        }
        if let Some(number) = text.strip_prefix("fd://") {
            // Those below are standard input, output and error.
            return number.parse().ok().filter(|number| *number >= 3).map(Self::Descriptor);
        }
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = if host.is_empty() { "0.0.0.0" } else { host };
        port.parse().ok().map(|port| Self::Tcp { host: host.to_owned(), port })
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![self.to_string()]
    }

    fn value_name(_: &Rules) -> String {
        "ADDRESS".into()
    }

    fn expected(_: &Rules) -> String {
        "HOST:PORT, [V6]:PORT, unix:PATH or fd://N with N from 3".into()
    }
}

/// The mode of a file, octal if it starts with 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMode(pub u32);

impl OptionValue for FileMode {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        let radix = if text.starts_with('0') { 8 } else { 10 };
        let mode = u32::from_str_radix(text.trim_start_matches("0o"), radix).ok();
        mode.filter(|mode| *mode <= 0o7777).map(Self)
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![format!("0{:o}", self.0)]
    }

    fn value_name(_: &Rules) -> String {
        "MODE".into()
    }

    fn expected(_: &Rules) -> String {
        "a file mode, such as 0660".into()
    }
}

/// The permissions that new files do not get, in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Umask(pub u32);

impl OptionValue for Umask {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        let mask = u32::from_str_radix(text.trim_start_matches("0o"), 8).ok();
        mask.filter(|mask| *mask <= 0o777).map(Self)
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![format!("{:03o}", self.0)]
    }

    fn value_name(_: &Rules) -> String {
        "MASK".into()
    }

    fn expected(_: &Rules) -> String {
        "octal digits up to 777".into()
    }
}

/// The path of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlPath(pub String);

impl OptionValue for UrlPath {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        text.starts_with('/').then(|| Self(text.to_owned()))
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![self.0.clone()]
    }

    fn value_name(_: &Rules) -> String {
        "URL-PATH".into()
    }

    fn expected(_: &Rules) -> String {
        "a path that begins with /".into()
    }
}

/// The path that an application is mounted on, without a slash at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathPrefix(pub String);

impl OptionValue for PathPrefix {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        Some(Self(text.trim_end_matches('/').to_owned()))
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        Some(self.0.clone()).filter(|prefix| !prefix.is_empty()).into_iter().collect()
    }

    fn value_name(_: &Rules) -> String {
        "URL-PATH".into()
    }

    fn expected(_: &Rules) -> String {
        "a path".into()
    }
}

#[cfg(test)]
mod tests {
    use super::{Bind, FileMode, PathPrefix, Umask, UrlPath};
    use crate::{OptionValue, Rules, Unit};

    const ANY: Rules = Rules { min: 0, max: u64::MAX, unit: Unit::Base };

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in ["localhost:80", "[::1]:8000", "unix:/run/a.sock", "fd://3"] {
            assert_eq!(Bind::parse(text, &ANY).map(|bind| bind.to_string()).as_deref(), Some(text));
        }
        assert_eq!(Bind::parse(":80", &ANY), Some(Bind::Tcp { host: "0.0.0.0".into(), port: 80 }));
        for wrong in ["", "80", "a:b", "a:65536", "unix:", "fd://2", "fd://x"] {
            assert_eq!(Bind::parse(wrong, &ANY), None, "{wrong}");
        }
    }

    #[test]
    fn modes_masks_and_paths() {
        assert_eq!(FileMode::parse("0660", &ANY), Some(FileMode(0o660)));
        assert_eq!(FileMode::parse("0o660", &ANY), Some(FileMode(0o660)));
        assert_eq!(FileMode::parse("432", &ANY), Some(FileMode(0o660)));
        assert_eq!(FileMode::parse("010000", &ANY), None);
        assert_eq!(Umask::parse("027", &ANY), Some(Umask(0o27)));
        assert_eq!(Umask::parse("1000", &ANY), None);
        assert_eq!(UrlPath::parse("health", &ANY), None);
        assert_eq!(PathPrefix::parse("/api/", &ANY), Some(PathPrefix("/api".into())));
    }
}
