//! docs/CONFIGURATION.md and config/hostler.toml, printed from the table.

use crate::table::{Effect, Kind, OPTIONS, Spec};
use std::fmt::Write as _;

pub(crate) fn markdown() -> String {
    let mut text = String::from(
        "# Options\n\n\
         Printed by `hostler --print-reference`; do not edit.\n\n\
         Each option can be given on the command line, as an environment variable (`HOSTLER_` and its name in\n\
         capitals), and in the TOML file that `--config` names. The command line wins over the environment,\n\
         the environment over the file. `WEB_CONCURRENCY` sets `workers` where nothing else does.\n\
         `hostler --print-config` prints every value and where it was set.\n\n\
         A duration is a number of seconds (`90`, `1.5`), milliseconds (`500ms`), or units in this order:\n\
         `1d2h3m4s`. Options marked *later* are checked and reported as not yet in effect.\n\
         Options marked *refused* stop the start with an error that says what to do instead.\n\n\
         | option | value | default | in effect | meaning |\n|---|---|---|---|---|\n",
    );
    for spec in OPTIONS.iter().filter(|spec| !spec.is_printer()) {
        let effect = match spec.effect {
            Effect::Now => "yes",
            Effect::Later => "later",
            Effect::Refused(_) => "refused",
        };
        let value = spec.value_name().replace('|', " \\| ");
        let _ =
            writeln!(text, "| {} | {value} | {} | {effect} | {} |", names(spec), default(spec), spec.help);
    }
    text
}

pub(crate) fn sample() -> String {
    let mut text = String::from(
        "# A sample configuration: hostler --config hostler.toml\n\
         # Printed by `hostler --print-sample`; every line shows a default, or an example where there is none.\n",
    );
    let in_effect = OPTIONS.iter().filter(|spec| spec.effect == Effect::Now);
    for spec in in_effect.filter(|spec| !spec.is_printer() && spec.name != "config") {
        let _ = writeln!(text, "\n# {}\n# {} = {}", spec.help, spec.name, toml_value(spec));
    }
    text
}

fn names(spec: &Spec) -> String {
    let mut names = format!("`--{}`", spec.name);
    if matches!(spec.kind, Kind::Flag) {
        let _ = write!(names, ", `--no-{}`", spec.name);
    }
    if let Some(short) = spec.short {
        let _ = write!(names, ", `-{short}`");
    }
    for alias in spec.aliases {
        let _ = write!(names, ", `--{alias}`");
    }
    names
}

fn default(spec: &Spec) -> String {
    match (spec.kind, spec.default) {
        (_, "") => String::new(),
        (Kind::Flag, "true") => "on".into(),
        (Kind::Flag, _) => "off".into(),
        (_, text) => format!("`{text}`"),
    }
}

fn toml_value(spec: &Spec) -> String {
    match (spec.kind, spec.default) {
        (Kind::Flag, text) => text.into(),
        (Kind::Int(..) | Kind::IntOrAuto(..), text) if !text.is_empty() => text.into(),
        (Kind::List, _) => "[]".into(),
        (_, text) => format!("{text:?}"),
    }
}
