//! Environment variables as values of options.

use crate::{OptionValue, Rules, Shape};
use serde::{Deserialize, Serialize};

/// `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVariable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl OptionValue for EnvVariable {
    const SHAPE: Shape = Shape::Text;
    const PATTERN: Option<&'static str> = Some("^[^=]+=");

    fn parse(text: &str, _: &Rules) -> Option<Self> {
        let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty())?;
        Some(Self { name: name.to_owned(), value: value.to_owned() })
    }

    fn render(&self, _: &Rules) -> Vec<String> {
        vec![format!("{}={}", self.name, self.value)]
    }

    fn value_name(_: &Rules) -> String {
        "KEY=VALUE".into()
    }

    fn expected(_: &Rules) -> String {
        "a name and a value, as KEY=VALUE".into()
    }
}
