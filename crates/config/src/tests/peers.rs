//! Names and variables of other servers, on hostler's own command line and beside it.

use super::{Variables, config, failure, outcome};
use crate::Outcome;
use hostler_settings::{Bind, Interface, WorkerCount};

fn addresses(args: &[&str], variables: Variables<'_>) -> Vec<String> {
    config(args, variables).settings.listen.addresses().iter().map(Bind::to_string).collect()
}

#[test]
fn port_says_where_to_listen_if_nothing_else_does() {
    let port: Variables<'_> = &[("PORT", "5000")];
    assert_eq!(addresses(&[], port), ["0.0.0.0:5000"]);
    assert_eq!(addresses(&["--host", "127.0.0.2"], port), ["127.0.0.2:5000"]);
    assert_eq!(addresses(&["--port", "80"], port), ["127.0.0.1:80"]);
    assert_eq!(addresses(&["-b", "127.0.0.1:80"], port), ["127.0.0.1:80"]);
    assert_eq!(addresses(&["-b", "127.0.0.1"], port), ["127.0.0.1:5000"]);
    assert_eq!(addresses(&["--uds", "/run/a"], port), ["unix:/run/a"]);
    assert_eq!(addresses(&[], &[("PORT", "5000"), ("HOSTLER_PORT", "81")]), ["127.0.0.1:81"]);
    assert_eq!(addresses(&[], &[("PORT", "")]), ["127.0.0.1:8000"]);
    // Sockets that a service manager passes take precedence.
    assert!(!config(&[], port).binds_chosen && config(&["--host", "::"], port).binds_chosen);
    let wrong = failure(&[], &[("PORT", "http")]);
    assert!(wrong.message.contains("'http' for --port (environment variable PORT)"), "{wrong:?}");
}

#[test]
fn variables_of_other_servers_are_one_warning() {
    let set: Variables<'_> =
        &[("UVICORN_PORT", "80"), ("GUNICORN_CMD_ARGS", "-w 4"), ("GRANIAN_HOST", "::"), ("UVICORN_X", "1")];
    let found = config(&[], set).unknown_variables;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].name, "GRANIAN_HOST, GUNICORN_CMD_ARGS, UVICORN_PORT");
    assert!(found[0].hint.contains("hostler as granian"), "{found:?}");
    assert_eq!(config(&[], &[("GRANIAN_PORT", "tcp://10.0.0.1:80")]).unknown_variables, []);
}

#[test]
fn options_of_other_servers_are_named_as_ours() {
    for (args, words) in [
        (&["--timeout", "30"][..], "Gunicorn's --timeout is --stall-timeout here"),
        (&["-k", "gevent"], "`hostler as gunicorn …` takes all of its options"),
        (
            &["--worker-class", "gthread"],
            "Gunicorn's --worker-class is --interface and --blocking-threads here",
        ),
        (&["--worker-tmp-dir", "/dev/shm"], "is not needed: heartbeats are in shared memory"),
        (&["--daemon"], "hostler stays in the foreground"),
        (&["--lifespan", "off"], "Uvicorn's --lifespan is --interface here: off is --interface asginl"),
        (&["--quic-bind", ":443"], "Hypercorn's --quic-bind: HTTP/3 is not served"),
        (&["--threads", "4"], "--blocking-threads (Gunicorn's --threads)"),
    ] {
        let failure = failure(args, &[]);
        assert!(failure.hint.as_ref().is_some_and(|hint| hint.contains(words)), "{failure:?}");
    }
    let own = failure(&["--wrokers", "2"], &[]);
    assert!(own.hint.is_some_and(|hint| hint.contains("--workers")));
}

#[test]
fn names_of_other_servers_with_the_same_meaning_are_taken() {
    let args = [
        "--certfile",
        "c",
        "--keyfile",
        "k",
        "--keyfile-password",
        "p",
        "--pid",
        "x.pid",
        "--chdir",
        "/srv",
        "--app-dir",
        "src",
        "--root-path",
        "/api",
        "--limit-max-requests",
        "10",
        "--timeout-keep-alive",
        "5",
        "--timeout-graceful-shutdown",
        "7",
        "--env-file",
        ".env",
        "--name",
        "shop",
        "--websocket-max-message-size",
        "1000",
        "--env",
        "A=b=c",
    ];
    let settings = config(&args, &[]).settings;
    assert_eq!(settings.process.pid_file, Some("x.pid".into()));
    assert_eq!(settings.app.working_dir, Some("/srv".into()));
    assert_eq!(settings.supervision.max_requests, Some(10));
    assert_eq!(settings.app.env[0].value, "b=c");
    assert_eq!(settings.tls.keyfile_password.as_deref(), Some("p"));
}

/// The peer's command line, `HOSTLER_…`, the peer's variables, what it does by itself.
#[test]
fn own_variables_stand_between_a_peers_command_line_and_its_variables() {
    let settings =
        |args: &[&str], variables: Variables<'_>| match outcome(&[&["as"], args].concat(), variables) {
            Ok(Outcome::Run(config)) => config.settings,
            other => panic!("{other:?}"),
        };
    let set: Variables<'_> = &[
        ("UVICORN_WORKERS", "3"),
        ("HOSTLER_WORKERS", "4"),
        ("HOSTLER_ACCESS_LOG", "off"),
        ("WEB_CONCURRENCY", "9"),
    ];
    let by_variable = settings(&["uvicorn", "a:b"], set);
    assert_eq!(by_variable.supervision.workers, WorkerCount::Fixed(4));
    assert!(!by_variable.log.access && by_variable.app.interface == Interface::Asgi);
    assert_eq!(
        settings(&["uvicorn", "a:b", "--workers", "2"], set).supervision.workers,
        WorkerCount::Fixed(2)
    );
    assert_eq!(settings(&["uvicorn", "a:b"], &set[..1]).supervision.workers, WorkerCount::Fixed(3));
    assert_eq!(settings(&["uvicorn", "a:b"], &set[3..]).supervision.workers, WorkerCount::Fixed(9));
    assert_eq!(settings(&["granian", "a:b"], &set[3..]).supervision.workers, WorkerCount::Fixed(1));
}

/// Uvicorn asks for these after it has read its file; what the environment has counts more.
#[test]
fn an_environment_file_of_uvicorn_says_how_many_workers_there_are() {
    let file = super::file("WEB_CONCURRENCY=5\nFORWARDED_ALLOW_IPS=10.0.0.1\nHOSTLER_WORKERS=8\n");
    let path = file.path().to_str().unwrap();
    let workers =
        |peer: &str, option: &str, set: Variables<'_>| match outcome(&["as", peer, "a:b", option, path], set)
        {
            Ok(Outcome::Run(config)) => config.settings.supervision.workers,
            other => panic!("{other:?}"),
        };
    assert_eq!(workers("uvicorn", "--env-file", &[]), WorkerCount::Fixed(5));
    assert_eq!(workers("uvicorn", "--env-file", &[("WEB_CONCURRENCY", "6")]), WorkerCount::Fixed(6));
    assert_eq!(workers("uvicorn", "--env-file", &[("UVICORN_WORKERS", "7")]), WorkerCount::Fixed(7));
    assert_eq!(workers("granian", "--env-files", &[]), WorkerCount::Fixed(1));
}

#[test]
fn contradictions_are_told_in_the_users_words() {
    let wrong =
        outcome(&["as", "granian", "a:b", "--workers-kill-timeout", "5", "--workers", "x"], &[]).unwrap_err();
    assert!(wrong.text().contains("invalid value 'x' for --workers (command line of granian)"), "{wrong:?}");
    let wrong = outcome(&["as", "gunicorn", "a:b", "-u", "nobody-of-that-name"], &[]).unwrap_err();
    assert!(
        wrong.text().contains("invalid value 'nobody-of-that-name' for -u (command line of gunicorn)"),
        "{wrong:?}"
    );
}

/// What `--explain` prints as hostler's own command line means the same.
#[test]
fn the_command_line_that_is_explained_has_the_same_settings() {
    for line in [
        "uvicorn main:app",
        "uvicorn main:app --host 0.0.0.0 --port 80 --workers 4 --proxy-headers --forwarded-allow-ips '*'",
        "uvicorn main:app --uds /run/u.sock --interface wsgi --log-level warning --root-path /api --factory",
        "uvicorn main:app --fd 3 --ws none --lifespan off --limit-concurrency 5 --limit-max-requests 9 --limit-max-requests-jitter 3",
        "uvicorn main:app --app-dir src --env-file .env --no-access-log --ssl-keyfile k --ssl-certfile c --ssl-keyfile-password 'p w'",
        "granian main:app",
        "granian --interface wsgi main:app --workers 2 --static-path-mount /srv --static-path-route /s --log-level debug --access-log",
        "granian --interface asgi main:app --uds-permissions 432 --uds /a --workers-lifetime 3h --workers-max-rss 512 --no-ws --http 1",
        "gunicorn proj.wsgi",
        "gunicorn 'app:create_app(\"it''s\")' -b :80 -b unix:/run/a --umask 007 --timeout 0 --preload --env 'A=b c'",
        "gunicorn -k uvicorn.workers.UvicornWorker a:b --max-requests 10 --max-requests-jitter 5 --access-logfile - --access-logformat '%(h)s \"%(r)s\"'",
        "gunicorn -k gevent a:b --limit-request-line 0 --limit-request-fields 0 --proxy-protocol --reuse-port --header-map refuse",
        "gunicorn -k asgi --asgi-lifespan off --threads 4 a:b --http-protocols h2 --name 'my app' --keep-alive 0",
        "hypercorn -b '[::]:80' main -k asyncio --access-log - --keyfile k --certfile c --ca-certs ca --verify-mode CERT_REQUIRED",
        "hypercorn wsgi:main:app --insecure-bind :80 --certfile c --keyfile k -m 18 --max-requests 7",
    ] {
        let words = hostler_peers::words::split(line).unwrap();
        let words: Vec<&str> = ["as"].into_iter().chain(words.iter().map(String::as_str)).collect();
        let Ok(Outcome::Run(config)) = outcome(&words, &[]) else {
            panic!("{line}: {:?}", outcome(&words, &[]))
        };
        let mut own = config.peer.unwrap();
        // Passwords are not printed; those of this test are none.
        for entry in &mut own.entries {
            if let hostler_peers::Outcome::Sets(settings, _) = &mut entry.outcome {
                settings.retain(|setting| !setting.option.secret);
            }
        }
        let command_line = own.command_line();
        let words = hostler_peers::words::split(&command_line).unwrap();
        let words: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        match outcome(&words, &[]) {
            Ok(Outcome::Run(again)) => {
                let mut expected = config.settings;
                expected.tls.keyfile_password = None;
                assert_eq!(again.settings, expected, "{line}\n{command_line}");
            }
            other => panic!("{line}\n{command_line}\n{other:?}"),
        }
    }
}

#[test]
fn words_that_are_no_text_are_told() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let args = ["hostler".as_ref(), "as".as_ref(), "uvicorn".as_ref(), OsStr::from_bytes(b"a\xff:b")];
    let wrong = crate::parse(args.map(OsStr::to_owned), [], crate::Reading::First, &hostler_peers::NoFiles)
        .unwrap_err();
    assert!(wrong.message.contains("is not UTF-8"), "{wrong:?}");
    let wrong = outcome(&["as", "gunicorn", "a:b"], &[("GUNICORN_CMD_ARGS", "--name 'a")]).unwrap_err();
    assert!(wrong.text().contains("GUNICORN_CMD_ARGS\na quotation with ' does not end"), "{wrong:?}");
    let wrong = outcome(&["as", "gunicorn", "a:b"], &[("GUNICORN_CMD_ARGS", "--nome a")]).unwrap_err();
    assert!(wrong.text().contains("--nome (gunicorn, environment variable GUNICORN_CMD_ARGS)"), "{wrong:?}");
}
