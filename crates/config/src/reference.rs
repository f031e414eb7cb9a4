//! docs/CONFIGURATION.md and config/hostler.toml, printed from the declarations.

use crate::layers::in_files;
use hostler_settings::{Declaration, Effect, OnReload, Settings, Shape};
use std::fmt::Write as _;

const INTRODUCTION: &str = "\
# Options

Printed by `hostler --print-reference`; do not edit.

Each option can be given on the command line, as an environment variable (`HOSTLER_` and its name in
capitals), and in the TOML file that `--config` names. The command line wins over the environment,
the environment over the file. Where none of them sets `workers`, `WEB_CONCURRENCY` does, and in the same way
`FORWARDED_ALLOW_IPS` sets `forwarded-allow-ips`. Where there is no port either, `PORT` is the port, and without a host the server listens
on all addresses of IPv4; sockets that systemd passes take precedence over it. Variables that are options of other servers
(`UVICORN_…`, `GRANIAN_…`, `GUNICORN_CMD_ARGS`) are a warning: `hostler as uvicorn …` reads them (COMING_FROM.md).
`hostler --print-config` prints every value and where it was set.

In the environment lists are separated by commas, flags are 1/0, on/off, yes/no or true/false, and an empty variable is none. A variable with `HOSTLER_` in front that
is no option is logged and otherwise ignored; what Kubernetes sets in containers for a service called hostler
(`HOSTLER_SERVICE_HOST`, `HOSTLER_PORT=tcp://…`) is ignored altogether.

Of `bind`, `uds`, `ssl-bind`, `host` and `port` the highest source that sets one says where to listen: what lower ones say of it
is replaced, but for `host` and `port`, which complete each other (`--port 9000` keeps the file's `host`), and for the `port` of a
`bind` without one. Within what is left, `host` and `port` beside a `bind` or `uds` that needs neither are refused.
`--print-config` shows what is replaced.

In TOML a text is in quotes, numbers and flags (`true`, `false`) are not, a list is a text or an array of texts. An option is left
out to unset it; `false` unsets flags only. Names have dashes or underscores, and
there are no sections. A mode in octal is `\"027\"` or `0o27`; `27`
would be decimal, and is refused.

A duration is a number of seconds (`90`, `1.5`), milliseconds (`500ms`), or units in this order:
`1d2h3m4s`; where MILLISECONDS stands, a number without a unit, whole or not, counts these. A size is a number of bytes
(where MIB stands, of mebibytes) or has a unit, a power of 1024: `64k`, `512MB`, `1GiB`.

*In effect*: options marked *no* are those of another server; they are taken and reported, and what they mean says why they do nothing.
Those marked *refused* stop the start with an error that says what to do instead.

*Reload*: what SIGHUP makes of a change. *yes*: it applies when the new generation serves; *no*: it takes an upgrade (SIGUSR2) or a start; *start*: it
takes a start, as an upgrade keeps the sockets with the connections that wait in them.
";

const SAMPLE_INTRODUCTION: &str = "\
# A sample configuration: hostler --config hostler.toml
# Printed by `hostler --print-sample`; every line shows a default, or an example where there is none.
";

pub(crate) fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    let mut heading = "";
    for option in Settings::options().filter(|option| !option.argv_only) {
        if option.heading != heading {
            heading = option.heading;
            let _ = writeln!(text, "\n## {heading}\n");
            text.push_str(
                "| option | value | default | in effect | reload | meaning |\n|---|---|---|---|---|---|\n",
            );
        }
        row(&mut text, option);
    }
    text
}

fn row(text: &mut String, option: &Declaration) {
    let (effect, reload) = match (option.effect, option.reload) {
        (Effect::None(_), _) => ("no", ""),
        (Effect::Refused(_), _) => ("refused", ""),
        (Effect::Now, OnReload::Applied) => ("yes", "yes"),
        (Effect::Now, OnReload::Kept) => ("yes", "no"),
        (Effect::Now, OnReload::Start) => ("yes", "start"),
    };
    let value = option.value_name().replace('|', " \\| ");
    let (names, default, help) = (names(option), default(option), option.help());
    let _ = writeln!(text, "| {names} | {value} | {default} | {effect} | {reload} | {help} |");
}

pub(crate) fn sample() -> String {
    let mut text = String::from(SAMPLE_INTRODUCTION);
    let mut heading = "";
    for option in in_files().filter(|option| option.effect == Effect::Now) {
        if option.heading != heading {
            heading = option.heading;
            let _ = writeln!(text, "\n## {heading}");
        }
        let _ = writeln!(text, "\n# {}\n# {} = {}", option.help(), option.name, toml_value(option));
    }
    text
}

fn names(option: &Declaration) -> String {
    let mut names = format!("`--{}`", option.name);
    if option.shape == Shape::Flag {
        let _ = write!(names, ", `--no-{}`", option.name);
    }
    if let Some(short) = option.short {
        let _ = write!(names, ", `-{short}`");
    }
    for alias in option.aliases {
        let _ = write!(names, ", `--{alias}`");
    }
    names
}

fn default(option: &Declaration) -> String {
    match (option.shape, option.default().join(",").as_str()) {
        (_, "") => String::new(),
        (Shape::Flag, "true") => "on".into(),
        (Shape::Flag, _) => "off".into(),
        (_, text) => format!("`{text}`"),
    }
}

/// Its default, or the example of one that has none.
fn toml_value(option: &Declaration) -> String {
    let default = option.default().join(",");
    let text = if default.is_empty() { option.example.unwrap_or_default() } else { &default };
    match option.shape {
        Shape::Flag => text.to_owned(),
        Shape::List => format!("[{text:?}]"),
        Shape::Number | Shape::NumberOrText | Shape::Duration if text.parse::<f64>().is_ok() => {
            text.to_owned()
        }
        _ => format!("{text:?}"),
    }
}
