//! Addresses, paths and modes.

use crate::{OptionValue, Rules, Shape, value::digits};
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
    const PATTERN: Option<&'static str> = Some("^(unix:.+|fd://[0-9]+|.*:[0-9]+)$");

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return (!path.is_empty()).then(|| Self::Unix(PathBuf::from(path)));
        }
        if let Some(number) = text.strip_prefix("fd://") {
            // Those below are standard input, output and error.
            let number = digits(number)?.try_into().ok();
            return number.filter(|number| *number >= 3).map(Self::Descriptor);
        }
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = if host.is_empty() { "0.0.0.0" } else { host };
        Some(Self::Tcp { host: host.to_owned(), port: digits(port)?.try_into().ok()? })
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

/// The mode of a file, in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMode(pub u32);

impl OptionValue for FileMode {
    const SHAPE: Shape = Shape::Octal;
    const PATTERN: Option<&'static str> = OCTAL;

    fn parse(text: &str, rules: &Rules) -> Option<Self> {
        rules.octal(text).map(Self)
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![format!("0{:o}", self.0)]
    }

    fn value_name(_: &Rules) -> String {
        "MODE".into()
    }

    fn expected(rules: &Rules) -> String {
        format!("a file mode in octal digits up to {:o}, such as 0660", rules.max)
    }
}

/// The permissions that new files do not get, in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Umask(pub u32);

impl OptionValue for Umask {
    const SHAPE: Shape = Shape::Octal;
    const PATTERN: Option<&'static str> = OCTAL;

    fn parse(text: &str, rules: &Rules) -> Option<Self> {
        rules.octal(text).map(Self)
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![format!("{:03o}", self.0)]
    }

    fn value_name(_: &Rules) -> String {
        "MASK".into()
    }

    fn expected(rules: &Rules) -> String {
        format!("octal digits up to {:o}, such as 027", rules.max)
    }
}

/// Octal digits, or nothing, which unsets.
const OCTAL: Option<&str> = Some("^((0o)?[0-7]+)?$");

impl Rules {
    /// A number in octal, with or without `0o` in front.
    fn octal(&self, text: &str) -> Option<u32> {
        let octal = text.strip_prefix("0o").unwrap_or(text);
        let number = digits(octal).and_then(|_| u32::from_str_radix(octal, 8).ok());
        number.filter(|number| (self.min..=self.max).contains(&u64::from(*number)))
    }
}

/// A path, or nothing, which unsets.
const FROM_THE_ROOT: Option<&str> = Some("^(/|$)");

/// The path of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlPath(pub String);

impl OptionValue for UrlPath {
    const SHAPE: Shape = Shape::Text;
    const PATTERN: Option<&'static str> = FROM_THE_ROOT;

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
    const PATTERN: Option<&'static str> = FROM_THE_ROOT;

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        text.starts_with('/').then(|| Self(text.trim_end_matches('/').to_owned()))
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        Some(self.0.clone()).filter(|prefix| !prefix.is_empty()).into_iter().collect()
    }

    fn value_name(_: &Rules) -> String {
        "URL-PATH".into()
    }

    fn expected(_: &Rules) -> String {
        "a path that begins with /".into()
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
        for wrong in ["", "80", "a:b", "a:65536", "a:+80", "unix:", "fd://2", "fd://+3", "fd://x"] {
            assert_eq!(Bind::parse(wrong, &ANY), None, "{wrong}");
        }
    }

    #[test]
    fn modes_masks_and_paths() {
        let modes = Rules { max: 0o7777, ..ANY };
        for text in ["660", "0660", "0o660"] {
            assert_eq!(FileMode::parse(text, &modes), Some(FileMode(0o660)), "{text}");
        }
        for wrong in ["", "010000", "668", "+660", "0o0o660", "0o", "0x10"] {
            assert_eq!(FileMode::parse(wrong, &modes), None, "{wrong}");
        }
        let masks = Rules { max: 0o777, ..ANY };
        assert_eq!(Umask::parse("027", &masks), Some(Umask(0o27)));
        assert_eq!(Umask::parse("1000", &masks), None);
        assert_eq!(UrlPath::parse("health", &ANY), None);
        assert_eq!(PathPrefix::parse("/api/", &ANY), Some(PathPrefix("/api".into())));
        assert_eq!(PathPrefix::parse("/", &ANY), Some(PathPrefix::default()));
        assert_eq!(PathPrefix::parse("api", &ANY), None);
    }
}
