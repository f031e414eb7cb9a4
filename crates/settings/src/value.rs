//! Types that an option can have: how their values are parsed, rendered and described.

use crate::{Rules, Shape};
use std::path::PathBuf;

/// A text that is no value of the option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue(pub String);

/// A type whose values are those of an option.
pub trait OptionValue: Sized {
    /// How it is spelled.
    const SHAPE: Shape;

    /// What a text of it looks like, as a regular expression (ECMA 262); ranges, and that it is not empty, are left to [`Self::parse`].
    const PATTERN: Option<&'static str> = None;

    /// As [`Self::PATTERN`], of a text with several values between commas.
    const LIST_PATTERN: Option<&'static str> = None;
    /// The JSON schema of the table that may stand for a value in the configuration file; it arrives here as JSON.
    const TABLE: Option<&'static str> = None;

    /// Parses one text; `None` if it is invalid.
    fn parse(text: &str, rules: &Rules) -> Option<Self>;

    /// As [`Self::parse`], for an option that may be unset; `Some(None)` for a text that unsets it.
    fn parse_optional(text: &str, rules: &Rules) -> Option<Option<Self>> {
        Self::parse(text, rules).map(Some)
    }

    /// Parses the texts of one source: the last one wins, and all must be valid.
    ///
    /// # Errors
    /// The first text that is invalid.
    fn read(texts: &[String], rules: &Rules) -> Result<Self, BadValue> {
        let mut last = None;
        for text in texts {
            last = Some(Self::parse(text, rules).ok_or_else(|| BadValue(text.clone()))?);
        }
        last.ok_or_else(|| BadValue(String::new()))
    }

    /// As a user would write it; nothing for "not set".
    fn render(&self, rules: &Rules) -> Vec<String>;

    /// What stands for a value in help texts.
    fn value_name(rules: &Rules) -> String;

    /// What a value must be, after "it must be".
    fn expected(rules: &Rules) -> String;
}

impl OptionValue for bool {
    const SHAPE: Shape = Shape::Flag;

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        switch(text)
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![self.to_string()]
    }

    fn value_name(_: &Rules) -> String {
        String::new()
    }

    fn expected(_: &Rules) -> String {
        "true or false".into()
    }
}

/// What a text says of something that is on or off, in the words that people use for it.
#[must_use]
pub fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Some(true),
        "false" | "0" | "off" | "no" => Some(false),
        _ => None,
    }
}

impl OptionValue for String {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        Some(text.to_owned())
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![self.clone()]
    }

    fn value_name(_: &Rules) -> String {
        "TEXT".into()
    }

    fn expected(_: &Rules) -> String {
        "text".into()
    }
}

impl OptionValue for PathBuf {
    const SHAPE: Shape = Shape::Text;

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        Some(text.into())
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![self.display().to_string()]
    }

    fn value_name(_: &Rules) -> String {
        "PATH".into()
    }

    fn expected(_: &Rules) -> String {
        "a path".into()
    }
}

macro_rules! whole_numbers {
    ($($type:ty),+) => {$(
        impl OptionValue for $type {
            const SHAPE: Shape = Shape::Number;

            fn parse(text: &str, rules: &Rules) -> Option<Self> {
                rules.number(text)?.try_into().ok()
            }

            fn render(&self, _: &Rules) -> Vec<String> {
                vec![self.to_string()]
            }

            fn value_name(_: &Rules) -> String {
                "N".into()
            }

            fn expected(rules: &Rules) -> String {
                format!("a whole number from {} to {}", rules.min, rules.max.min(<$type>::MAX as u64))
            }
        }
    )+};
}

whole_numbers!(u8, u16, u32, u64, usize);

impl Rules {
    /// A whole number in the range.
    pub(crate) fn number(&self, text: &str) -> Option<u64> {
        digits(text).filter(|number| (self.min..=self.max).contains(number))
    }
}

/// A whole number of digits alone: no sign.
pub(crate) fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// An option that may be unset.
impl<T: OptionValue> OptionValue for Option<T> {
    const SHAPE: Shape = T::SHAPE;
    const PATTERN: Option<&'static str> = T::PATTERN;

    fn parse(text: &str, rules: &Rules) -> Option<Self> {
        T::parse_optional(text, rules)
    }

    fn render(&self, rules: &Rules) -> Vec<String> {
        self.as_ref().map(|value| value.render(rules)).unwrap_or_default()
    }

    fn value_name(rules: &Rules) -> String {
        T::value_name(rules)
    }

    fn expected(rules: &Rules) -> String {
        T::expected(rules)
    }
}

/// An option that may be given several times.
impl<T: OptionValue> OptionValue for Vec<T> {
    const SHAPE: Shape = Shape::List;
    const TABLE: Option<&'static str> = T::TABLE;
    const PATTERN: Option<&'static str> = T::PATTERN;

    fn parse(text: &str, rules: &Rules) -> Option<Self> {
        T::parse(text, rules).map(|value| vec![value])
    }

    fn read(texts: &[String], rules: &Rules) -> Result<Self, BadValue> {
        texts.iter().map(|text| T::parse(text, rules).ok_or_else(|| BadValue(text.clone()))).collect()
    }

    fn render(&self, rules: &Rules) -> Vec<String> {
        self.iter().flat_map(|value| value.render(rules)).collect()
    }

    fn value_name(rules: &Rules) -> String {
        T::value_name(rules)
    }

    fn expected(rules: &Rules) -> String {
        T::expected(rules)
    }
}

/// A list whose items are separated by commas, or given one by one; an empty text adds none.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Commas<T>(pub Vec<T>);

impl<T: Clone> From<&[T]> for Commas<T> {
    fn from(items: &[T]) -> Self {
        Self(items.to_vec())
    }
}

impl<T: OptionValue> OptionValue for Commas<T> {
    const SHAPE: Shape = Shape::List;
    const PATTERN: Option<&'static str> = T::LIST_PATTERN;

    fn parse(text: &str, rules: &Rules) -> Option<Self> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(|item| T::parse(item, rules)).collect::<Option<_>>().map(Self)
    }

    fn read(texts: &[String], rules: &Rules) -> Result<Self, BadValue> {
        let items = texts.iter().flat_map(|text| text.split(',')).map(str::trim);
        let items = items.filter(|item| !item.is_empty());
        items
            .map(|item| T::parse(item, rules).ok_or_else(|| BadValue(item.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn render(&self, rules: &Rules) -> Vec<String> {
        self.0.iter().flat_map(|value| value.render(rules)).collect()
    }

    fn value_name(rules: &Rules) -> String {
        T::value_name(rules)
    }

    fn expected(rules: &Rules) -> String {
        T::expected(rules)
    }
}
