//! The command line, by way of clap; only spelling is checked here, values are checked later.

use crate::{layers::Given, source::Source};
use clap::{
    Arg, ArgAction, ArgMatches, Command,
    builder::{PossibleValuesParser, ValueHint},
    error::{ContextKind, ContextValue, ErrorKind},
};
use hostler_settings::{Application, Declaration, Settings, Shape};
use hostler_wire::Failure;
use std::ffi::OsString;

pub(crate) enum Parsed {
    Given(Vec<Given>),
    Print(String),
}

/// The positional argument, which is `--app`.
const POSITIONAL: &str = "APP";
const HELP_ALL: &str = "help-all";

pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, Failure> {
    match command().try_get_matches_from(args) {
        Ok(matches) if matches.get_flag(HELP_ALL) => Ok(Parsed::Print(whole().render_help().to_string())),
        Ok(matches) => Ok(Parsed::Given(given(&matches))),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Parsed::Print(error.to_string()))
        }
        Err(error) => Err(usage(&error)),
    }
}

/// The command line as it is parsed: any text is a value, because the errors about values are ours.
fn command() -> Command {
    let positional = Arg::new(POSITIONAL).help("The application, as module:attribute").index(1);
    let mut command = Command::new("hostler")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Serves a Python application from supervised worker processes")
        .max_term_width(100)
        .disable_help_flag(true)
        .arg(positional)
        .arg(Arg::new("help").short('h').long("help").action(ArgAction::HelpShort).help("Print help on common options"))
        .arg(Arg::new(HELP_ALL).long(HELP_ALL).action(ArgAction::SetTrue).help("Print help on all options"))
        .after_help(
            "Each option can be set in the environment (HOSTLER_WORKERS=4) and in a TOML file, too.\n\
             `hostler --help-all` describes all options, `hostler --print-config` prints the values in effect.\n\
             `hostler as gunicorn|uvicorn|granian|hypercorn …` reads the command line of that server, and `--explain` behind it says what \
             it becomes; `hostler ctl` controls a running server; `hostler link DIR` makes links of their names; `hostler migrate FILE` turns their files into hostler's.\n\
             `hostler check APP …` tries all that a start needs, and starts nothing.",
        );
    for option in Settings::options() {
        command = command.arg(argument(option));
        if option.has_negation() {
            command = command.arg(negation(option));
        }
    }
    command
}

/// The command line with every option in its help.
fn whole() -> Command {
    let shown = Settings::options().filter(|option| !option.hidden);
    let command = shown.fold(command(), |command, option| {
        command.mut_arg(option.name, |argument| argument.hide_short_help(false))
    });
    command.after_help(None)
}

/// The command line as man page and completions show it: with possible values, and which values are paths.
pub(crate) fn described() -> Command {
    Settings::options().fold(whole(), |command, option| {
        command.mut_arg(option.name, |argument| match option.shape {
            Shape::Choice(names) | Shape::OptionalChoice { names, .. } => {
                argument.value_parser(PossibleValuesParser::new(names)).hide_possible_values(true)
            }
            _ if option.value_name() == "PATH" => argument.value_hint(ValueHint::AnyPath),
            _ => argument,
        })
    })
}

fn argument(option: &'static Declaration) -> Arg {
    let mut argument = Arg::new(option.name).long(option.name).help(help(option));
    argument = argument.hide(option.hidden).hide_short_help(!option.common).help_heading(option.heading);
    for alias in option.aliases {
        argument = argument.visible_alias(*alias);
    }
    if let Some(short) = option.short {
        argument = argument.short(short);
    }
    match option.shape {
        Shape::Flag => argument.action(ArgAction::SetTrue).overrides_with(option.name),
        Shape::List => {
            argument.action(ArgAction::Append).value_name(option.value_name()).allow_hyphen_values(true)
        }
        Shape::OptionalChoice { alone, .. } => argument
            .action(ArgAction::Set)
            .overrides_with(option.name)
            .value_name(option.value_name())
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value(alone),
        // The last one wins, as with most programs.
        Shape::Text
        | Shape::Choice(_)
        | Shape::Octal
        | Shape::Number
        | Shape::NumberOrText
        | Shape::Duration => argument
            .action(ArgAction::Set)
            .overrides_with(option.name)
            .value_name(option.value_name())
            .allow_negative_numbers(true),
    }
}

fn negated(option: &Declaration) -> String {
    format!("no-{}", option.name)
}

fn negation(option: &'static Declaration) -> Arg {
    let id = negated(option);
    let overrides = [id.clone(), option.name.to_owned()];
    Arg::new(id.clone()).long(id).action(ArgAction::SetTrue).hide(true).overrides_with_all(overrides)
}

fn help(option: &Declaration) -> String {
    let mut help = option.help();
    if option.shape == Shape::Flag && option.has_negation() {
        help.push_str(&format!(" (off: --{})", negated(option)));
    }
    let default = option.default().join(",");
    if !default.is_empty() && !option.argv_only {
        help.push_str(&format!(" [default: {default}]"));
    }
    help
}

fn given(matches: &ArgMatches) -> Vec<Given> {
    let said = Settings::options().filter_map(|option| Some((option, texts(matches, option)?)));
    let said = said.map(|(option, texts)| Given { option, texts, source: Source::Argv });
    let app = matches.get_one::<String>(POSITIONAL).map(|app| Given {
        option: Application::target(),
        texts: vec![app.clone()],
        source: Source::Argv,
    });
    said.chain(app).collect()
}

fn texts(matches: &ArgMatches, option: &Declaration) -> Option<Vec<String>> {
    if option.has_negation() && matches.get_flag(&negated(option)) {
        return Some(vec!["false".into()]);
    }
    if option.shape == Shape::Flag {
        return matches.get_flag(option.name).then(|| vec!["true".into()]);
    }
    matches.get_many::<String>(option.name).map(|values| values.cloned().collect())
}

/// clap's words in our form: its first line is the message, a suggestion becomes the hint.
fn usage(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let unknown = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(name)) if error.kind() == ErrorKind::UnknownArgument => Some(name),
        _ => None,
    };
    let foreign = unknown.and_then(|name| hostler_peers::foreign(name));
    let hint = foreign.or_else(|| tip.map(str::to_owned));
    let hint = hint.unwrap_or_else(|| "`hostler --help-all` lists all options".to_owned());
    Source::Argv.failure(message).hint(hint)
}
