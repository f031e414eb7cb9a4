//! Values of a TOML file: their types are those of the options.

use super::{config, failure, file};
use crate::Config;
use hostler_settings::{Preload, WorkerCount};
use hostler_wire::{ExitStatus, Failure};

fn read(text: &str) -> Config {
    let file = file(text);
    config(&["--config", file.path().to_str().unwrap()], &[])
}

/// The cause, and the message up to the file's name.
fn refused(text: &str) -> (String, String) {
    let file = file(text);
    let Failure { status, message, cause, .. } = failure(&["--config", file.path().to_str().unwrap()], &[]);
    assert_eq!(status, ExitStatus::Config, "{message}");
    (message.split(" (file").next().unwrap_or_default().to_owned(), cause.unwrap_or_default())
}

#[test]
fn a_mode_is_octal_in_every_spelling_that_is_taken() {
    for (text, mask) in [
        ("umask = 0o27", 0o27),
        ("umask = 0o22", 0o22),
        ("umask = \"27\"", 0o27),
        ("umask = \"027\"", 0o27),
        ("umask = \"0o27\"", 0o27),
        ("umask = 0", 0),
        ("umask = 7", 7),
    ] {
        assert_eq!(read(text).identity.umask, Some(mask), "{text}");
    }
    for (text, mode) in [("0o660", 0o660), ("\"660\"", 0o660), ("\"0660\"", 0o660), ("0o2770", 0o2770)] {
        let found = read(&format!("uds-permissions = {text}")).settings.listen.uds_permissions.unwrap();
        assert_eq!(found.0, mode, "{text}");
    }
}

#[test]
fn a_decimal_mode_is_refused_with_what_to_write_instead() {
    for text in ["umask = 27", "umask = 22", "umask = 18", "umask = 2_7"] {
        let (message, cause) = refused(text);
        assert!(message.starts_with("invalid value '"), "{message}");
        assert!(cause.contains("\"027\" or 0o27"), "{text}: {cause}");
    }
    let (message, cause) = refused("uds-permissions = 660");
    assert_eq!(message, "invalid value '660' for --uds-permissions");
    assert!(cause.contains("\"0660\" or 0o660"), "{cause}");
    assert!(refused("umask = 0o1000").1.contains("up to 777"));
    assert!(refused("umask = -1").1.contains("octal"));
}

#[test]
fn a_value_of_another_type_is_refused_in_the_options_terms() {
    for (text, message, cause) in [
        ("log-file = false", "invalid value 'false' for --log-file", "it must be a path, in quotes"),
        ("pid-file = 3", "invalid value '3' for --pid-file", "it must be a path, in quotes"),
        ("ws = 1", "invalid value '1' for --ws", "it must be true or false, without quotes"),
        ("ws = \"true\"", "invalid value '\"true\"' for --ws", "it must be true or false, without quotes"),
        (
            "port = \"80\"",
            "invalid value '\"80\"' for --port",
            "it must be a whole number from 0 to 65535, without quotes",
        ),
        (
            "workers = true",
            "invalid value 'true' for --workers",
            "it must be auto, a whole number from 1 to 1024, or two of them as MIN:MAX",
        ),
        (
            "workers = [1, 2]",
            "invalid value '[1, 2]' for --workers",
            "it must be auto, a whole number from 1 to 1024, or two of them as MIN:MAX",
        ),
        ("app = 1979-05-27", "invalid value '1979-05-27' for --app", "it must be text, in quotes"),
        (
            "env-files = [[\"a\"]]",
            "invalid value '[[\"a\"]]' for --env-files",
            "it must be a path, in quotes, or a list of such",
        ),
    ] {
        assert_eq!(refused(text), (message.to_owned(), cause.to_owned()), "{text}");
    }
}

#[test]
fn an_error_names_the_line() {
    let line = |text: &str| {
        let file = file(text);
        failure(&["--config", file.path().to_str().unwrap()], &[])
    };
    for wrong in ["workers = 5000", "workers = [\n1]", "ws = 1"] {
        assert!(line(&format!("\n# é\n{wrong}\n")).message.ends_with(", line 3)"), "{wrong}");
    }
    let unknown = line("\nzzz = 3\n");
    assert_eq!(unknown.cause.as_deref(), Some("line 2: there is no option `zzz`"));
    let negated = line("no-ws = true");
    assert_eq!(negated.hint.as_deref(), Some("write `ws = false`"));
}

#[test]
fn the_file_has_no_sections() {
    for (text, name) in [
        ("[workers]\nworkers = 3", "workers"),
        ("[hostler]\nworkers = 3", "hostler"),
        ("http.version = 1", "http"),
    ] {
        let (_, cause) = refused(&format!("\n{text}"));
        assert_eq!(cause, format!("line 2: `{name}` is a section, and the file has none"));
    }
    assert!(refused("workers = { n = 3 }").1.contains("it must be auto"));
}

#[test]
fn values_of_the_options_types_are_taken() {
    assert_eq!(read("workers = 3").settings.supervision.workers, WorkerCount::Fixed(3));
    assert_eq!(read("workers = \"3\"").settings.supervision.workers, WorkerCount::Fixed(3));
    assert_eq!(read("workers = 0x10").settings.supervision.workers, WorkerCount::Fixed(16));
    assert_eq!(read("preload = true").settings.app.preload, Some(Preload::Warn));
    assert_eq!(read("preload = false").settings.app.preload, None);
    assert_eq!(read("backlog = 1_000").settings.listen.backlog, 1000);
    assert_eq!(read("bind = \"a:1\"").settings.listen.bind, read("bind = [\"a:1\"]").settings.listen.bind);
    read("http = 1");
}

#[test]
fn one_option_under_two_names_is_refused() {
    for (text, names) in [
        ("threads = 1\nruntime-threads = 1", ["threads", "runtime-threads"]),
        ("graceful-timeout = 3\ngraceful_timeout = 5", ["graceful-timeout", "graceful_timeout"]),
        ("root-path = \"/a\"\nurl-path-prefix = \"/b\"", ["root-path", "url-path-prefix"]),
    ] {
        let (_, cause) = refused(text);
        assert!(cause.contains("two names of one option"), "{cause}");
        assert!(names.into_iter().all(|name| cause.contains(&format!("`{name}`"))), "{cause}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let file = file("wrokers = 2\nbacklog = 3\nport = 80\nlog-level = \"loud\"\n");
    let Failure { status, message, cause, .. } = failure(&["--config", file.path().to_str().unwrap()], &[]);
    assert_eq!((status, cause), (ExitStatus::Config, None));
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines[0], "the configuration has 3 mistakes");
    assert!(lines[1].contains("line 1: there is no option `wrokers`: did you mean `workers`?"), "{message}");
    for wrong in
        ["invalid value '3' for --backlog (file ", "line 2): it must be a whole number from 128", "'loud'"]
    {
        assert!(message.contains(wrong), "{message}");
    }
}
