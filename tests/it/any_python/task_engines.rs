//! What `hostler.tasks` promises whatever its engine, by one suite (tests/python/use_engines.py): real servers, and real brokers that it
//! starts on free ports.

use crate::support::succeeds;

fn all_well(suite: &str, engine: &str) {
    let text = succeeds(&[suite, engine]);
    assert!(text.contains("all well"), "{text}");
}

fn conforms(engine: &str) {
    all_well("use_engines.py", engine);
}

#[test]
fn the_embedded_engine_conforms() {
    conforms("embedded");
}

#[test]
#[ignore = "needs redis-server and rabbitmq-server: cargo xtask engines"]
fn celery_with_redis_conforms() {
    conforms("celery-redis");
}

#[test]
#[ignore = "needs redis-server and rabbitmq-server: cargo xtask engines"]
fn celery_with_rabbitmq_conforms() {
    conforms("celery-rabbitmq");
}

/// Sites of examples/: Flask that computes, Starlette that shows progress.
#[test]
fn sites_work_with_the_embedded_engine() {
    all_well("use_sites.py", "embedded");
}

/// And an application with Celery as it is, preloaded with connections, whose worker and beat are companions.
#[test]
#[ignore = "needs redis-server and rabbitmq-server: cargo xtask engines"]
fn sites_work_with_celery() {
    all_well("use_sites.py", "celery-redis");
}
