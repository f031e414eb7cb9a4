//! Variables of the environment: names, texts that are none, and those that are not for the server.

use super::{config, failure, outcome, printed};
use crate::{Outcome, Reading, UnknownVariable, parse};
use hostler_settings::{Interface, WorkerCount};
use hostler_wire::{ExitStatus, Failure};
use std::{ffi::OsString, os::unix::ffi::OsStringExt};

fn with_bytes(name: &[u8], value: &[u8]) -> Result<Outcome, Failure> {
    let variable = [name, value].map(|bytes| OsString::from_vec(bytes.to_vec()));
    let args = ["hostler", "a:b"].map(OsString::from);
    parse(args, [variable.into()], Reading::First, &hostler_peers::NoFiles)
}

#[test]
fn a_variable_of_ours_that_is_not_utf8_is_refused_by_name() {
    for name in ["HOSTLER_WORKERS", "HOSTLER_PID_FILE", "HOSTLER_ROOT_PATH", "WEB_CONCURRENCY"] {
        let wrong = with_bytes(name.as_bytes(), b"/\xff").unwrap_err();
        assert_eq!(wrong.message, format!("the environment variable {name} is not UTF-8"));
        assert_eq!(wrong.status, ExitStatus::Config);
    }
    for foreign in [&b"PATH"[..], b"X\xff"] {
        assert!(with_bytes(foreign, b"/\xff").is_ok());
    }
}

#[test]
fn aliases_set_options() {
    assert_eq!(config(&[], &[("HOSTLER_ROOT_PATH", "/x")]).settings.app.root_path.0, "/x");
    let threads = failure(&[], &[("HOSTLER_THREADS", "5")]);
    assert_eq!(threads.message, "--runtime-threads 5 cannot be used (environment variable HOSTLER_THREADS)");
    let both = [("HOSTLER_ROOT_PATH", "/x"), ("HOSTLER_URL_PATH_PREFIX", "/x")];
    assert_eq!(config(&[], &both).settings.app.root_path.0, "/x");
    let wrong = failure(&[], &[("HOSTLER_ROOT_PATH", "/x"), ("HOSTLER_URL_PATH_PREFIX", "/y")]);
    assert!(wrong.message.contains("HOSTLER_ROOT_PATH") && wrong.message.contains("HOSTLER_URL_PATH_PREFIX"));
    assert_eq!(wrong.status, ExitStatus::Config);
}

#[test]
fn unknown_variables_are_told_with_a_suggestion() {
    let unknown = |name: &'static str| {
        config(&[], &[(name, "3")])
            .unknown_variables
            .into_iter()
            .map(|UnknownVariable { name, hint }| (name, hint))
            .collect::<Vec<_>>()
    };
    for (name, hint) in [
        ("HOSTLER_WROKERS", "did you mean HOSTLER_WORKERS?"),
        ("HOSTLER_workers", "did you mean HOSTLER_WORKERS?"),
        ("HOSTLER_ROOTPATH", "did you mean HOSTLER_ROOT_PATH?"),
        ("HOSTLER_NO_WS", "set HOSTLER_WS=false"),
        ("HOSTLER_PRINT_CONFIG", "--print-config is for the command line only"),
        ("HOSTLER_ZZZ", "`hostler --help-all` lists all options"),
    ] {
        assert_eq!(unknown(name), [(name.to_owned(), hint.to_owned())]);
    }
    let listing = printed(&["a:b", "--print-config"], &[("HOSTLER_WROKERS", "3")]);
    assert!(listing.ends_with("HOSTLER_WROKERS has no effect: did you mean HOSTLER_WORKERS?\n"), "{listing}");
    for ours in [
        "HOSTLER_UPGRADE",
        "HOSTLER_WORKER",
        "HOSTLER_GENERATION",
        "HOSTLER_TEST_PYTHON",
        "HOSTLERX",
        "MY_HOSTLER_X",
    ] {
        assert_eq!(unknown(ours), [], "{ours}");
    }
}

/// A service called "hostler", and others that begin so.
#[test]
fn what_kubernetes_sets_for_services_is_ignored() {
    let found = config(
        &[],
        &[
            ("HOSTLER_SERVICE_HOST", "10.0.0.1"),
            ("HOSTLER_SERVICE_PORT", "80"),
            ("HOSTLER_SERVICE_PORT_HTTP", "80"),
            ("HOSTLER_PORT", "tcp://10.0.0.1:80"),
            ("HOSTLER_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("HOSTLER_PORT_80_TCP_PROTO", "tcp"),
            ("HOSTLER_PORT_80_TCP_PORT", "80"),
            ("HOSTLER_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("HOSTLER_METRICS_SERVICE_HOST", "10.0.0.2"),
            ("HOSTLER_METRICS_PORT", "udp://10.0.0.2:53"),
            ("HOSTLER_METRICS_PORT_53_UDP", "udp://10.0.0.2:53"),
            ("HOSTLER_WORKERS", "3"),
        ],
    );
    assert_eq!(found.unknown_variables, []);
    assert_eq!((found.settings.listen.port, found.binds_chosen), (8000, false));
    assert_eq!(found.settings.metrics.port, 9090);
    assert_eq!(found.settings.supervision.workers, WorkerCount::Fixed(3));
    assert_eq!(config(&[], &[("HOSTLER_PORT", "9000")]).settings.listen.port, 9000);
    assert!(outcome(&["a:b"], &[("HOSTLER_PORT", "http://x")]).is_err());
}

#[test]
fn switches_and_choices_are_read_in_the_words_that_people_use() {
    for (on, off) in [("1", "0"), ("on", "Off"), ("YES", "no"), ("True", "FALSE")] {
        assert!(config(&[], &[("HOSTLER_ACCESS_LOG", on)]).settings.log.access, "{on}");
        assert!(!config(&[], &[("HOSTLER_WS", off)]).settings.websocket.enabled, "{off}");
    }
    let wrong = failure(&[], &[("HOSTLER_ACCESS_LOG", "maybe")]);
    assert_eq!(wrong.cause.as_deref(), Some("it must be true or false"));
    assert_eq!(config(&[], &[("HOSTLER_INTERFACE", "ASGI")]).settings.app.interface, Interface::Asgi);
    assert_eq!(config(&["--interface", "Wsgi"], &[]).settings.app.interface, Interface::Wsgi);
    // Of what is refused, "off" is what the server does anyway.
    assert!(config(&[], &[("HOSTLER_METRICS", "0")]).pointless.is_empty());
}
