//! Addresses, paths and modes.

use crate::{
    OptionValue, Rules, Shape,
    value::{digits, switch},
};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

/// A place to listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bind {
    /// A host name or address, and a port.
    Tcp {
        /// The host.
        host: String,
        /// The port; `None` is that of `--port`.
        port: Option<u16>,
    },
    /// A Unix socket; its name in the abstract namespace behind `@` (unix(7)).
    Unix(PathBuf),
    /// A socket that the process was started with.
    Descriptor(i32),
}

impl Bind {
    /// Whether its port is that of `--port`.
    #[must_use]
    pub const fn has_no_port(&self) -> bool {
        matches!(self, Self::Tcp { port: None, .. })
    }
}

/// Where a server takes commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlSocket {
    /// In the first directory for it that can be used.
    #[default]
    Auto,
    /// Nowhere.
    Off,
    /// At this Unix socket.
    Path(PathBuf),
}

impl OptionValue for ControlSocket {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        Some(match (switch(text), text) {
            (Some(false), _) => Self::Off,
            (Some(true), _) | (None, "auto") => Self::Auto,
            (None, path) => Self::Path(path.into()),
        })
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![match self {
            Self::Auto => "auto".into(),
            Self::Off => "off".into(),
            Self::Path(path) => path.display().to_string(),
        }]
    }

    fn value_name(_: &Rules) -> String {
        "PATH".into()
    }

    fn expected(_: &Rules) -> String {
        "a path, auto or off".into()
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => {
                let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
                write!(f, "{open}{host}{close}")?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Descriptor(number) => write!(f, "fd://{number}"),
        }
    }
}

impl OptionValue for Bind {
    const SHAPE: Shape = Shape::Text;
    const PATTERN: Option<&'static str> = Some(concat!(
        "^(unix:([^@,][^,]*|@[^,]+)|fd://[0-9]+|\\[[0-9a-fA-F:.]+(%[0-9a-zA-Z._-]+)?\\](:[0-9]+)?|[0-9a-zA-Z._-]*:[0-9]+",
        "|[0-9a-zA-Z._-]*[a-zA-Z][0-9a-zA-Z._-]*|[0-9]+([.][0-9]+){3}",
        "|[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$"
    ));

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            // Several addresses are a list, which has commas in the environment only.
            return (!matches!(path, "" | "@") && !path.contains(','))
                .then(|| Self::Unix(PathBuf::from(path)));
        }
        if let Some(number) = text.strip_prefix("fd://") {
            return digits(number)?.try_into().ok().map(Self::Descriptor);
        }
        let (host, port) = host_and_port(text)?;
        let port = port.map(|port| digits(port)?.try_into().ok());
        // A port that is no number is no port, and none at all is one.
        port.is_none_or(|port| port.is_some())
            .then(|| Self::Tcp { host: host.to_owned(), port: port.flatten() })
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![self.to_string()]
    }

    fn value_name(_: &Rules) -> String {
        "ADDRESS".into()
    }

    fn expected(_: &Rules) -> String {
        "HOST:PORT, HOST, :PORT, [V6]:PORT, unix:PATH, unix:@NAME or fd://N, without commas".into()
    }
}

/// Host and port of `host:port`, `host`, `:port`, `[v6]:port`, `[v6]` and `v6`.
fn host_and_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let is_v6 = host.split('%').next()?.parse::<Ipv6Addr>().is_ok();
        let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?) };
        return is_v6.then_some((host, port));
    }
    let parts = text.rsplit_once(':');
    if text.parse::<Ipv6Addr>().is_ok() {
        // `::1:8000` is an address, and may be meant as another one with a port.
        let ambiguous =
            parts.is_some_and(|(host, port)| host.parse::<Ipv6Addr>().is_ok() && digits(port).is_some());
        return (!ambiguous).then_some((text, None));
    }
    let is_name =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    match parts {
        Some(("", port)) => Some(("0.0.0.0", Some(port))),
        Some((host, port)) => is_name(host).then_some((host, Some(port))),
        None => {
            let has_letter = text.bytes().any(|byte| byte.is_ascii_alphabetic());
            (is_name(text) && has_letter || text.parse::<Ipv4Addr>().is_ok()).then_some((text, None))
        }
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
    const LIST_PATTERN: Option<&'static str> = Some("^ *(/[^,]*)?(, *(/[^,]*)?)*$");

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
        let all = [
            "localhost:80",
            "[::1]:8000",
            "unix:/run/a.sock",
            "unix:@a",
            "fd://3",
            "fd://0",
            "[fe80::1%eth0]:80",
        ];
        for text in all.into_iter().chain(["localhost", "10.0.0.1", "[::]", "my-host.example"]) {
            assert_eq!(Bind::parse(text, &ANY).map(|bind| bind.to_string()).as_deref(), Some(text));
        }
        let tcp = |host: &str, port| Some(Bind::Tcp { host: host.into(), port });
        assert_eq!(Bind::parse(":80", &ANY), tcp("0.0.0.0", Some(80)));
        assert_eq!(Bind::parse("::1", &ANY), tcp("::1", None));
        assert_eq!(Bind::parse("2001:db8::a", &ANY), tcp("2001:db8::a", None));
        let wrong = [
            "",
            "80",
            "a:b",
            "a:65536",
            "a:+80",
            "a:",
            ":",
            "unix:",
            "unix:@",
            "unix:/a,127.0.0.1:80",
            "fd://+3",
            "fd://x",
            "fd://-1",
        ];
        for wrong in
            wrong.into_iter().chain(["::1:8000", "[::1", "[a]:80", "[::1]80", "a b", "a/b:80", "1.2.3", "é"])
        {
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
