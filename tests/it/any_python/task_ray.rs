//! `--task-engine ray` with real clusters, whose package is large: `cargo xtask ray` installs it and runs these, one after the other.

use crate::support::succeeds;

fn all_well(arguments: &[&str]) {
    let text = succeeds(arguments);
    assert!(text.contains("all well"), "{text}");
}

#[test]
#[ignore = "needs Ray: cargo xtask ray"]
fn tasks_with_ray_conform() {
    all_well(&["use_engines.py", "ray"]);
}

/// And one with Ray as it is, whose actor counts for all web workers.
#[test]
#[ignore = "needs Ray: cargo xtask ray"]
fn sites_work_with_ray() {
    all_well(&["use_sites.py", "ray"]);
}

#[test]
#[ignore = "needs Ray: cargo xtask ray"]
fn a_server_has_a_cluster_of_its_own() {
    all_well(&["use_ray_cluster.py"]);
}
