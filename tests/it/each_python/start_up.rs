//! The start of an application: how it is found, and everything that can be wrong with it.

use crate::support::refused;
use hostler_testkit::{Server, line_of};

#[test]
fn a_missing_module_or_attribute_is_named() {
    refused(
        Server::app("nowhere:app"),
        4,
        &["could not load `nowhere:app`", "no module `nowhere`", "hint: "],
    );
    refused(Server::app("odd:nothing"), 4, &["`odd` has no attribute `nothing`", "`create_app`"]);
    refused(Server::app("odd/x.py"), 4, &["there is no file `odd/x.py`"]);
}

#[test]
fn an_application_that_raises_at_import_shows_its_traceback() {
    let log = refused(
        Server::app("raises:app"),
        4,
        &["could not load `raises:app`", "ValueError: the settings are missing"],
    );
    assert!(log.contains("raises.py\", line 3"), "{log}");
}

#[test]
fn what_is_no_application_is_refused() {
    refused(Server::app("odd:number"), 4, &["`odd:number` is not an application", "a value of type int"]);
    refused(Server::app("odd:create_app"), 4, &["cannot tell what kind", "--factory"]);
}

#[test]
fn a_factory_is_called() {
    let server = Server::app("odd:create_app").arg("--factory").start();
    assert_eq!(server.connect().get("/").text(), "from a factory");
}

#[test]
fn a_failed_lifespan_stops_the_start() {
    refused(
        Server::app("odd:failing"),
        3,
        &["lifespan startup failed", "RuntimeError: the database is away"],
    );
    refused(Server::app("odd:refusing"), 3, &["lifespan startup failed", "no database"]);
}

#[test]
fn readiness_waits_for_the_warm_up_request() {
    let server = Server::app("supervised:app").option("workers", 1).option("warmup", "/wait/0.2").start();
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
    let (code, log) = Server::app("supervised:app").option("workers", 1).option("warmup", "/nothing").fail();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("the warm-up request `/nothing` failed") && log.contains("KeyError"), "{log}");
}

#[test]
fn a_deadlocked_import_is_found_and_logged() {
    let server = Server::app("deadlock:app").option("workers", 1).option("boot-timeout", 2).launch();
    server.wait_for("reason=\"boot-timeout\"", 1);
    assert!(server.log().contains("deadlock.py"), "{}", server.log());
}

#[test]
fn a_boot_that_hangs_is_logged_with_the_applications_line() {
    let ways = [("startup", "# the application's await"), ("import", "# the import's line")];
    for (way, text) in ways {
        let server =
            Server::app("blocking:app").option("workers", 1).option("boot-timeout", 2).env("HANG", way);
        let (code, log) = server.fail();
        assert_eq!(code, Some(3), "{log}");
        let place = format!("blocking.py:{} in", line_of("blocking.py", text));
        let told = log.lines().find(|line| line.contains("worker is stuck")).unwrap();
        assert!(told.contains("reason=\"boot-timeout\"") && told.contains(&place), "{told}");
        let last = &log[log.find("error: ").unwrap()..];
        assert!(last.contains("--boot-timeout") && last.contains(&place), "{last}");
    }
}
