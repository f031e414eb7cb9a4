//! Options that do nothing, by themselves or beside others: said at the start and by `hostler check`, refused by nothing. One table.

use crate::{layers::Layers, source::Source};
use hostler_peers::Place;
use hostler_settings::{
    Bind, Declaration, Effect, HttpVersion, Interface, Settings, TaskEngine, WorkerCount,
};

/// An option that was set, and why that does nothing or not what it seems to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointless {
    /// As it was written, and where.
    pub option: String,
    /// Why.
    pub reason: &'static str,
}

/// Names of options, or how they begin if they end with `*`; when they are pointless, and why.
struct Rule(&'static [&'static str], fn(&Settings) -> bool, &'static str);

const RULES: &[Rule] = &[
    Rule(
        &["blocking-threads", "blocking-threads-idle-timeout", "wsgi-body-spool", "wsgi-response-buffer"],
        |all| matches!(all.app.interface, Interface::Asgi | Interface::AsgiNoLifespan | Interface::Rsgi),
        "it is for WSGI applications, and --interface says that this is none",
    ),
    Rule(&["loop"], |all| all.app.interface == Interface::Wsgi, "a WSGI application has no event loop"),
    Rule(
        &["preload"],
        |all| all.auto_reload.enabled,
        "with --reload each change loads the application anew, in the workers",
    ),
    Rule(
        &["workers"],
        |all| all.auto_reload.enabled && all.supervision.workers != WorkerCount::Fixed(1),
        "with --reload one worker is quicker, and breakpoint() needs standard input, which several workers do not have",
    ),
    Rule(
        &["task-queues", "task-concurrency", "task-max-tasks", "task-max-rss", "task-timeout", "task-nice"],
        |all| all.tasks.engine == TaskEngine::Ray,
        "Ray's own workers run the tasks, as Ray is configured",
    ),
    Rule(
        &["task-queues", "task-concurrency", "task-max-tasks", "task-max-rss", "task-timeout", "task-nice"],
        |all| all.tasks.workers.is_none(),
        "there are no task workers: --task-workers sets how many",
    ),
    Rule(
        &["scale-down-after"],
        |all| {
            let follows_load = |count| matches!(count, WorkerCount::Range { .. });
            !follows_load(all.supervision.workers) && !follows_load(all.tasks.workers)
        },
        "the number of workers is fixed: --workers MIN:MAX or --task-workers MIN:MAX would follow the load",
    ),
    Rule(&["reload-*"], |all| !all.auto_reload.enabled, "files are watched with --reload only"),
    Rule(
        &["workers-lifetime"],
        |all| {
            let WorkerCount::Fixed(workers) = all.supervision.workers else { return false };
            let round = all.supervision.respawn_interval * u32::from(workers);
            all.supervision.lifetime.is_some_and(|lifetime| lifetime < round)
        },
        "workers are recycled one after another with --respawn-interval between them, and so become older",
    ),
    Rule(
        &["workers-lifetime-jitter"],
        |all| all.supervision.lifetime.is_none(),
        "it varies --workers-lifetime, which is not set",
    ),
    Rule(
        &["rss-sample-interval", "rss-samples"],
        |all| all.supervision.max_memory.is_none() && all.tasks.max_memory.is_none(),
        "memory is measured for --workers-max-rss and --task-max-rss only, which are not set",
    ),
    Rule(
        &["respawn-interval", "max-replacing"],
        |all| {
            let limits = &all.supervision;
            limits.lifetime.is_none() && limits.max_requests.is_none() && limits.max_memory.is_none()
        },
        "no limit recycles workers: --workers-lifetime, --max-requests or --workers-max-rss would",
    ),
    Rule(
        &["limit-queue", "queue-timeout", "health-path"],
        |all| all.limits.concurrency.is_none(),
        "requests wait for --limit-concurrency only, which is not set",
    ),
    Rule(
        &["uds-permissions", "uds-owner", "uds-group"],
        |all| {
            let is_unix = |bind: &Bind| matches!(bind, Bind::Unix(_));
            !all.listen.addresses().iter().chain(&all.tls.bind).any(is_unix)
        },
        "no address is a Unix socket",
    ),
    Rule(
        &["access-log-fmt", "access-log-exclude", "access-log-sample"],
        |all| !all.log.access && all.log.access_file.is_none(),
        "there is no access log: --access-log turns it on",
    ),
    Rule(
        &["static-path-*"],
        |all| all.static_files.mount.is_empty() && all.static_files.mounts.is_empty(),
        "no static files are served: --static-path-mount or --static-mount names a directory",
    ),
    Rule(&["compress-*"], |all| !all.compress.enabled, "responses are compressed with --compress only"),
    Rule(&["ws-*"], |all| !all.websocket.enabled, "WebSockets are off (--no-ws)"),
    Rule(
        &["ws-deflate-*"],
        |all| all.websocket.enabled && !all.websocket.deflate,
        "messages are compressed with --ws-deflate only",
    ),
    Rule(&["http2-*"], |all| all.http.version == HttpVersion::One, "--http 1 leaves HTTP/2 out"),
    Rule(
        &["keep-alive"],
        |all| !all.http.keep_alive && all.http.version == HttpVersion::One,
        "--no-http1-keep-alive closes connections after each response",
    ),
    Rule(
        &["ssl-protocol-min", "ssl-handshake-timeout", "ssl-keyfile-password"],
        |all| all.tls.certificate.is_empty(),
        "no address is served over TLS: --ssl-certificate and --ssl-keyfile are not set",
    ),
    Rule(
        &["task-broker", "task-results", "task-celery-app"],
        |all| all.tasks.engine != TaskEngine::Celery,
        "it is for --task-engine celery",
    ),
    Rule(&["task-ray-address"], |all| all.tasks.engine != TaskEngine::Ray, "it is for --task-engine ray"),
    Rule(
        &["task-queue"],
        |all| all.tasks.engine != TaskEngine::Embedded,
        "it is for --task-engine embedded: other engines keep tasks elsewhere",
    ),
];

impl Rule {
    fn is_about(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => *pattern == name,
        })
    }
}

/// The options that were set to something else than their default, and do nothing.
pub(crate) fn pointless(layers: &Layers) -> Vec<Pointless> {
    let chosen = Settings::options().filter(|option| {
        let by_peer = matches!(layers.source(option), Source::Peer(origin) if origin.place == Place::Default);
        layers.is_set(option) && !by_peer && !layers.has_default(option)
    });
    let found = chosen.filter_map(|option| Some((option, reason(option, &layers.settings)?)));
    found.map(|(option, reason)| Pointless { option: layers.origin(option), reason }).collect()
}

/// Why an option does nothing, if it does.
fn reason(option: &Declaration, settings: &Settings) -> Option<&'static str> {
    if let Effect::None(reason) = option.effect {
        return Some(reason);
    }
    RULES.iter().find(|rule| rule.is_about(option.name) && rule.1(settings)).map(|rule| rule.2)
}

#[cfg(test)]
mod tests {
    use super::RULES;
    use crate::tests::config;
    use hostler_settings::Settings;

    fn found(args: &[&str]) -> Vec<String> {
        config(args, &[]).pointless.into_iter().map(|pointless| pointless.option).collect()
    }

    #[test]
    fn every_rule_is_about_options_that_exist() {
        for rule in RULES {
            for name in rule.0 {
                let known = Settings::options().any(|option| {
                    name.strip_suffix('*')
                        .map_or(option.name == *name, |prefix| option.name.starts_with(prefix))
                });
                assert!(known, "{name}");
            }
        }
    }

    #[test]
    fn each_pointless_option_is_found_and_none_where_it_has_effect() {
        for (pointless, makes_sense) in [
            (
                &["--interface", "asgi", "--blocking-threads", "4"][..],
                &["--interface", "wsgi", "--blocking-threads", "4"][..],
            ),
            (&["--no-opt"], &["--opt"]),
            (&["--task-impl", "rust"], &["--task-impl", "asyncio"]),
            (&["--runtime-blocking-threads", "4"], &[]),
            (
                &["--interface", "asgi", "--blocking-threads-idle-timeout", "30"],
                &["--interface", "wsgi", "--blocking-threads-idle-timeout", "30"],
            ),
            (&["--interface", "wsgi", "--loop", "uvloop"], &["--interface", "asgi", "--loop", "uvloop"]),
            (&["--reload", "--preload=warn"], &["--preload=warn"]),
            (&["--reload", "--workers", "8"], &["--workers", "8"]),
            (&["--reload-include", "*.html"], &["--reload", "--reload-include", "*.html"]),
            (
                &["--workers-lifetime", "5s", "--workers", "8"],
                &["--workers-lifetime", "1h", "--workers", "8"],
            ),
            (
                &["--workers-lifetime-jitter", "5"],
                &["--workers-lifetime", "1h", "--workers-lifetime-jitter", "5"],
            ),
            (&["--rss-samples", "3"], &["--workers-max-rss", "100", "--rss-samples", "3"]),
            (&["--respawn-interval", "9s"], &["--max-requests", "100", "--respawn-interval", "9s"]),
            (&["--queue-timeout", "3"], &["--limit-concurrency", "10", "--queue-timeout", "3"]),
            (&["--uds-permissions", "0660"], &["--uds", "/s", "--uds-permissions", "0660"]),
            (&["--access-log-sample", "5"], &["--access-log", "--access-log-sample", "5"]),
            (&["--static-path-expires", "5"], &["--static-path-mount", "/s", "--static-path-expires", "5"]),
            (&["--compress-level", "5"], &["--compress", "--compress-level", "5"]),
            (
                &["--task-ray-address", "10.0.0.5:6379"],
                &["--task-engine", "ray", "--task-ray-address", "10.0.0.5:6379"],
            ),
            (
                &["--task-engine", "ray", "--task-workers", "1", "--task-timeout", "5"],
                &["--task-workers", "1", "--task-timeout", "5"],
            ),
            (&["--task-broker", "redis://r"], &["--task-engine", "celery", "--task-broker", "redis://r"]),
            (
                &["--task-engine", "celery", "--task-broker", "redis://r", "--task-queue", "q"],
                &["--task-queue", "q"],
            ),
            (&["--no-ws", "--ws-max-size", "5"], &["--ws-max-size", "5"]),
            (&["--http", "1", "--http2-max-resets", "5"], &["--http2-max-resets", "5"]),
            (&["--http", "1", "--no-http1-keep-alive", "--keep-alive", "5"], &["--keep-alive", "5"]),
            (&["--ssl-handshake-timeout", "5"], &["--ssl-certificate", "/c", "--ssl-handshake-timeout", "5"]),
        ] {
            assert_eq!(found(pointless).len(), 1, "{pointless:?}");
            assert!(found(makes_sense).is_empty(), "{makes_sense:?}: {:?}", found(makes_sense));
        }
    }

    #[test]
    fn a_default_that_is_written_out_is_no_mistake() {
        assert!(found(&["--queue-timeout", "10", "--http", "1", "--http2-max-resets", "200"]).is_empty());
    }
}
