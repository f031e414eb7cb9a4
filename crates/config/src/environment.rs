//! The environment: variables that set options, and those that look as if they did.

use crate::{layers::Given, names, source::Source};
use hostler_settings::{Declaration, Log, Settings, Shape, switch};
use hostler_wire::Failure;
use std::{collections::BTreeMap, ffi::OsString};

const PREFIX: &str = "HOSTLER_";
/// Where platforms say that a container is to listen.
pub(crate) const PORT: &str = "PORT";
/// What says whether programs write in colours.
const COLOURS: [&str; 5] = ["NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "TERM"];
/// Without the prefix: what the server sets itself, and what its tests are told.
const NO_OPTIONS: [&str; 6] = ["UPGRADE", "WORKER", "GENERATION", "BIN", "EXTENSION", "LAUNCHED_BY"];
const TESTS: &str = "TEST_";

/// The variables that concern the server.
pub(crate) struct Environment(BTreeMap<String, OsString>);

/// A variable with the server's prefix that is no option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name.
    pub name: String,
    /// What may have been meant.
    pub hint: String,
}

impl Environment {
    pub(crate) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let common: Vec<_> = Settings::options().filter_map(|option| option.common_env).collect();
        let named = variables.into_iter().map(|(name, value)| (name.to_string_lossy().into_owned(), value));
        let ours = named.filter(|(name, value)| {
            let concerns = name.starts_with(PREFIX)
                || name == PORT
                || COLOURS.contains(&name.as_str())
                || common.contains(&name.as_str())
                || hostler_peers::peer_of_variable(name).is_some();
            concerns && !is_service_link(name, value)
        });
        Self(ours.collect())
    }

    /// What the environment sets.
    pub(crate) fn layer(&self) -> Result<Vec<Given>, Failure> {
        let options = Settings::options().filter(|option| !option.argv_only);
        options.filter_map(|option| self.given(option).transpose()).collect()
    }

    fn given(&self, option: &'static Declaration) -> Result<Option<Given>, Failure> {
        let mut found: Option<(String, String)> = None;
        for name in option.env_names() {
            let Some(text) = self.text(&name)? else { continue };
            match &found {
                Some((other, before)) if *before != text => return Err(two_values(other, name)),
                _ => found = Some((name, text)),
            }
        }
        Ok(found.map(|(name, text)| from_variable(option, name, &text)))
    }

    /// What variables that other programs use as well set of these options.
    pub(crate) fn common(
        &self,
        options: impl Iterator<Item = &'static Declaration>,
    ) -> Result<Vec<Given>, Failure> {
        let named = options.filter_map(|option| Some((option, option.common_env?)));
        let given = named.map(|(option, name)| {
            Ok(self.text(name)?.map(|text| from_variable(option, name.to_owned(), &text)))
        });
        given.filter_map(Result::transpose).collect()
    }

    /// The text of a variable; `None` for an empty one.
    fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        let Some(value) = self.0.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
        value.to_str().map(|text| Some(text.to_owned())).ok_or_else(|| {
            let wrong = Source::Env(name.to_owned());
            wrong.failure(format!("the environment variable {name} is not UTF-8"))
        })
    }

    /// `PORT`, as a port to listen on at all addresses of IPv4, as Gunicorn has it.
    pub(crate) fn port(&self) -> Result<Option<String>, Failure> {
        self.text(PORT)
    }

    /// What the conventions of terminal programs say of colours: no-color.org, `FORCE_COLOR`, `CLICOLOR`, `TERM=dumb`.
    pub(crate) fn colour(&self) -> Option<Given> {
        let value =
            |name: &str| self.0.get(name).and_then(|value| value.to_str()).filter(|value| !value.is_empty());
        let is_off = |value: &str| matches!(value, "0" | "false");
        let rules = [
            ("NO_COLOR", value("NO_COLOR").is_some(), "never"),
            ("FORCE_COLOR", value("FORCE_COLOR").is_some_and(|value| !is_off(value)), "always"),
            ("CLICOLOR_FORCE", value("CLICOLOR_FORCE").is_some_and(|value| !is_off(value)), "always"),
            ("CLICOLOR", value("CLICOLOR") == Some("0"), "never"),
            ("TERM", value("TERM") == Some("dumb"), "never"),
        ];
        let (name, _, colour) = rules.into_iter().find(|(_, holds, _)| *holds)?;
        Some(from_variable(Log::colour(), name.to_owned(), colour))
    }

    /// Options of peers, which hostler's own command line does not ask for: one warning.
    pub(crate) fn of_peers(&self) -> Option<UnknownVariable> {
        let set = self.0.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name);
        let found: Vec<_> =
            set.filter_map(|name| Some((name, hostler_peers::peer_of_variable(name)?))).collect();
        let (_, first) = found.first()?;
        let name = found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let hint = format!("`hostler as {} …` reads it; otherwise unset it, or use HOSTLER_…", first.name());
        Some(UnknownVariable { name, hint })
    }

    /// Variables that have no effect although they look as if they had.
    pub(crate) fn unknown(&self) -> Vec<UnknownVariable> {
        let names = self.0.keys().filter_map(|name| Some((name, name.strip_prefix(PREFIX)?)));
        let names = names.filter(|(_, rest)| !NO_OPTIONS.contains(rest) && !rest.starts_with(TESTS));
        names
            .filter_map(|(name, rest)| Some(UnknownVariable { name: name.clone(), hint: hint(rest)? }))
            .collect()
    }
}

/// What may have been meant by `HOSTLER_` and this; `None` if it is an option.
fn hint(rest: &str) -> Option<String> {
    let name = rest.to_ascii_lowercase().replace('_', "-");
    let option = |name: &str| Settings::options().find(|option| option.is_called(name));
    if let Some(option) = option(&name).filter(|_| rest == rest.to_ascii_uppercase()) {
        return option.argv_only.then(|| format!("--{name} is for the command line only"));
    }
    if let Some(negated) = name.strip_prefix("no-").and_then(option).filter(|option| option.has_negation()) {
        let variable: String = negated.env_names().take(1).collect();
        return Some(format!("set {variable}=false"));
    }
    let similar = names::similar(&name, Settings::options().filter(|option| !option.argv_only));
    Some(similar.map_or_else(
        || "`hostler --help-all` lists all options".into(),
        |known| format!("did you mean {PREFIX}{}?", known.to_ascii_uppercase().replace('-', "_")),
    ))
}

/// Whether Kubernetes set it in each container of a namespace, for a service whose name begins with "hostler":
/// `HOSTLER_SERVICE_HOST=10.0.0.1`, `HOSTLER_PORT=tcp://10.0.0.1:80`, `HOSTLER_PORT_80_TCP_ADDR=10.0.0.1`.
fn is_service_link(name: &str, value: &OsString) -> bool {
    let address = || value.to_str().and_then(|text| text.split_once("://"));
    let protocol = |text: &str| ["tcp", "udp", "sctp"].contains(&text.to_ascii_lowercase().as_str());
    let port = name.split_once("_PORT_").and_then(|(_, rest)| {
        let mut parts = rest.split('_');
        Some((parts.next()?.parse::<u16>().ok()?, parts.next()?))
    });
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || port.is_some_and(|(_, kind)| protocol(kind))
        || name.ends_with("_PORT") && address().is_some_and(|(kind, _)| protocol(kind))
}

fn from_variable(option: &'static Declaration, name: String, text: &str) -> Given {
    Given { option, texts: split(option, text), source: Source::Env(name) }
}

/// Lists are separated by commas in the environment, and switches have many words.
fn split(option: &Declaration, text: &str) -> Vec<String> {
    match (option.shape, switch(text)) {
        (Shape::List, _) => text.split(',').map(|part| part.trim().to_owned()).collect(),
        (Shape::Flag | Shape::OptionalChoice { .. }, Some(on)) => vec![on.to_string()],
        _ => vec![text.to_owned()],
    }
}

fn two_values(a: &str, b: String) -> Failure {
    let message = format!("the environment variables {a} and {b} contradict each other");
    Source::Env(b).failure(message).because("they are two names of one option")
}
