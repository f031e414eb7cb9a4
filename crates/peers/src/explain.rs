//! What `--explain` prints: everything that was written, what it becomes, and hostler's own command line for it.

use crate::{
    item::Place,
    peer::Peer,
    row::{Becomes, Prints},
    translate::{Origin, Outcome, Setting, Translation},
    words::quoted,
};
use hostler_settings::{Application, Declaration, Effect, Shape};
use std::{collections::BTreeSet, fmt::Write as _};

/// How wide what was written may be before the rest stands on the next line.
const WIDTH: usize = 44;

impl Translation {
    /// What becomes of each option.
    #[must_use]
    pub fn explanation(&self) -> String {
        let mut text = format!("What hostler makes of this command line of {}:\n\n", self.peer.name());
        for entry in self.entries.iter().filter(|entry| entry.origin.place != Place::Default) {
            let place = match &entry.origin.place {
                Place::Argv | Place::Default => String::new(),
                Place::Variable(name) if entry.origin.written.starts_with(name.as_str()) => String::new(),
                place => format!(" ({place})"),
            };
            line(&mut text, &format!("{}{place}", entry.origin.shown()), &becomes(&entry.outcome));
        }
        self.defaults(&mut text);
        let _ = write!(text, "\nhostler's own command line for it:\n\n  {}\n", self.command_line());
        text
    }

    fn defaults(&self, text: &mut String) {
        let mut defaults = self.in_effect().filter(|(origin, _)| origin.place == Place::Default).peekable();
        if defaults.peek().is_some() {
            let _ = write!(
                text,
                "\nWhat {} does by itself, unless a variable HOSTLER_… says otherwise:\n\n",
                self.peer.title()
            );
        }
        for (_, setting) in defaults {
            let reason = self.entries.iter().find_map(|entry| match &entry.outcome {
                Outcome::Sets(settings, Some(reason))
                    if settings.iter().any(|other| std::ptr::eq(other, setting)) =>
                {
                    Some(reason.as_str())
                }
                _ => None,
            });
            line(text, &spelled(setting), reason.unwrap_or_default());
        }
    }

    /// The settings that count: the first of each option, in the order of precedence.
    fn in_effect(&self) -> impl Iterator<Item = (&Origin, &Setting)> {
        let mut seen = BTreeSet::new();
        let variables = |place: &Place| matches!(place, Place::Variable(_));
        let all = self.settings(|place| *place == Place::Argv).chain(self.settings(variables));
        let all = all.chain(self.settings(|place| matches!(place, Place::File(_))));
        let all = all.chain(self.settings(|place| *place == Place::Default));
        all.filter(move |(_, setting)| seen.insert(setting.option.name))
    }

    /// hostler's own command line that means the same.
    #[must_use]
    pub fn command_line(&self) -> String {
        let app = Application::target().name;
        let target = self.in_effect().find(|(_, setting)| setting.option.name == app);
        let target = target.map(|(_, setting)| quoted(&setting.texts.concat()));
        let options = self.in_effect().filter(|(_, setting)| setting.option.name != app);
        let words = ["hostler".to_owned()].into_iter().chain(target);
        words.chain(options.map(|(_, setting)| spelled(setting))).collect::<Vec<_>>().join(" ")
    }
}

impl Peer {
    /// How to use the command, and what becomes of each option.
    #[must_use]
    pub fn help(self) -> String {
        let name = self.name();
        let mut text = format!(
            "Usage: hostler as {name} [OPTIONS] APP\n\nReads command line and environment as {} does, and serves with hostler. --explain prints what becomes of\n\
             each option, and starts nothing. hostler's own options are set by variables: HOSTLER_STALL_TIMEOUT=60.\n\n",
            self.title()
        );
        for row in self.rows() {
            let names = row.names.iter().copied().chain(row.negation).collect::<Vec<_>>().join(", ");
            line(&mut text, &names, &row.becomes.described());
        }
        text
    }
}

impl Becomes {
    /// What becomes of the option, whatever its value.
    #[must_use]
    pub fn described(&self) -> String {
        let options = |all: &[&Declaration]| {
            all.iter()
                .map(|option| format!("--{}{}", option.name, caveat(option)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        match self {
            Self::Same(option) => options(&[option]),
            Self::Converted { to: [], how, .. } => format!("depends: {how}"),
            Self::Converted { to, how, .. } => format!("{}: {how}", options(to)),
            Self::NoEffect(reason) | Self::Lost(reason) => format!("no effect: {reason}"),
            Self::Refused { why, instead } => format!("refused: {why}; {instead}"),
            Self::Prints(Prints::Help) => "this help".into(),
            Self::Prints(Prints::Version) => "hostler's version".into(),
            Self::Prints(Prints::Explanation) => "prints what becomes of each option".into(),
            Self::Prints(Prints::Nothing) => "checks the configuration, and starts nothing".into(),
            Self::Prints(Prints::Configuration) => "--print-config".into(),
        }
    }
}

impl Origin {
    /// As it was written, without passwords.
    #[must_use]
    pub fn shown(&self) -> String {
        if self.name.contains("password") && !self.value.is_empty() {
            self.written.replace(&quoted(&self.value), "(not shown)")
        } else {
            self.written.clone()
        }
    }
}

/// What there is to say of an option that does not do what it says.
fn caveat(option: &Declaration) -> &'static str {
    match option.effect {
        Effect::Now => "",
        Effect::None(_) => " (without effect)",
        Effect::Refused(_) => " (refused: not there yet)",
    }
}

fn becomes(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Sets(settings, note) if settings.is_empty() => note.clone().unwrap_or_default(),
        Outcome::Sets(settings, note) => {
            let spelled =
                settings.iter().map(|setting| format!("{}{}", spelled(setting), caveat(setting.option)));
            let spelled = spelled.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
            note.as_ref().map_or_else(|| spelled.clone(), |note| format!("{spelled}: {note}"))
        }
        Outcome::NoEffect(reason) | Outcome::Lost(reason) => format!("no effect: {reason}"),
        Outcome::Refused { why, instead } => format!("refused: {why}; {instead}"),
        Outcome::Replaced(place) => format!("no effect: the {place} has it, too"),
    }
}

/// A setting on hostler's command line.
fn spelled(setting: &Setting) -> String {
    let name = setting.option.name;
    let texts = || setting.texts.iter().map(|text| quoted(setting.option.shown(text)));
    match setting.option.shape {
        Shape::Flag if setting.texts.iter().all(|text| text == "true") => format!("--{name}"),
        Shape::Flag => format!("--no-{name}"),
        Shape::OptionalChoice { .. } => {
            texts().map(|text| format!("--{name}={text}")).collect::<Vec<_>>().join(" ")
        }
        _ => texts().map(|text| format!("--{name} {text}")).collect::<Vec<_>>().join(" "),
    }
}

fn line(text: &mut String, left: &str, right: &str) {
    if left.chars().count() > WIDTH {
        let _ = writeln!(text, "  {left}\n  {:WIDTH$}  {right}", "");
    } else {
        let _ = writeln!(text, "  {left:WIDTH$}  {right}");
    }
}
