//! From what a user wrote to settings of hostler.

use crate::{
    files::{Files, Script},
    grammar,
    item::{Context, Item, Place, Said, effective},
    peer::Peer,
    row::{Becomes, Prints, Takes},
    settings_file, variables, words,
};
use hostler_settings::{Application, Declaration, Shape};
use hostler_wire::{ExitStatus, Failure};
use std::{collections::BTreeMap, ffi::OsString};

/// An option of hostler, and its value as text.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The option.
    pub option: &'static Declaration,
    /// Its values; one, unless it is a list.
    pub texts: Vec<String>,
}

impl Setting {
    /// One value.
    pub(crate) fn one(option: &'static Declaration, text: impl Into<String>) -> Self {
        Self { option, texts: vec![text.into()] }
    }
}

/// What became of something that a user wrote.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It sets these options; where the meaning differs, with how.
    Sets(Vec<Setting>, Option<String>),
    /// Nothing, for this reason: hostler does not need it.
    NoEffect(String),
    /// Nothing, for this reason: something does not happen that happened there.
    Lost(String),
    /// The start is refused.
    Refused {
        /// Why.
        why: String,
        /// What to do.
        instead: String,
    },
    /// The same option counts from there.
    Replaced(Place),
}

impl Outcome {
    /// One option with one value.
    pub(crate) fn set(option: &'static Declaration, text: impl Into<String>) -> Self {
        Self::Sets(vec![Setting::one(option, text)], None)
    }

    pub(crate) fn no_effect(reason: impl Into<String>) -> Self {
        Self::NoEffect(reason.into())
    }

    pub(crate) fn refused(why: impl Into<String>, instead: impl Into<String>) -> Self {
        Self::Refused { why: why.into(), instead: instead.into() }
    }

    /// Adds how the meaning differs.
    pub(crate) fn noting(self, note: impl Into<String>) -> Self {
        match self {
            Self::Sets(settings, _) => Self::Sets(settings, Some(note.into())),
            other => other,
        }
    }
}

/// Something that a user wrote, and what became of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who wrote it, where and how.
    pub origin: Origin,
    /// What became of it.
    pub outcome: Outcome,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whose option it is.
    pub peer: Peer,
    /// The option's spelling.
    pub name: String,
    /// All of it, as it was written.
    pub written: String,
    /// Its value, as it was written.
    pub value: String,
    /// Where.
    pub place: Place,
}

/// A peer's command line and environment as settings.
#[derive(Clone, Debug)]
pub struct Translation {
    /// The peer.
    pub peer: Peer,
    /// Everything that was written, and what the peer does by itself.
    pub entries: Vec<Entry>,
    /// What is to be printed instead of a start.
    pub prints: Option<Prints>,
}

/// Reads a command line, without the program's name, and an environment.
///
/// # Errors
/// For what the peer would not understand either.
pub fn translate(
    peer: Peer,
    args: Vec<String>,
    variables: &BTreeMap<String, OsString>,
    files: &dyn Files,
) -> Result<Translation, Failure> {
    let parsed = grammar::parse(peer, args, &Place::Argv)?;
    let prints = parsed.said.iter().find_map(|said| match said.row.becomes {
        Becomes::Prints(prints) => Some(prints),
        _ => None,
    });
    let mut said = parsed.said;
    said.extend(variables::said(peer, variables)?);
    if peer == Peer::Gunicorn {
        said.extend(in_command_variable(variables)?);
    }
    said.extend(in_file(peer, &said, files)?);
    let (items, replaced) = effective(said);
    let target = parsed.positionals.first().map(String::as_str);
    let context = Context { peer, items: &items, variables, target };
    let mut entries = targets(&context, &parsed.positionals)?;
    entries.extend(translated(&context, &replaced, !entries.is_empty()));
    Ok(Translation { peer, entries, prints })
}

/// What becomes of options, of those that a higher place replaces, and what the peer does by itself.
fn translated(context: &Context<'_>, replaced: &[Item], has_target: bool) -> Vec<Entry> {
    let peer = context.peer;
    // The application of a file counts if the command line has none.
    let counts = |item: &&Item| !(has_target && item.row.name() == "wsgi_app");
    let own = context.items.iter().filter(counts).filter_map(|item| entry(item, context));
    let replaced = replaced.iter().filter_map(|item| {
        let by = context.item(item.row.name())?.place.clone();
        Some(Entry { origin: Origin::of(peer, item), outcome: Outcome::Replaced(by) })
    });
    let defaults = peer.defaults(context).into_iter();
    own.chain(replaced).chain(defaults.map(|(setting, reason)| by_itself(peer, setting, reason))).collect()
}

/// What the peer's file of settings says, if there is one.
fn in_file(peer: Peer, said: &[Said], files: &dyn Files) -> Result<Vec<Said>, Failure> {
    let Some(location) = settings_file::location(peer, said, |path| files.exists(path)) else {
        return Ok(Vec::new());
    };
    let settings = if is_toml(peer, location) {
        files.toml(location)?
    } else {
        let names = settings_file::names(peer);
        let user = said.iter().find(|said| said.row.name() == "--user" && peer == Peer::Gunicorn);
        let user = user.and_then(|said| said.value.as_deref());
        files.settings(&Script { location, names: &names, user })?
    };
    Ok(settings_file::said(peer, location, &settings))
}

/// What a file says, by itself.
pub(crate) fn of_said(peer: Peer, said: Vec<Said>) -> Translation {
    let (items, _) = effective(said);
    let variables = BTreeMap::new();
    let context = Context { peer, items: &items, variables: &variables, target: None };
    let entries = translated(&context, &[], false);
    Translation { peer, entries, prints: None }
}

/// Hypercorn's files are TOML unless they are said to be Python.
fn is_toml(peer: Peer, location: &str) -> bool {
    peer == Peer::Hypercorn && !location.starts_with("file:") && !location.starts_with("python:")
}

/// `GUNICORN_CMD_ARGS`: words of a command line, of which the application is not read.
fn in_command_variable(variables: &BTreeMap<String, OsString>) -> Result<Vec<Said>, Failure> {
    const NAME: &str = "GUNICORN_CMD_ARGS";
    let Some(line) = variables.get(NAME) else { return Ok(Vec::new()) };
    let wrong = |cause: String| {
        Failure::new(ExitStatus::Config, format!("cannot read the environment variable {NAME}"))
            .because(cause)
    };
    let line = line.to_str().ok_or_else(|| wrong("it is not UTF-8".into()))?;
    let words = words::split(line).map_err(wrong)?;
    Ok(grammar::parse(Peer::Gunicorn, words, &Place::Variable(NAME.into()))?.said)
}

fn entry(item: &Item, context: &Context<'_>) -> Option<Entry> {
    let is_off = item.row.takes == Takes::Nothing && item.row.negation.is_none() && !item.on;
    let outcome = match item.row.becomes {
        Becomes::Converted { .. } | Becomes::NoEffect(_) | Becomes::Lost(_) | Becomes::Refused { .. }
            if is_off =>
        {
            Outcome::Sets(Vec::new(), Some("it is off".into()))
        }
        Becomes::Lost(reason) => Outcome::Lost(reason.into()),
        Becomes::Same(option) => same(item, option),
        Becomes::Converted { by, .. } => by(item, context),
        Becomes::NoEffect(reason) => Outcome::no_effect(reason),
        Becomes::Refused { why, instead } => Outcome::refused(why, instead),
        Becomes::Prints(_) => return None,
    };
    Some(Entry { origin: Origin::of(context.peer, item), outcome })
}

/// The same value of an option of ours.
pub(crate) fn same(item: &Item, option: &'static Declaration) -> Outcome {
    let texts = match option.shape {
        Shape::Flag => vec![item.on.to_string()],
        // Peers take these in any case.
        Shape::Choice(_) => item.values.iter().map(|value| value.to_ascii_lowercase()).collect(),
        _ => item.values.clone(),
    };
    Outcome::Sets(vec![Setting { option, texts }], None)
}

/// What the peer does by itself.
fn by_itself(peer: Peer, setting: Setting, reason: &str) -> Entry {
    let value = setting.texts.join(" ");
    let name = setting.option.name.to_owned();
    let origin = Origin { peer, name, written: String::new(), value, place: Place::Default };
    Entry { origin, outcome: Outcome::Sets(vec![setting], Some(reason.to_owned())) }
}

/// The application: the first argument that is no option, or a variable.
fn targets(context: &Context<'_>, positionals: &[String]) -> Result<Vec<Entry>, Failure> {
    let peer = context.peer;
    let variable = peer.target_variable().and_then(|name| Some((name, context.variable(name)?)));
    let (text, place) = match (positionals.first(), variable) {
        (Some(text), _) => (text.as_str(), Place::Argv),
        (None, Some((name, text))) => (text, Place::Variable(name.to_owned())),
        (None, None) => return Ok(Vec::new()),
    };
    if let Some(extra) = positionals.get(1).filter(|_| peer != Peer::Gunicorn) {
        let message = format!("`{extra}` is one argument too many ({}, command line)", peer.name());
        let hint = "there is one application; an option's value stands behind the option";
        return Err(Failure::new(ExitStatus::Usage, message).hint(hint));
    }
    let written = match &place {
        Place::Variable(name) => format!("{name}={text}"),
        _ => text.to_owned(),
    };
    let origin = Origin { peer, name: "APP".into(), written, value: text.to_owned(), place };
    Ok(vec![Entry { origin, outcome: peer.target(text) }])
}

/// An application of this name.
pub(crate) fn application(target: &str, default: &str) -> Outcome {
    let (module, attribute) = target.split_once(':').unwrap_or((target, default));
    let attribute = if attribute.is_empty() { default } else { attribute };
    let target = if attribute.is_empty() { module.to_owned() } else { format!("{module}:{attribute}") };
    Outcome::set(Application::target(), target)
}

impl Origin {
    fn of(peer: Peer, item: &Item) -> Self {
        Self {
            peer,
            name: item.name.clone(),
            written: item.written(),
            value: item.values.join(" "),
            place: item.place.clone(),
        }
    }
}

impl Translation {
    /// The settings of places that fulfil a condition, each with its origin.
    pub fn settings(&self, at: impl Fn(&Place) -> bool) -> impl Iterator<Item = (&Origin, &Setting)> {
        let entries = self.entries.iter().filter(move |entry| at(&entry.origin.place));
        entries.flat_map(|entry| {
            let settings = match &entry.outcome {
                Outcome::Sets(settings, _) => settings.as_slice(),
                Outcome::NoEffect(_) | Outcome::Lost(_) | Outcome::Refused { .. } | Outcome::Replaced(_) => {
                    &[]
                }
            };
            settings.iter().map(|setting| (&entry.origin, setting))
        })
    }

    /// What stops the start: everything that is refused.
    #[must_use]
    pub fn refusal(&self) -> Option<Failure> {
        let refused = self.entries.iter().filter_map(|entry| match &entry.outcome {
            Outcome::Refused { why, instead } => Some((&entry.origin, why, instead)),
            Outcome::Sets(..) | Outcome::NoEffect(_) | Outcome::Lost(_) | Outcome::Replaced(_) => None,
        });
        let refused: Vec<_> = refused.collect();
        let status = if refused.iter().any(|(origin, ..)| origin.place == Place::Argv) {
            ExitStatus::Usage
        } else {
            ExitStatus::Config
        };
        let name = self.peer.name();
        match refused.as_slice() {
            [] => None,
            [(origin, why, instead)] => {
                let message = format!("`{}` cannot be used ({name}, {})", origin.shown(), origin.place);
                Some(Failure::new(status, message).because(*why).hint(*instead))
            }
            many => {
                let lines = many.iter().map(|(origin, why, instead)| {
                    format!("`{}` ({}): {why}; {instead}", origin.shown(), origin.place)
                });
                let message = format!("{} options of {name} cannot be used", many.len());
                let cause = lines.collect::<Vec<_>>().join("\n");
                Some(
                    Failure::new(status, message)
                        .because(cause)
                        .hint("--explain prints what each option becomes"),
                )
            }
        }
    }

    /// What was written and has no effect, each with the reason.
    pub fn without_effect(&self) -> impl Iterator<Item = (&Origin, &str)> {
        self.entries.iter().filter_map(|entry| match &entry.outcome {
            Outcome::NoEffect(reason) => Some((&entry.origin, reason.as_str())),
            Outcome::Sets(..) | Outcome::Lost(_) | Outcome::Refused { .. } | Outcome::Replaced(_) => None,
        })
    }

    /// What was written, and does not happen here as it did there; each with the reason.
    pub fn lost(&self) -> impl Iterator<Item = (&Origin, &str)> {
        self.entries.iter().filter_map(|entry| match &entry.outcome {
            Outcome::Lost(reason) => Some((&entry.origin, reason.as_str())),
            _ => None,
        })
    }

    /// What was written and means something else here, each with what and how.
    pub fn differing(&self) -> impl Iterator<Item = (&Origin, &[Setting], &str)> {
        self.entries.iter().filter_map(|entry| match &entry.outcome {
            Outcome::Sets(settings, Some(note))
                if entry.origin.place != Place::Default && !settings.is_empty() =>
            {
                Some((&entry.origin, settings.as_slice(), note.as_str()))
            }
            _ => None,
        })
    }
}
