//! Reloads bring new code: that works, fails to load, or hangs. Of everything else: `any_python/reload.rs`.

use crate::support::{Place, application, nothing_lost, start, workspace};
use hostler_testkit::{Conn, Load, Server, directory, wait_until};
use nix::sys::signal::Signal;
use std::fs;

#[test]
fn reload_costs_no_request_and_brings_new_code_and_environment() {
    for preload in ["--no-preload", "--preload"] {
        let dir = workspace(&format!("reload{preload}"));
        let server = Server::app("changing:app")
            .option("workers", 2)
            .option("working-dir", dir.display())
            .option("env-files", dir.join("env").display())
            .arg(preload)
            .start();
        assert_eq!(server.connect().get("/").text(), "code 1 VALUE=one");
        let load = Load::start(server.address.unwrap(), "/", 4);
        fs::write(dir.join("changing.py"), application(2)).unwrap();
        fs::write(dir.join("env"), "VALUE=two\n").unwrap();
        server.signal(Signal::SIGHUP);
        server.wait_for(" reloaded generation=1", 1);
        server.wait_for("worker exited", 2);
        nothing_lost(&load.end());
        assert_eq!(server.connect().get("/").text(), "code 2 VALUE=two");
        server.stop();
    }
}

#[test]
fn a_reload_that_fails_leaves_the_old_code_serving_and_a_corrected_one_replaces_it() {
    for preload in ["--no-preload", "--preload"] {
        let dir = workspace(&format!("broken{preload}"));
        let server = Server::app("changing:app")
            .option("workers", 2)
            .option("working-dir", dir.display())
            .arg(preload)
            .start();
        let load = Load::start(server.address.unwrap(), "/", 4);
        fs::write(dir.join("changing.py"), "def broken(:\n").unwrap();
        server.signal(Signal::SIGHUP);
        server.wait_for("not reloaded", 1);
        assert!(server.log().contains("SyntaxError"), "{}", server.log());
        load.wait_for(100);
        assert!(server.connect().get("/").text().starts_with("code 1"));
        fs::write(dir.join("changing.py"), application(3)).unwrap();
        server.signal(Signal::SIGHUP);
        server.wait_for(" reloaded generation=2", 1);
        server.wait_for("worker exited", 2);
        nothing_lost(&load.end());
        assert!(server.connect().get("/").text().starts_with("code 3"));
        server.stop();
    }
}

#[test]
fn an_import_that_hangs_is_replaced_by_a_later_reload() {
    for preload in ["--preload", "--no-preload"] {
        let place = Place::new(&format!("replace{preload}"));
        fs::write(&place.config, "workers = 2\n").unwrap();
        let (server, address) = start(place.app().arg(preload), 2);
        fs::write(&place.state, "hang").unwrap();
        server.signal(Signal::SIGHUP);
        server.wait_for("reloading generation=1", 1);
        // In the mold or in workers.
        server.wait_for("it hangs now", 1);
        fs::write(&place.state, "serve").unwrap();
        server.signal(Signal::SIGHUP);
        server.wait_for("reload superseded by a later one generation=1", 1);
        server.wait_for(" reloaded generation=2", 1);
        assert_eq!(Conn::to(address).get("/").status, 200);
        // The stuck processes are gone: master, mold and two workers remain.
        server.wait_until("alone", || server.processes().len() == 4);
        server.stop();
    }
}

#[test]
fn a_reload_that_fails_shows_the_application_s_traceback_and_no_other() {
    let dir = directory("failed-reload");
    let broken = dir.join("broken");
    let server = Server::app("unimportable:app").option("workers", 6).env("BROKEN", broken.to_str().unwrap());
    let server = server.option("log-level", "info").start();
    fs::write(&broken, "").unwrap();
    // The mold is terminated while it forks, and its errors are not logged.
    for round in 1..=5 {
        server.signal(Signal::SIGHUP);
        server.wait_for("not reloaded: the running workers keep serving", round);
        wait_until("gone", || server.processes().len() == 8);
    }
    let log = server.log();
    assert!(log.contains("broken on purpose"), "{log}");
    assert!(
        !log.contains("Broken pipe") && !log.contains("BrokenPipe") && !log.contains("mold_main"),
        "{log}"
    );
    server.stop();
}
