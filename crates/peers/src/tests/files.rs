//! Settings of `gunicorn.conf.py`.

use crate::{Files, Peer, Place, Script, Translation, translate, words};
use hostler_wire::Failure;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A working directory with these files.
struct Directory(&'static [File]);

/// Its name, and what it sets.
type File = (&'static str, fn() -> Value);

impl Files for Directory {
    fn exists(&self, path: &str) -> bool {
        self.0.iter().any(|(name, _)| *name == path)
    }

    fn settings(&self, script: &Script<'_>) -> Result<Map<String, Value>, Failure> {
        let named = ["accesslog", "bind", "umask", "wsgi_app", "when_ready"];
        let has = |name: &&str| script.names.iter().any(|known| known == name);
        assert!(script.location.starts_with("file:") || named.iter().all(has), "{:?}", script.names);
        self.toml(script.location)
    }

    fn toml(&self, location: &str) -> Result<Map<String, Value>, Failure> {
        let file =
            self.0.iter().find(|(name, _)| *name == location).unwrap_or_else(|| panic!("{location} is read"));
        Ok(file.1().as_object().unwrap().clone())
    }

    fn text(&self, path: &str) -> Result<String, Failure> {
        Ok(self.toml(path)?["text"].as_str().unwrap().to_owned())
    }
}

fn translation(line: &str, files: &dyn Files, cmd_args: &str) -> Translation {
    let variables = BTreeMap::from([("GUNICORN_CMD_ARGS".to_owned(), cmd_args.into())]);
    translate(Peer::Gunicorn, words::split(line).unwrap(), &variables, files).unwrap()
}

fn own(line: &str, files: &dyn Files, cmd_args: &str) -> String {
    let mut translation = translation(line, files, cmd_args);
    translation.entries.retain(|entry| entry.origin.place != Place::Default);
    translation.command_line().trim_start_matches("hostler").trim().to_owned()
}

const DEFAULT: File = ("gunicorn.conf.py", || {
    json!({
        "wsgi_app": "shop.wsgi:app", "bind": ["0.0.0.0:80", "unix:/run/shop.sock"], "workers": 5, "timeout": 120,
        "worker_class": "uvicorn.workers.UvicornWorker", "preload_app": true, "reload": false, "daemon": false,
        "sendfile": true, "accesslog": "-", "errorlog": "-", "raw_env": ["A=b", "C=d"], "keepalive": 5, "proc_name": null,
        "cores": 4, "default_bind": "x", "forwarded_allow_ips": "*", "post_fork": "__config__.post_fork",
    })
});

#[test]
fn the_default_file_is_read_and_below_variable_and_command_line() {
    let files = Directory(&[DEFAULT]);
    let expected = "shop.wsgi:app --bind 0.0.0.0:80 --bind unix:/run/shop.sock --workers 5 --stall-timeout 120 \
                    --interface asgi --preload=warn --no-reload --access-logfile - --env A=b --env C=d --keep-alive 5 \
                    --forwarded-allow-ips '*' --gunicorn-hooks gunicorn.conf.py";
    let words = |line: &str| {
        let mut words: Vec<String> = line.split(" --").map(str::to_owned).collect();
        words.sort();
        words
    };
    assert_eq!(words(&own("", &files, "")), words(expected));
    let line = own("other:app -w 2", &files, "-w 3 --timeout=60");
    assert!(line.starts_with("other:app --workers 2 --stall-timeout 60"), "{line}");
    assert!(!line.contains("shop.wsgi"), "{line}");
}

#[test]
fn the_named_file_is_read_in_place_of_the_default() {
    let files = Directory(&[
        DEFAULT,
        ("conf/prod.py", || json!({"workers": "7"})),
        ("python:shop.conf", || json!({"umask": 7, "bind": "unix:/a"})),
    ]);
    assert_eq!(own("a:b -c conf/prod.py", &files, ""), "a:b --workers 7");
    assert_eq!(own("a:b", &files, "-c conf/prod.py"), "a:b --workers 7");
    assert_eq!(
        own("a:b -c python:shop.conf", &files, "-c conf/prod.py"),
        "a:b --bind unix:/a --uds-permissions 0770"
    );
}

#[test]
fn what_cannot_be_is_refused_and_hooks_say_when_they_are_called() {
    let files = Directory(&[("gunicorn.conf.py", || {
        json!({"statsd_host": "localhost:8125", "when_ready": "__config__.when_ready", "pre_request": "__config__.pre_request",
               "logger_class": "shop.logs.Logger", "on_exit": "__config__.on_exit"})
    })]);
    let translation = translation("a:b", &files, "");
    let text = translation.refusal().unwrap().text();
    for words in
        ["3 options of gunicorn", "statsd_host = localhost:8125", "middleware", "HOSTLER_LOG_FORMAT=json"]
    {
        assert!(text.contains(words), "{text}");
    }
    let explanation = translation.explanation();
    let lost: Vec<_> = translation.lost().map(|(origin, _)| origin.name.as_str()).collect();
    assert_eq!(lost, ["on_exit"]);
    assert!(
        explanation.contains("--gunicorn-hooks gunicorn.conf.py: called once, in the first worker"),
        "{explanation}"
    );
    assert!(explanation.contains("no effect: the master runs no Python"), "{explanation}");
}

#[test]
fn hypercorns_files_are_toml_or_python() {
    let files = Directory(&[
        ("h.toml", || {
            json!({"bind": ["0.0.0.0:8080"], "workers": 2, "accesslog": "-", "keep_alive_timeout": 10, "include_server_header": false,
                   "h2_max_concurrent_streams": 50, "use_reloader": false})
        }),
        ("file:h.py", || json!({"bind": "unix:/run/h", "loglevel": "WARNING", "helper": "x"})),
    ]);
    let own = |line: &str| {
        let words = words::split(line).unwrap();
        let mut translation = translate(Peer::Hypercorn, words, &BTreeMap::new(), &files).unwrap();
        assert_eq!(translation.refusal(), None);
        translation.entries.retain(|entry| entry.origin.place != Place::Default);
        translation.command_line()
    };
    let line = own("-c h.toml -w 3 shop:app");
    for words in [
        "--workers 3",
        "--bind 0.0.0.0:8080",
        "--access-logfile -",
        "--keep-alive 10",
        "--http2-max-concurrent-streams 50",
    ] {
        assert!(line.contains(words), "{line}");
    }
    assert_eq!(own("--config file:h.py shop:app"), "hostler shop:app --bind unix:/run/h --log-level warning");
}

#[test]
fn files_become_files_of_hostlers() {
    let files = Directory(&[
        ("uwsgi.ini", || {
            json!({"text": "[other]\nx = 1\n[uwsgi]\nproject = shop\nbase = /srv/%(project)\nchdir = %(base)\nmodule = %(project).wsgi\n\
                            ; a comment\nmaster = true\nprocesses = 4\nthreads = 2\nsocket = /run/%(project).sock\nchmod-socket = 660\n\
                            vacuum = true\nharakiri = 30\nenv = A=b\nenv = C=d\nstatic-map = /static=/srv/static\nroute = ^/x break:403\n\
                            lazy-apps = true\nspooler = /tmp\nhome = /srv/venv/\nreload-on-rss = 200\nlog-date\n"})
        }),
        DEFAULT,
    ]);
    let text = crate::migrate("uwsgi.ini", &files).unwrap();
    for line in [
        "working-dir = \"/srv/shop\"",
        "app = \"shop.wsgi:application\"",
        "workers = 4",
        "blocking-threads = 2",
        "bind = [\"unix:/run/shop.sock\"]  # it speaks HTTP: in nginx, proxy_pass http://… in place of uwsgi_pass",
        "uds-permissions = \"660\"",
        "request-timeout = 30  # the response is 504; the worker is not killed",
        "env = [\"A=b\", \"C=d\"]",
        "static-mount = [\"/static=/srv/static\"]",
        "python = \"/srv/venv/bin/python\"",
        "workers-max-rss = 200",
        "interface = \"wsgi\"  # it serves WSGI",
        "# not needed: master = True: hostler always does so",
        "# TO DO: route: hostler does not know this option of uWSGI",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
    }
    assert!(
        text.contains("# TO DO: spooler = /tmp: hostler runs no other tasks") && !text.contains("preload"),
        "{text}"
    );
    let text = crate::migrate("gunicorn.conf.py", &files).unwrap();
    for line in
        ["workers = 5", "preload = \"warn\"", "reload = false", "access-logfile = \"-\"", "keep-alive = 5"]
    {
        assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
    }
}
