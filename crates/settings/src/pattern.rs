//! Patterns of file names: globs, and regular expressions.

use crate::{OptionValue, Rules, Shape};
use regex_lite::Regex;
use serde::{Deserialize, Serialize};

/// A glob: `*` stands for any part of a name, `?` for one character, `[a-z]` and `[!a-z]` for one of some, and `**` for names and
/// slashes as well. It is compared with the end of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glob(pub String);

/// A regular expression that occurs in a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamePattern(pub String);

impl Glob {
    /// What matches a path; `None` if it is no glob.
    #[must_use]
    pub fn regex(&self) -> Option<Regex> {
        let glob = self.0.trim_end_matches('/');
        let glob = glob.strip_prefix("./").unwrap_or(glob);
        if glob.is_empty() {
            return None;
        }
        Regex::new(&format!("(?s)(?:^|/){}$", translated(glob.trim_start_matches('/')))).ok()
    }
}

/// A glob as a regular expression.
fn translated(glob: &str) -> String {
    let mut regex = String::new();
    let mut rest = glob;
    while let Some(first) = rest.chars().next() {
        let (part, length) = match first {
            '*' if rest.starts_with("**/") => ("(?:.*/)?".to_owned(), 3),
            '*' if rest.starts_with("**") => (".*".to_owned(), 2),
            '*' => ("[^/]*".to_owned(), 1),
            '?' => ("[^/]".to_owned(), 1),
            '[' => set(rest).unwrap_or_else(|| (r"\[".to_owned(), 1)),
            other => (regex_lite::escape(other.encode_utf8(&mut [0; 4])), other.len_utf8()),
        };
        regex.push_str(&part);
        rest = &rest[length..];
    }
    regex
}

/// `[a-z]` at the beginning of a text, and its length.
fn set(text: &str) -> Option<(String, usize)> {
    let negated = text.starts_with("[!");
    let start = if negated { 2 } else { 1 };
    // A bracket at the beginning is one of the characters.
    let first = text[start..].chars().next()?;
    let end = text[start + first.len_utf8()..].find(']')? + start + first.len_utf8();
    let characters: String = text[start..end]
        .chars()
        .map(|each| match each {
            '\\' | '[' | ']' | '^' | '&' | '~' => format!("\\{each}"),
            other => other.to_string(),
        })
        .collect();
    let sign = if negated { "^" } else { "" };
    Some((format!("[{sign}{characters}]"), end + 1))
}

impl NamePattern {
    /// What is searched in a name; `None` if it is no regular expression.
    #[must_use]
    pub fn regex(&self) -> Option<Regex> {
        Regex::new(&self.0).ok()
    }
}

impl OptionValue for Glob {
    const SHAPE: Shape = Shape::Text;
    const PATTERN: Option<&'static str> = Some(".");

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        let glob = Self(text.to_owned());
        glob.regex().is_some().then_some(glob)
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![self.0.clone()]
    }

    fn value_name(_: &Rules) -> String {
        "GLOB".into()
    }

    fn expected(_: &Rules) -> String {
        "a glob, as *.html".into()
    }
}

impl OptionValue for NamePattern {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        let pattern = Self(text.to_owned());
        pattern.regex().is_some().then_some(pattern)
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![self.0.clone()]
    }

    fn value_name(_: &Rules) -> String {
        "REGEX".into()
    }

    fn expected(_: &Rules) -> String {
        "a regular expression, as ^tmp".into()
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    fn matches(glob: &str, path: &str) -> bool {
        Glob(glob.into()).regex().unwrap().is_match(path)
    }

    #[test]
    fn globs_match_names_and_ends_of_paths() {
        for (glob, path, expected) in [
            ("*.py", "/shop/main.py", true),
            ("*.py", "/shop/main.pyc", false),
            ("*.py", "/shop.py/main", false),
            ("main.*", "/shop/main.py", true),
            ("main.*", "/shop/domain.py", false),
            ("templates/*.html", "/shop/templates/a.html", true),
            ("templates/*.html", "/shop/templates/b/a.html", false),
            ("templates/**/*.html", "/shop/templates/b/c/a.html", true),
            ("templates/**/*.html", "/shop/templates/a.html", true),
            ("templates/**", "/shop/templates/b/c", true),
            ("./templates/", "/shop/templates", true),
            ("*.py[cod]", "/shop/a.pyc", true),
            ("*.py[!cod]", "/shop/a.pyc", false),
            ("*.py[!cod]", "/shop/a.pyi", true),
            ("[]]", "/]", true),
            ("a[", "/a[", true),
            ("?.py", "/ä.py", true),
            ("a.py", "/shop/axpy", false),
            ("(a|b)+.py", "/(a|b)+.py", true),
        ] {
            assert_eq!(matches(glob, path), expected, "{glob} {path}");
        }
        assert!(Glob(String::new()).regex().is_none());
    }

    #[test]
    fn any_text_is_a_glob_or_refused_and_nothing_panics() {
        for text in
            ["[", "[]", "[!", "[!]", "[a-", "[z-a]", "**", "*", "?", "\\", "[\\", "é[é]é", "[é", "[!é]", "/"]
        {
            if let Some(regex) = Glob(text.into()).regex() {
                let _ = regex.is_match(text);
            }
        }
    }
}
