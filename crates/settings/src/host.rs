//! Names of hosts, as URLs have them.

use crate::{OptionValue, Rules, Shape};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};

/// Hosts by their name: one (`metrics.example.com`), all below a name (`.example.com`, and that itself), or `*` for any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPattern(String);

impl HostPattern {
    /// Exactly this host.
    #[must_use]
    pub fn exactly(name: &str) -> Self {
        Self(name.trim_end_matches('.').to_ascii_lowercase())
    }

    /// Whether a host's name, in lower case and without a dot at its end, is one of them.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_prefix('.') {
            _ if self.0 == "*" => true,
            Some(parent) => name == parent || name.ends_with(&self.0),
            None => name == self.0,
        }
    }
}

impl Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl OptionValue for HostPattern {
    const SHAPE: Shape = Shape::Text;
    const LIST_PATTERN: Option<&'static str> = Some("^( *([*]|[.]?[a-zA-Z0-9_.-]+)? *(,|$))*$");

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        let name = text.strip_prefix('.').unwrap_or(text);
        let is_name = |name: &str| {
            name.bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
        };
        let valid = text == "*" || (!name.is_empty() && !name.starts_with('.') && is_name(name));
        valid.then(|| Self::exactly(text))
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![self.to_string()]
    }

    fn value_name(_: &Rules) -> String {
        "HOSTS".into()
    }

    fn expected(_: &Rules) -> String {
        "names of hosts without a port, such as metrics.example.com, or .example.com for all below it, or *, separated by commas".into()
    }
}

#[cfg(test)]
mod tests {
    use super::HostPattern;
    use crate::{Metrics, OptionValue};

    #[test]
    fn names_match_exactly_or_below_a_parent() {
        let parse = |text| HostPattern::parse(text, &Metrics::admin_hosts().rules);
        for (pattern, name, matches) in [
            ("Metrics.Example.com", "metrics.example.com", true),
            ("metrics.example.com.", "metrics.example.com", true),
            ("example.com", "metrics.example.com", false),
            (".example.com", "metrics.example.com", true),
            (".example.com", "example.com", true),
            (".example.com", "badexample.com", false),
            ("*", "anything", true),
        ] {
            assert_eq!(parse(pattern).unwrap().matches(name), matches, "{pattern} {name}");
        }
        for wrong in ["", ".", "..a", "http://a", "a:80", "*.a", "a b", "[::1]"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
