//! What a user wrote, and what counts of it.

use crate::{
    peer::Peer,
    row::{Row, Takes},
};
use std::{collections::BTreeMap, ffi::OsString, fmt};

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the command line.
    Argv,
    /// In this environment variable.
    Variable(String),
    /// In this file of settings.
    File(String),
    /// Nowhere: it is what the peer does by itself.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argv => f.write_str("command line"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// An option as it was written once.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) row: &'static Row,
    /// The spelling: `-w`.
    pub(crate) name: String,
    /// `None` for a flag.
    pub(crate) value: Option<String>,
    /// Whether it turns a flag off.
    pub(crate) off: bool,
    pub(crate) place: Place,
}

/// An option and its value, from the highest place that has one.
#[derive(Clone, Debug)]
pub struct Item {
    pub(crate) row: &'static Row,
    /// The spelling: `-w`.
    pub(crate) name: String,
    /// One, or all of an option that takes several; none of a flag.
    pub(crate) values: Vec<String>,
    /// Whether a flag is on.
    pub(crate) on: bool,
    pub(crate) place: Place,
}

impl Item {
    /// The value, of several the last.
    pub(crate) fn value(&self) -> &str {
        self.values.last().map_or("", String::as_str)
    }

    /// As the user wrote it, as far as that is known.
    #[must_use]
    pub fn written(&self) -> String {
        let values: Vec<String> = self.values.iter().map(|value| crate::words::quoted(value)).collect();
        match &self.place {
            Place::Variable(name) if !name.ends_with("CMD_ARGS") => format!("{name}={}", values.join(" ")),
            Place::File(_) if self.values.is_empty() => {
                format!("{} = {}", self.name, if self.on { "True" } else { "False" })
            }
            Place::File(_) => format!("{} = {}", self.name, values.join(", ")),
            _ if values.is_empty() => self.name.clone(),
            _ => values.iter().map(|value| format!("{} {value}", self.name)).collect::<Vec<_>>().join(" "),
        }
    }
}

/// What counts of `said`, which begins with the highest place, and what is replaced by a higher one.
pub(crate) fn effective(said: Vec<Said>) -> (Vec<Item>, Vec<Item>) {
    let (mut items, mut replaced): (Vec<Item>, Vec<Item>) = (Vec::new(), Vec::new());
    for one in said {
        let same = items.iter_mut().find(|item| item.row.name() == one.row.name());
        match same {
            Some(item) if item.place == one.place => item.again(one),
            Some(_) => match replaced.iter_mut().find(|item| item.row.name() == one.row.name()) {
                Some(item) if item.place == one.place => item.again(one),
                _ => replaced.push(Item::from(one)),
            },
            None => items.push(Item::from(one)),
        }
    }
    (items, replaced)
}

impl From<Said> for Item {
    fn from(said: Said) -> Self {
        let Said { row, name, value, off, place } = said;
        Self { row, name, values: value.into_iter().collect(), on: !off, place }
    }
}

impl Item {
    /// The same option once more in the same place.
    fn again(&mut self, said: Said) {
        if self.row.takes == Takes::Values {
            self.values.extend(said.value);
        } else {
            self.values = said.value.into_iter().collect();
        }
        (self.on, self.name) = (!said.off, said.name);
    }
}

/// All that was written, for options whose meaning depends on others.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub(crate) peer: Peer,
    pub(crate) items: &'a [Item],
    pub(crate) variables: &'a BTreeMap<String, OsString>,
    /// The application, as the command line names it.
    pub(crate) target: Option<&'a str>,
}

impl Context<'_> {
    /// An option that was set.
    pub(crate) fn item(&self, name: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.row.is_called(name))
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.item(name).map(Item::value)
    }

    /// A whole number that was set; `None` also for what is none, of which something else complains.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.trim().parse().ok()
    }

    /// The file that settings come from.
    pub(crate) fn file(&self) -> Option<&str> {
        self.items.iter().find_map(|item| match &item.place {
            Place::File(path) => Some(path.as_str()),
            Place::Argv | Place::Variable(_) | Place::Default => None,
        })
    }

    /// Whether hostler's log is JSON, and its access log with it.
    pub(crate) fn logs_json(&self) -> bool {
        self.variable("HOSTLER_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json"))
    }

    /// A variable that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name)?.to_str().filter(|text| !text.is_empty())
    }
}
