//! Workers that are recycled for their age or their requests cost no request.

use crate::support::{load_on, nothing_lost, slow_import};

#[test]
fn lifetime_costs_no_request() {
    let server = slow_import().option("workers-lifetime", 1).option("respawn-interval", 0).start();
    let load = load_on(&server);
    server.wait_for("worker told to drain", 3);
    server.wait_for("worker exited", 3);
    nothing_lost(&load.end());
    assert!(server.log().contains("reason=\"lifetime\""), "{}", server.log());
    server.stop();
}

#[test]
fn max_requests_cost_no_request() {
    let server = slow_import().option("max-requests", 500).option("respawn-interval", 0).start();
    let load = load_on(&server);
    server.wait_for("reason=\"max-requests\"", 3);
    nothing_lost(&load.end());
    server.stop();
}
