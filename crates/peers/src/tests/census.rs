//! Every option that a peer has is in its table, with what becomes of it.

use crate::{
    Becomes, Outcome, Peer, Row, Takes,
    item::Place,
    item::{Context, Item},
};
use std::collections::{BTreeMap, BTreeSet};

const GRANIAN: &str = "--host --port --uds --uds-permissions --interface --http --ws --no-ws --workers --blocking-threads
    --blocking-threads-idle-timeout --runtime-threads --runtime-blocking-threads --runtime-mode --loop --task-impl --backlog
    --backpressure --http1-buffer-size --http1-header-read-timeout --http1-keep-alive --no-http1-keep-alive
    --http1-pipeline-flush --no-http1-pipeline-flush --http2-adaptive-window --no-http2-adaptive-window
    --http2-initial-connection-window-size --http2-initial-stream-window-size --http2-keep-alive-interval
    --http2-keep-alive-timeout --http2-max-concurrent-streams --http2-max-frame-size --http2-max-headers-size
    --http2-max-send-buffer-size --log --no-log --log-level --log-config --access-log --no-access-log --access-log-fmt
    --ssl-certificate --ssl-keyfile --ssl-keyfile-password --ssl-protocol-min --ssl-ca --ssl-crl --ssl-client-verify
    --no-ssl-client-verify --url-path-prefix --respawn-failed-workers --no-respawn-failed-workers --respawn-interval
    --rss-sample-interval --rss-samples --workers-lifetime --workers-max-rss --workers-kill-timeout --factory --no-factory
    --working-dir --env-files --static-path-route --static-path-mount --static-path-dir-to-file --static-path-expires
    --metrics --no-metrics --metrics-scrape-interval --metrics-address --metrics-port --reload --no-reload --reload-paths
    --reload-ignore-dirs --reload-ignore-patterns --reload-ignore-paths --reload-tick --reload-ignore-worker-failure
    --no-reload-ignore-worker-failure --process-name --pid-file --version --help
    --threads --threading-mode --opt --no-opt";

const GUNICORN: &str = "-c --config -b --bind --backlog -w --workers -k --worker-class --threads --worker-connections
    --max-requests --max-requests-jitter -t --timeout --graceful-timeout --keep-alive --limit-request-line
    --limit-request-fields --limit-request-field_size --reload --reload-engine --reload-extra-file --spew --check-config
    --print-config --preload --no-sendfile --reuse-port --chdir -D --daemon -e --env -p --pid --worker-tmp-dir -u --user -g
    --group -m --umask --initgroups --forwarded-allow-ips --access-logfile --disable-redirect-access-to-syslog
    --access-logformat --error-logfile --log-file --log-level --capture-output --logger-class --log-config --log-config-json
    --log-syslog-to --log-syslog --log-syslog-prefix --log-syslog-facility -R --enable-stdio-inheritance --statsd-host
    --dogstatsd-tags --statsd-prefix --enable-backlog-metric -n --name --pythonpath --paste --paster --proxy-protocol
    --proxy-allow-from --protocol --uwsgi-allow-from --keyfile --certfile --ssl-version --cert-reqs --ca-certs
    --suppress-ragged-eofs --do-handshake-on-connect --ciphers --http-protocols --http2-cleartext
    --http2-max-concurrent-streams --http2-initial-window-size --http2-max-frame-size --http2-max-header-list-size
    --paste-global --permit-obsolete-folding --strip-header-spaces --permit-unconventional-http-method
    --permit-unconventional-http-version --casefold-http-method --forwarder-headers --header-map --asgi-loop --asgi-lifespan
    --asgi-disconnect-grace-period --websocket-max-message-size --http-parser --root-path --dirty-app --dirty-workers
    --dirty-timeout --dirty-threads --dirty-graceful-timeout --control-socket --control-socket-mode --no-control-socket -v
    --version -h --help
    wsgi_app tmp_upload_dir secure_scheme_headers logconfig_dict default_proc_name on_starting on_reload when_ready pre_fork
    post_fork post_worker_init worker_int worker_abort pre_exec pre_request post_request child_exit worker_exit
    nworkers_changed on_exit ssl_context on_dirty_starting dirty_post_fork dirty_worker_init dirty_worker_exit";

const UVICORN: &str = "--host --port --uds --fd --reload --reload-dir --reload-include --reload-exclude --reload-delay --workers
    --loop --http --http2 --ws --ws-max-size --ws-max-queue --ws-ping-interval --ws-ping-timeout --ws-per-message-deflate
    --lifespan --interface --env-file --log-config --log-level --access-log --no-access-log --use-colors --no-use-colors
    --proxy-headers --no-proxy-headers --server-header --no-server-header --date-header --no-date-header
    --forwarded-allow-ips --root-path --limit-concurrency --backlog --limit-max-requests --limit-max-requests-jitter
    --timeout-keep-alive --timeout-graceful-shutdown --timeout-worker-healthcheck --ssl-keyfile --ssl-certfile
    --ssl-keyfile-password --ssl-version --ssl-cert-reqs --ssl-ca-certs --ssl-ciphers --header --version --app-dir
    --h11-max-incomplete-event-size --reset-contextvars --factory --help";

const HYPERCORN: &str = "--access-log --access-logfile --access-logformat --backlog -b --bind --ca-certs --certfile --cert-reqs
    --ciphers -c --config -D --daemon --debug --error-log --error-logfile --log-file --graceful-timeout --read-timeout
    --max-requests --max-requests-jitter -g --group -k --worker-class --keep-alive --keyfile --keyfile-password
    --insecure-bind --log-config --log-level -p --pid --quic-bind --reload --root-path --server-name --statsd-host
    --statsd-prefix -m --umask -u --user --verify-mode --websocket-ping-interval -w --workers -h --help
    application_path alpn_protocols alt_svc_headers h11_max_incomplete_size h11_pass_raw_headers h2_max_concurrent_streams
    h2_max_header_list_size h2_max_inbound_frame_size include_date_header include_server_header keep_alive_max_requests
    logconfig_dict logger_class max_app_queue_size startup_timeout shutdown_timeout ssl_handshake_timeout verify_flags
    websocket_max_message_size wsgi_max_body_size dogstatsd_tags";

fn census(peer: Peer) -> &'static str {
    match peer {
        Peer::Granian => GRANIAN,
        Peer::Gunicorn => GUNICORN,
        Peer::Uvicorn => UVICORN,
        Peer::Hypercorn => HYPERCORN,
        // Of its hundreds of options those that are common; the others are told.
        Peer::Uwsgi => "",
    }
}

#[test]
fn every_option_of_a_peer_is_in_its_table_and_no_other() {
    for peer in Peer::ALL {
        let known: BTreeSet<&str> = census(peer).split_whitespace().collect();
        let rows = peer.rows().iter().flat_map(|row| row.names.iter().copied().chain(row.negation));
        let tabled: BTreeSet<&str> = rows.clone().filter(|name| *name != "--explain").collect();
        assert_eq!(tabled, known, "{peer:?}");
        assert_eq!(rows.count(), tabled.len() + 1, "{peer:?} has a name twice");
    }
}

#[test]
fn what_is_not_mapped_has_a_reason() {
    for row in Peer::ALL.iter().flat_map(|peer| peer.rows()) {
        let said = match row.becomes {
            Becomes::NoEffect(reason) | Becomes::Lost(reason) => reason.len() > 10,
            Becomes::Refused { why, instead } => why.len() > 10 && instead.len() > 10,
            Becomes::Converted { how, .. } => how.len() > 5,
            Becomes::Same(_) | Becomes::Prints(_) => true,
        };
        assert!(said, "{row:?}");
    }
}

/// Whatever its value, a converted option sets what the documents say that it sets, has no effect, or is refused.
#[test]
fn converted_options_set_what_the_documents_say() {
    let variables = BTreeMap::new();
    for peer in Peer::ALL {
        for row in peer.rows() {
            let Becomes::Converted { to, by, .. } = row.becomes else { continue };
            for item in items(row) {
                let context =
                    Context { peer, items: std::slice::from_ref(&item), variables: &variables, target: None };
                match by(&item, &context) {
                    Outcome::Sets(settings, _) => {
                        let beside = ["interface", "blocking-threads", "ssl-bind"];
                        let unsaid = settings.iter().find(|setting| {
                            let name = setting.option.name;
                            !beside.contains(&name) && !to.iter().any(|option| option.name == name)
                        });
                        assert!(unsaid.is_none(), "{peer:?} {} sets {unsaid:?}", row.name());
                        assert!(settings.iter().all(|setting| !setting.texts.is_empty()), "{}", row.name());
                    }
                    Outcome::NoEffect(reason) | Outcome::Lost(reason) => assert!(!reason.is_empty()),
                    Outcome::Refused { why, instead } => assert!(!why.is_empty() && !instead.is_empty()),
                    Outcome::Replaced(_) => panic!("{} is replaced by nothing", row.name()),
                }
            }
        }
    }
}

fn items(row: &'static Row) -> Vec<Item> {
    let item = |values: &[&str], on| Item {
        row,
        name: row.name().to_owned(),
        values: values.iter().map(|&value| value.to_owned()).collect(),
        on,
        place: Place::Argv,
    };
    if row.takes == Takes::Nothing {
        return vec![item(&[], true), item(&[], false)];
    }
    let values = [
        "0", "1", "2", "17", "", "-", "auto", "none", "off", "on", "wsgi", "h2", "x:y", "uvloop", "true",
        "nonsense",
    ];
    values.iter().map(|value| item(&[value], true)).collect()
}
