//! The command line, by way of clap; only spelling is checked here, values are checked later.

use crate::{
    error::{Error, Source},
    table::{Kind, OPTIONS, Spec},
};
use clap::{Arg, ArgAction, ArgMatches, Command, error::ErrorKind};
use std::{collections::BTreeMap, ffi::OsString};

/// What was given, as text.
pub(crate) type Given = BTreeMap<&'static str, Vec<String>>;

pub(crate) enum Parsed {
    Given(Given),
    Print(String),
}

pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, Error> {
    match command().try_get_matches_from(args) {
        Ok(matches) => Ok(Parsed::Given(given(&matches))),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Parsed::Print(error.to_string()))
        }
        Err(error) => Err(usage(&error)),
    }
}

pub(crate) fn command() -> Command {
    let positional = Arg::new("APP").help("The application, as module:attribute").index(1);
    let mut command = Command::new("hostler")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Serves a Python application from supervised worker processes")
        .max_term_width(100)
        .arg(positional);
    for spec in OPTIONS {
        command = command.arg(argument(spec));
        if matches!(spec.kind, Kind::Flag | Kind::OptionalChoice(..)) && !spec.is_printer() {
            command = command.arg(negation(spec));
        }
    }
    command
}

fn argument(spec: &'static Spec) -> Arg {
    let mut argument = Arg::new(spec.name).long(spec.name).help(help(spec));
    argument = argument.hide(matches!(spec.name, "print-reference" | "print-sample" | "app"));
    for alias in spec.aliases {
        argument = argument.visible_alias(*alias);
    }
    if let Some(short) = spec.short {
        argument = argument.short(short);
    }
    match spec.kind {
        Kind::Flag => argument.action(ArgAction::SetTrue).overrides_with(spec.name),
        Kind::List => {
            argument.action(ArgAction::Append).value_name(spec.value_name()).allow_hyphen_values(true)
        }
        Kind::OptionalChoice(_, alone) => argument
            .action(ArgAction::Set)
            .overrides_with(spec.name)
            .value_name(spec.value_name())
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value(alone),
        // The last one wins, as with most programs.
        _ => argument
            .action(ArgAction::Set)
            .overrides_with(spec.name)
            .value_name(spec.value_name())
            .allow_negative_numbers(true),
    }
}

fn negation(spec: &'static Spec) -> Arg {
    let id = format!("no-{}", spec.name);
    Arg::new(id.clone()).long(id).action(ArgAction::SetTrue).hide(true).overrides_with(spec.name)
}

fn help(spec: &Spec) -> String {
    let mut help = spec.help.to_owned();
    if matches!(spec.kind, Kind::Flag) && !spec.is_printer() {
        help.push_str(&format!(" (off: --no-{})", spec.name));
    }
    if !spec.default.is_empty() && !spec.is_printer() {
        help.push_str(&format!(" [default: {}]", spec.default));
    }
    if spec.effect == crate::table::Effect::Later {
        help.push_str(" [not yet in effect]");
    }
    help
}

fn given(matches: &ArgMatches) -> Given {
    let mut given = Given::new();
    if let Some(app) = matches.get_one::<String>("APP") {
        given.insert("app", vec![app.clone()]);
    }
    for spec in OPTIONS {
        if matches!(spec.kind, Kind::Flag) {
            if matches.get_flag(spec.name) {
                given.insert(spec.name, vec!["true".into()]);
            } else if !spec.is_printer() && matches.get_flag(&format!("no-{}", spec.name)) {
                given.insert(spec.name, vec!["false".into()]);
            }
        } else if let Some(values) = matches.get_many::<String>(spec.name) {
            given.insert(spec.name, values.cloned().collect());
        } else if matches!(spec.kind, Kind::OptionalChoice(..))
            && matches.get_flag(&format!("no-{}", spec.name))
        {
            given.insert(spec.name, vec!["false".into()]);
        }
    }
    given
}

/// clap's words in our form: its first line is the message, a suggestion becomes the hint.
fn usage(error: &clap::Error) -> Error {
    let text = error.to_string();
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let hint = tip.map_or_else(|| "`hostler --help` lists all options".to_owned(), str::to_owned);
    Error::at(&Source::Argv, message).hint(hint)
}
