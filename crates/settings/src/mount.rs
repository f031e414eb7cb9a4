//! Mounts of static files: routes, directories, and what is special about them.

use crate::{Immutable, OptionValue, Rules, Shape};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

/// The keys of a table, for messages and the schema.
const TABLE: &str = r#"{
    "type": "object",
    "required": ["route", "path"],
    "additionalProperties": false,
    "properties": {
        "route": { "type": "string", "pattern": "^/" },
        "path": { "type": "string" },
        "index": { "type": "string" },
        "expires": { "anyOf": [{ "type": "number", "minimum": 0 }, { "type": "string", "minLength": 1 }] },
        "headers": { "type": "object", "additionalProperties": { "type": "string" } },
        "immutable": { "enum": ["auto", "always", "never"] },
        "precompressed": { "type": "boolean" },
        "clean-urls": { "type": "boolean" },
        "fallback": { "type": "string" },
        "fallthrough": { "type": "boolean" },
        "follow-links": { "type": "boolean" },
        "hidden": { "type": "boolean" }
    }
}"#;

/// A directory whose files are served. What is `None` is as the options for all mounts say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticMount {
    /// The path of URLs, without a slash at its end: empty for all.
    pub route: String,
    /// The directory.
    pub path: PathBuf,
    /// The file that is served for a directory.
    pub index: Option<String>,
    /// How long clients may cache.
    pub expires: Option<Duration>,
    /// Headers of every response with a file.
    pub headers: Vec<HeaderLine>,
    /// Which files never change.
    pub immutable: Option<Immutable>,
    /// Whether encoded files beside a file are sent in its place.
    pub precompressed: Option<bool>,
    /// Whether `/about` is `about.html`.
    pub clean_urls: Option<bool>,
    /// The file that is served for a path without a file and without a suffix: the page of an application in the browser.
    pub fallback: Option<String>,
    /// Whether the application gets what has no file; by default if the route is `/`.
    pub fallthrough: Option<bool>,
    /// Whether symbolic links out of the directory are followed.
    pub follow_links: Option<bool>,
    /// Whether files whose names begin with a dot are served.
    pub hidden: bool,
}

/// A mount as a table has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    route: String,
    path: PathBuf,
    index: Option<String>,
    expires: Option<NumberOrText>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    immutable: Option<String>,
    precompressed: Option<bool>,
    clean_urls: Option<bool>,
    fallback: Option<String>,
    fallthrough: Option<bool>,
    follow_links: Option<bool>,
    #[serde(default)]
    hidden: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(serde_json::Number),
    Text(String),
}

impl StaticMount {
    /// A mount without settings of its own.
    #[must_use]
    pub fn new(route: String, path: PathBuf) -> Self {
        Self {
            route: route.trim_end_matches('/').to_owned(),
            path,
            index: None,
            expires: None,
            headers: Vec::new(),
            immutable: None,
            precompressed: None,
            clean_urls: None,
            fallback: None,
            fallthrough: None,
            follow_links: None,
            hidden: false,
        }
    }

    /// Whether the application gets requests for which there is no file.
    #[must_use]
    pub fn falls_through(&self) -> bool {
        self.fallthrough.unwrap_or(self.route.is_empty())
    }

    /// The route as a user would write it.
    #[must_use]
    pub fn shown_route(&self) -> &str {
        if self.route.is_empty() { "/" } else { &self.route }
    }

    fn of_table(text: &str, rules: &Rules) -> Option<Self> {
        let table: Table = serde_json::from_str(text).ok()?;
        let expires = match table.expires.map(|expires| match expires {
            NumberOrText::Number(number) => number.to_string(),
            NumberOrText::Text(text) => text,
        }) {
            Some(text) => Some(Duration::parse(&text, rules)?),
            None => None,
        };
        let immutable = match table.immutable {
            Some(word) => Some(Immutable::from_name(&word)?),
            None => None,
        };
        let headers: Option<Vec<_>> =
            table.headers.into_iter().map(|(name, value)| HeaderLine::new(&name, &value)).collect();
        Some(Self {
            index: table.index,
            expires,
            headers: headers?,
            immutable,
            precompressed: table.precompressed,
            clean_urls: table.clean_urls,
            fallback: table.fallback,
            fallthrough: table.fallthrough,
            follow_links: table.follow_links,
            hidden: table.hidden,
            ..Self::new(table.route, table.path)
        })
    }
}

impl OptionValue for StaticMount {
    const SHAPE: Shape = Shape::Text;
    const PATTERN: Option<&'static str> = Some("^/[^=]*=.+$");
    const TABLE: Option<&'static str> = Some(TABLE);

    fn parse(text: &str, rules: &Rules) -> Option<Self> {
        let mount = if text.starts_with('{') {
            Self::of_table(text, rules)?
        } else {
            let (route, path) = text.split_once('=')?;
            (route.starts_with('/') && !path.is_empty()).then(|| Self::new(route.into(), path.into()))?
        };
        Some(mount)
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![format!("{}={}", self.shown_route(), self.path.display())]
    }

    fn value_name(_: &Rules) -> String {
        "ROUTE=DIRECTORY".into()
    }

    fn expected(_: &Rules) -> String {
        "ROUTE=DIRECTORY, or a table with route, path, and any of index, expires, headers (a table of texts), immutable (auto, \
         always, never), fallback, precompressed, clean-urls, fallthrough, follow-links, hidden (true or false)"
            .into()
    }
}

/// A header that is added to responses. It is no header by which messages are framed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderLine {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// Headers that say what the message is, which only the server knows.
const REFUSED: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "date",
    "keep-alive",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl HeaderLine {
    /// `None` for what is no header (RFC 9110 §5), or one that the server decides on.
    #[must_use]
    pub fn new(name: &str, value: &str) -> Option<Self> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_name = !name.is_empty() && name.bytes().all(is_token);
        let is_value =
            value.bytes().all(|byte| byte == b'\t' || (0x20..0x7f).contains(&byte) || byte >= 0x80);
        let is_refused = REFUSED.iter().any(|refused| name.eq_ignore_ascii_case(refused));
        (is_name && is_value && !is_refused)
            .then(|| Self { name: name.to_owned(), value: value.trim().to_owned() })
    }

    /// Whether both are headers of the same name.
    #[must_use]
    pub fn is_same_name(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(&other.name)
    }
}

impl fmt::Display for HeaderLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value)
    }
}

impl OptionValue for HeaderLine {
    const SHAPE: Shape = Shape::Text;
    const PATTERN: Option<&'static str> = Some("^[^:]+:.*$");

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        let (name, value) = text.split_once(':')?;
        Self::new(name, value)
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![self.to_string()]
    }

    fn value_name(_: &Rules) -> String {
        "HEADER".into()
    }

    fn expected(_: &Rules) -> String {
        "a header as `Name: value`, but none of connection, length, range, encoding or date".into()
    }
}

#[cfg(test)]
mod tests {
    use super::{HeaderLine, StaticMount};
    use crate::{Immutable, OptionValue, Rules, StaticFiles, Unit};
    use std::time::Duration;

    const RULES: Rules = Rules { min: 0, max: u64::MAX, unit: Unit::Base };

    fn mount(text: &str) -> Option<StaticMount> {
        StaticMount::parse(text, &RULES)
    }

    #[test]
    fn a_mount_is_a_pair_or_a_table() {
        let pair = mount("/media/=/srv/media").unwrap();
        assert_eq!((pair.route.as_str(), pair.path.to_str()), ("/media", Some("/srv/media")));
        assert!(!pair.falls_through() && mount("/=/srv").unwrap().falls_through());
        let table = mount(
            r#"{"route": "/", "path": "dist", "index": "index.html", "expires": "1h", "immutable": "always",
                "headers": {"X-Frame-Options": "DENY"}, "clean-urls": true, "fallthrough": false}"#,
        )
        .unwrap();
        assert_eq!(table.expires, Some(Duration::from_secs(3600)));
        assert_eq!(table.immutable, Some(Immutable::Always));
        assert_eq!(table.headers[0].to_string(), "X-Frame-Options: DENY");
        assert!(!table.falls_through());
        assert_eq!(
            mount(r#"{"route": "/", "path": "d", "expires": 5}"#).unwrap().expires,
            Some(Duration::from_secs(5))
        );
    }

    #[test]
    fn what_is_no_mount_is_refused() {
        for text in [
            "",
            "/media",
            "media=/srv",
            "/media=",
            "{}",
            r#"{"route": "/"}"#,
            r#"{"route": "/", "path": "d", "indx": "x"}"#,
            r#"{"route": "/", "path": "d", "expires": "soon"}"#,
            r#"{"route": "/", "path": "d", "immutable": "yes"}"#,
            r#"{"route": "/", "path": "d", "headers": {"Content-Length": "1"}}"#,
            r#"{"route": "/", "path": "d", "headers": {"a b": "1"}}"#,
            r#"{"route": "/", "path": "d", "hidden": "no"}"#,
        ] {
            assert_eq!(mount(text), None, "{text}");
        }
        assert!(HeaderLine::new("X", "a\r\nb").is_none() && HeaderLine::new("", "a").is_none());
    }

    #[test]
    fn what_a_mount_leaves_out_is_as_the_options_say() {
        let line = |text| HeaderLine::parse(text, &RULES).unwrap();
        let own = StaticMount { headers: vec![line("x-a: own")], ..mount("/own=/o").unwrap() };
        let options = StaticFiles {
            route: vec!["/a/".into(), "/b".into()],
            mount: vec!["/x".into(), "/y".into()],
            dir_to_file: Some("i.html".into()),
            header: vec![line("X-A: all"), line("X-B: all")],
            mounts: vec![StaticMount { index: Some("own".into()), ..own }],
            ..StaticFiles::default()
        };
        let mounts: Vec<_> = options.all_mounts().collect();
        let routes: Vec<_> = mounts.iter().map(|mount| mount.route.as_str()).collect();
        assert_eq!(routes, ["/a", "/b", "/own"]);
        assert_eq!((mounts[0].index.as_deref(), mounts[2].index.as_deref()), (Some("i.html"), Some("own")));
        let headers: Vec<_> = mounts[2].headers.iter().map(ToString::to_string).collect();
        assert_eq!(headers, ["X-B: all", "x-a: own"]);
        assert_eq!(mounts[2].expires, Some(Duration::from_secs(86_400)));
    }
}
