//! From sources to settings, without a server.

mod addresses;
mod environment;
mod file;
mod peers;
mod schema;

use crate::{Config, Outcome, Reading, parse};
use hostler_settings::{ByteSize, Preload, Settings, WorkerCount};
use hostler_wire::{ExitStatus, Failure};
use std::{collections::BTreeSet, ffi::OsString, time::Duration};

type Variables<'a> = &'a [(&'a str, &'a str)];

fn outcome(args: &[&str], variables: Variables<'_>) -> Result<Outcome, Failure> {
    let args = ["hostler"].iter().chain(args).map(OsString::from);
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    parse(args, variables, Reading::First, &hostler_peers::NoFiles)
}

pub(crate) fn config(args: &[&str], variables: Variables<'_>) -> Config {
    let args = [&["a:b"], args].concat();
    match outcome(&args, variables).unwrap() {
        Outcome::Run(config) => *config,
        Outcome::Print(text) | Outcome::Refused(text, _) => panic!("printed:\n{text}"),
        Outcome::Check(_) => panic!("checked"),
    }
}

fn failure(args: &[&str], variables: Variables<'_>) -> Failure {
    outcome(&[&["a:b"], args].concat(), variables).unwrap_err()
}

fn printed(args: &[&str], variables: Variables<'_>) -> String {
    match outcome(args, variables).unwrap() {
        Outcome::Print(text) => text,
        Outcome::Run(_) | Outcome::Check(_) | Outcome::Refused(..) => panic!("{args:?} does not print"),
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn without_options_the_settings_are_the_defaults() {
    let Config { settings, binds_chosen, .. } = config(&[], &[]);
    let mut expected = Settings::default();
    expected.app.target = Some("a:b".into());
    assert_eq!(settings, expected);
    assert!(!binds_chosen);
}

#[test]
fn every_default_is_a_value_that_its_option_takes() {
    for option in Settings::options().filter(|option| !option.default().is_empty()) {
        let mut settings = Settings::default();
        settings.set(option, &option.default()).unwrap_or_else(|bad| panic!("{option:?}: {bad:?}"));
        assert_eq!(settings, Settings::default(), "{option:?}");
    }
}

#[test]
fn names_are_unique() {
    let mut names = BTreeSet::new();
    for option in Settings::options() {
        for name in [&[option.name], option.aliases].concat() {
            assert!(names.insert(name), "there are two options {name}");
        }
        assert!(!option.help().is_empty() && !option.help().ends_with('.'), "{option:?}");
    }
}

#[test]
fn argv_wins_over_the_environment_and_that_over_the_file() {
    let file = file("workers = 2\nbacklog = 500\ngraceful_timeout = 1.5\n");
    let config_option = format!("--config={}", file.path().display());
    let found = config(&[&config_option, "-w4"], &[("HOSTLER_WORKERS", "3"), ("HOSTLER_BACKLOG", "600")]);
    assert_eq!(found.settings.supervision.workers, WorkerCount::Fixed(4));
    assert_eq!(found.settings.listen.backlog, 600);
    assert_eq!(found.settings.supervision.graceful_timeout, Duration::from_millis(1500));

    let listing = printed(&["a:b", &config_option, "--print-config"], &[("HOSTLER_BACKLOG", "600")]);
    let line = |name: &str| listing.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(line("workers ").ends_with(&format!("# file {}, line 1", file.path().display())), "{listing}");
    assert!(line("backlog ").ends_with("# environment variable HOSTLER_BACKLOG"), "{listing}");
    assert!(line("port ").ends_with("# default"), "{listing}");
}

#[test]
fn passwords_are_not_printed() {
    let argv = ["a:b", "--print-config", "--ssl-keyfile-password", "from-argv"];
    let listings =
        [printed(&argv, &[]), printed(&argv[..2], &[("HOSTLER_SSL_KEYFILE_PASSWORD", "from-env")])];
    for listing in listings {
        let line = listing.lines().find(|line| line.starts_with("ssl-keyfile-password")).unwrap();
        assert!(line.contains("(not shown)") && !listing.contains("from-"), "{line}");
    }
    assert!(!printed(&argv[..2], &[]).contains("(not shown)"));
}

#[test]
fn flags_lists_and_modes() {
    assert!(!config(&["--no-ws"], &[]).settings.websocket.enabled);
    assert!(config(&["--no-ws", "--ws"], &[]).settings.websocket.enabled);
    assert!(!config(&[], &[("HOSTLER_WS", "false")]).settings.websocket.enabled);
    assert!(!config(&["--no-ws", "--no-ws"], &[]).settings.websocket.enabled);
    assert!(config(&["--ws", "--no-ws", "--ws"], &[]).settings.websocket.enabled);
    assert!(!config(&["--no-ws", "--ws", "--no-ws"], &[]).settings.websocket.enabled);
    assert_eq!(config(&["--no-preload", "--no-preload"], &[]).settings.app.preload, None);
    assert_eq!(config(&["--no-preload", "--preload"], &[]).settings.app.preload, Some(Preload::Warn));
    assert_eq!(config(&["--preload"], &[]).settings.app.preload, Some(Preload::Warn));
    assert_eq!(config(&["--preload=strict"], &[]).settings.app.preload, Some(Preload::Strict));
    assert_eq!(config(&["--preload=strict", "--no-preload"], &[]).settings.app.preload, None);
    let two = config(&["-b", "[::1]:80", "--bind", "unix:/a"], &[]);
    let from_env = config(&[], &[("HOSTLER_BIND", "[::1]:80, unix:/a")]);
    assert_eq!(two.settings.listen.addresses().len(), 2);
    assert_eq!(two.settings, from_env.settings);
    assert!(two.binds_chosen && from_env.binds_chosen);
}

#[test]
fn other_names_set_the_same() {
    assert_eq!(config(&["--root-path", "/x/"], &[]).settings.app.root_path.0, "/x");
    assert_eq!(config(&[], &[("WEB_CONCURRENCY", "7")]).settings.supervision.workers, WorkerCount::Fixed(7));
    let both: Variables<'_> = &[("WEB_CONCURRENCY", "7"), ("HOSTLER_WORKERS", "auto")];
    assert_eq!(config(&[], both).settings.supervision.workers, WorkerCount::Auto);
    let limits = config(&["--workers-kill-timeout", "7"], &[]).settings.supervision;
    assert_eq!(limits.graceful_timeout, Duration::from_secs(7));
}

#[test]
fn variables_of_other_programs_set_what_nothing_else_sets() {
    let file = file("workers = 3\nforwarded-allow-ips = \"10.0.0.1\"\n");
    let common: Variables<'_> = &[("WEB_CONCURRENCY", "7"), ("FORWARDED_ALLOW_IPS", "*")];
    let set = config(&["--config", file.path().to_str().unwrap()], common).settings;
    let expected = config(&["-w3", "--forwarded-allow-ips", "10.0.0.1"], &[]).settings;
    assert_eq!((set.supervision, set.proxy), (expected.supervision, expected.proxy));
    let everyone = config(&["--forwarded-allow-ips", "*"], &[]).settings.proxy;
    assert_eq!(config(&[], common).settings.proxy, everyone);
    // One that is not asked is not checked.
    config(&["-w3"], &[("WEB_CONCURRENCY", "many")]);
}

#[test]
fn units() {
    let settings = config(&["--workers-max-rss", "300", "--slow-callback", "0"], &[]).settings;
    assert_eq!(settings.supervision.max_memory, Some(ByteSize::mib(300)));
    assert_eq!(settings.supervision.slow_callback, None);
    let settings = config(&["--ws-max-size", "2MiB", "--http1-header-read-timeout", "800"], &[]).settings;
    assert_eq!(settings.websocket.max_size, ByteSize::mib(2));
    assert_eq!(settings.http.header_read_timeout, Duration::from_millis(800));
    for (text, micros) in [("1.5", 1_500), ("2", 2_000), ("2s", 2_000_000), ("500ms", 500_000)] {
        let slow = config(&["--slow-callback", text], &[]).settings.supervision.slow_callback;
        assert_eq!(slow, Some(Duration::from_micros(micros)), "{text}");
    }
}

#[test]
fn an_error_says_what_where_and_what_is_accepted() {
    let wrong = failure(&["--workers", "many"], &[]);
    assert_eq!(wrong.status, ExitStatus::Usage);
    assert_eq!(wrong.message, "invalid value 'many' for --workers (command line)");
    assert_eq!(
        wrong.cause.as_deref(),
        Some("it must be auto, a whole number from 1 to 1024, or two of them as MIN:MAX")
    );

    let wrong = failure(&[], &[("HOSTLER_BIND", "no where")]);
    assert_eq!(wrong.status, ExitStatus::Config);
    assert_eq!(wrong.message, "invalid value 'no where' for --bind (environment variable HOSTLER_BIND)");
    assert!(wrong.cause.unwrap().contains("HOST:PORT"));

    let wrong = failure(&["--wrokers", "2"], &[]);
    assert!(wrong.hint.unwrap().contains("--workers"));

    let file = file("worker = 2\n");
    let wrong = failure(&["--config", &file.path().display().to_string()], &[]);
    assert_eq!(wrong.status, ExitStatus::Config);
    assert_eq!(wrong.cause.as_deref(), Some("line 1: there is no option `worker`"));
    assert_eq!(wrong.hint.as_deref(), Some("did you mean `workers`?"));
}

#[test]
fn an_error_of_values_from_two_places_names_both() {
    let file = file("\nworkers-kill-timeout = 60\n");
    let path = file.path().to_str().unwrap();
    let wrong = failure(&["--config", path, "--graceful-timeout", "10"], &[]);
    let kill = format!("--workers-kill-timeout 60 (file {path}, line 2)");
    assert_eq!(
        wrong.message,
        format!("{kill} and --graceful-timeout 10 (command line) contradict each other")
    );
}

#[test]
fn what_kills_idle_workers_or_is_no_text_of_the_system_is_refused() {
    for few in ["0.001", "99ms"] {
        let wrong = failure(&["--stall-timeout", few], &[]);
        assert_eq!(wrong.message, format!("--stall-timeout {few} cannot be used (command line)"));
    }
    assert_eq!(config(&["--stall-timeout", "0"], &[]).settings.supervision.stall_timeout, None);
    config(&["--stall-timeout", "100ms"], &[]);
    let wrong = failure(&["--working-dir", "/a\0b"], &[]);
    assert_eq!(wrong.message, "invalid value '/a\\0b' for --working-dir (command line)");
    assert_eq!(wrong.cause.as_deref(), Some("it contains a NUL"));
    assert!(failure(&["--host", ""], &[]).hint.unwrap().contains("0.0.0.0"));
    for table in [
        r#"route = "/a\u0000", path = "/tmp""#,
        r#"route = "/a", path = "/tmp\u0000""#,
        r#"route = "/a", path = "/tmp", index = "i\u0000""#,
        r#"route = "/a", path = "/tmp", fallback = "i\u0000""#,
    ] {
        let file = file(&format!("static-mount = [{{ {table} }}]"));
        let wrong = failure(&["--config", file.path().to_str().unwrap()], &[]);
        assert_eq!(wrong.cause.as_deref(), Some("it contains a NUL"), "{table}");
        assert!(!wrong.message.contains('\0'), "{}", wrong.message);
    }
}

#[test]
fn secrets_are_not_shown_in_errors() {
    let wrong = failure(&["--ssl-keyfile-password", "hunter\0"], &[]);
    assert_eq!(wrong.message, "invalid value '(not shown)' for --ssl-keyfile-password (command line)");
}

#[test]
fn what_is_not_served_is_refused_or_reported() {
    let passed = failure(&["--admin", "fd://4"], &[]);
    assert_eq!(passed.message, "--admin fd://4 cannot be used (command line)");
    let respawn = failure(&["--no-respawn-failed-workers"], &[]);
    assert_eq!(respawn.message, "--no-respawn-failed-workers cannot be used (command line)");
    assert!(failure(&["--runtime-threads", "2"], &[]).cause.unwrap().contains("one thread"));
    let found = config(&["--no-opt"], &[]).pointless;
    let found: Vec<_> = found.iter().map(|found| (found.option.as_str(), found.reason)).collect();
    assert_eq!(found, [("--no-opt (command line)", "optimisations are always on")]);
}

#[test]
fn print_config_ends_as_the_start_would() {
    for args in [
        &["a:b", "--runtime-threads", "2"][..],
        &["a:b", "--user", "nobody-of-that-name"],
        &["a:b", "--max-requests-jitter", "5"],
        &[],
    ] {
        let start = outcome(args, &[]).unwrap_err();
        match outcome(&[args, &["--print-config"]].concat(), &[]).unwrap() {
            Outcome::Refused(listing, failure) => {
                assert!(listing.contains("workers-lifetime "), "{listing}");
                assert_eq!((failure.status, failure.message), (start.status, start.message));
            }
            Outcome::Print(_) | Outcome::Check(_) | Outcome::Run(_) => panic!("{args:?} is not refused"),
        }
    }
}

#[test]
fn what_is_printed_names_every_option() {
    let (manual, schema) = (printed(&["--print-man"], &[]), printed(&["--print-schema"], &[]));
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    for option in Settings::options().filter(|option| !option.hidden && !option.argv_only) {
        assert!(manual.contains(&option.name.replace('-', "\\-")), "{option:?}");
        if option.name != "config" {
            assert!(schema["properties"][option.name].is_object(), "{option:?}");
        }
    }
    assert_eq!(schema["properties"]["workers"]["default"], 1);
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["--print-completions", shell], &[]);
        assert!(script.contains("workers-lifetime") && script.contains("asginl"), "{shell}");
    }
}

/// Each line alone, for some exclude each other.
#[test]
fn every_line_of_the_sample_can_be_used() {
    let sample = printed(&["--print-sample"], &[]);
    let options = sample.lines().filter_map(|line| line.strip_prefix("# "));
    let options = options.filter(|line| line.split_once(" = ").is_some_and(|(name, _)| !name.contains(' ')));
    let mut used = 0;
    for line in options {
        let file = file(line);
        // What one of them needs.
        config(&["--config", file.path().to_str().unwrap(), "--max-requests", "10000"], &[]);
        used += 1;
    }
    assert!(used > 50, "{used}");
}

#[test]
fn the_short_help_has_what_is_common_and_the_long_one_everything() {
    let (short, all) = (printed(&["--help"], &[]), printed(&["--help-all"], &[]));
    assert_eq!(printed(&["-h"], &[]), short);
    for option in Settings::options().filter(|option| !option.hidden) {
        let line = format!("--{}", option.name);
        // "-w, --workers <N|MIN:MAX|auto>  Worker processes …"
        let is_in = |help: &str| {
            let mut names = help.lines().map(|line| line.trim().split("  ").next().unwrap_or_default());
            names.any(|names| names.split([' ', '[', '=']).any(|name| name == line) && names.starts_with('-'))
        };
        assert!(is_in(&all), "{line}");
        assert_eq!(is_in(&short), option.common, "{line}");
    }
    assert!(short.lines().count() < 100, "{short}");
}

#[test]
fn an_engine_of_tasks_needs_what_it_works_with() {
    let refused = |more: &[&str]| {
        let wrong = failure(&[&["--task-engine", "celery"], more].concat(), &[]);
        wrong.cause.unwrap_or_default()
    };
    assert_eq!(refused(&[]), "Celery needs a broker");
    assert_eq!(refused(&["--task-broker", "amqp://b"]), "this broker keeps no results");
    let scaled = refused(&["--task-broker", "redis://r", "--task-workers", "1:4"]);
    assert_eq!(scaled, "Celery's broker does not say how much waits");
    let ray =
        |more: &[&str]| failure(&[&["--task-engine", "ray"], more].concat(), &[]).cause.unwrap_or_default();
    for workers in ["0:4", "2"] {
        assert!(ray(&["--task-workers", workers]).starts_with("Ray's own workers"), "{workers}");
    }
    for address in ["here", "local:", "local:0", "local:70000", "10.0.0.5", "10.0.0.5:x", ":6379"] {
        assert!(ray(&["--task-ray-address", address]).contains("no address"), "{address}");
    }
    assert!(ray(&["--task-ray-address", "ray://head:10001"]).contains("Ray's client"));
    let taken = ray(&["--task-ray-address", "local", "--companion", "ray-cluster=true"]);
    assert!(taken.starts_with("a companion is called ray-cluster"), "{taken}");
    for (address, joined) in [
        ("auto", "auto"),
        ("10.0.0.5:6379", "10.0.0.5:6379"),
        ("local", "127.0.0.1:6390"),
        ("local:7000", "127.0.0.1:7000"),
    ] {
        let settled = config(&["--task-engine", "ray", "--task-ray-address", address], &[]);
        assert_eq!(settled.settings.tasks.ray(), joined);
    }
    config(&["--task-engine", "celery", "--task-broker", "redis://r"], &[]);
    config(&["--task-engine", "celery", "--task-broker", "amqp://b", "--task-results", "redis://r"], &[]);
}
