//! Certificates that change while the server runs: at a reload, and when their files do.

use crate::tls_support::{Authority, certificate_in};
use hostler_testkit::{READABLE_PYTHON, Server, can_make_namespaces, python};
use nix::sys::signal::Signal;
use std::{fs, os::unix::fs::PermissionsExt};

const APP: &str = "supervised:app";

#[test]
fn a_reload_serves_the_new_certificate_and_refuses_a_bad_one() {
    let authority = Authority::new("tls-hup");
    let files = authority.server();
    let server = files.start(APP);
    let first = certificate_in(&files.certificate);
    assert_eq!(authority.client().connect(&server).certificate(), first);
    let new = authority.make("server", &["localhost", "new.example"], |_| {});
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    server.wait_for("worker exited", 2);
    let second = certificate_in(&new.certificate);
    assert_ne!(first, second);
    assert_eq!(authority.client().connect(&server).certificate(), second);
    fs::write(&files.key, "nothing").unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for("cannot use the key", 1);
    assert_eq!(authority.client().connect(&server).certificate(), second);
    server.stop();
}

#[test]
fn files_that_change_are_served_without_replacing_workers_and_bad_ones_are_not() {
    let authority = Authority::new("tls-watch");
    let files = authority.server();
    let server = files.start(APP);
    let mut open = authority.client().connect(&server);
    let worker = open.get("/pid");
    fs::write(&files.certificate, "nothing").unwrap();
    server.wait_for("certificates have changed and cannot be used: the old ones are served", 1);
    assert!(!authority.client().get(&server, "/pid").is_empty());
    let new = authority.make("server", &["localhost", "new.example"], |_| {});
    server.wait_for("certificates have changed: the new ones are served", 1);
    let second = certificate_in(&new.certificate);
    server.wait_until("served", || authority.client().connect(&server).certificate() == second);
    assert_eq!(open.get("/pid"), worker, "connections go on");
    assert!(!server.log().contains("worker draining"));
    // A worker that is made later serves the new one, too.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker.parse().unwrap()), Signal::SIGKILL).unwrap();
    server.wait_for("worker ready", 3);
    for _ in 0..10 {
        assert_eq!(authority.client().connect(&server).certificate(), second);
    }
    server.stop();
}

#[test]
fn files_that_change_while_the_server_starts_are_served() {
    let authority = Authority::new("tls-early");
    let files = authority.server();
    // The certificate is read before Python starts, and given to workers when the application is imported.
    let (begun, goes_on) = (authority.dir.join("begun"), authority.dir.join("goes-on"));
    let wait = "import os, time\nopen(os.environ['BEGUN'], 'w').close()\n\
                while not os.path.exists(os.environ['GOES_ON']): time.sleep(0.01)\nfrom supervised import app\n";
    fs::write(authority.dir.join("waits.py"), wait).unwrap();
    let mut server = files
        .serve(Server::app("waits:app"))
        .arg("--preload")
        .env("PYTHONPATH", authority.dir.to_str().unwrap())
        .env("BEGUN", begun.to_str().unwrap())
        .env("GOES_ON", goes_on.to_str().unwrap())
        .launch();
    server.wait_for_file(&begun);
    let new = authority.make("server", &["localhost", "new.example"], |_| {});
    fs::write(&goes_on, "").unwrap();
    server.wait_for("worker ready", 1);
    server.address = server.logged_address();
    let second = certificate_in(&new.certificate);
    server.wait_until("served", || authority.client().connect(&server).certificate() == second);
    server.stop();
}

#[test]
fn certificates_behind_symbolic_links_are_followed() {
    let authority = Authority::new("tls-links");
    let (one, two) =
        (authority.make("one", &["localhost"], |_| {}), authority.make("two", &["localhost"], |_| {}));
    let link = |files: &crate::tls_support::Files| {
        for (target, name) in [(&files.certificate, "live.pem"), (&files.key, "live.key")] {
            let new = authority.dir.join("new-link");
            std::os::unix::fs::symlink(target, &new).unwrap();
            fs::rename(&new, authority.dir.join(name)).unwrap();
        }
    };
    link(&one);
    let live = crate::tls_support::Files {
        certificate: authority.dir.join("live.pem"),
        key: authority.dir.join("live.key"),
    };
    let server = live.start(APP);
    assert_eq!(authority.client().connect(&server).certificate(), certificate_in(&one.certificate));
    link(&two);
    let second = certificate_in(&two.certificate);
    server.wait_until("served", || authority.client().connect(&server).certificate() == second);
    server.stop();
}

#[test]
fn workers_need_not_be_allowed_to_read_the_files() {
    if !can_make_namespaces() {
        return;
    }
    let authority = Authority::new("tls-user");
    let files = authority.server();
    for path in [&files.certificate, &files.key] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let base = fs::canonicalize(python()).unwrap();
    let server = files
        .serve(Server::app(APP).option("workers", 1).option("user", 65534))
        .wrapped(&["unshare", "--mount", "sh", "-c", READABLE_PYTHON, base.to_str().unwrap()])
        .start();
    assert!(!authority.client().get(&server, "/pid").is_empty());
    let new = authority.make("server", &["localhost", "new.example"], |_| {});
    fs::set_permissions(&new.key, fs::Permissions::from_mode(0o600)).unwrap();
    let second = certificate_in(&new.certificate);
    server.wait_until("served", || authority.client().connect(&server).certificate() == second);
    server.stop();
}
