//! Start commands as they are in Dockerfiles, Procfiles, units and scripts, and what they mean.

use super::{all, own, reasons, refusal, translation};

/// What users' own words become.
#[test]
fn what_is_written_keeps_its_meaning() {
    for (line, expected) in [
        // Uvicorn
        ("uvicorn main:app --reload", "main:app --reload"),
        ("uvicorn app.main:app --host 0.0.0.0 --port 80", "app.main:app --host 0.0.0.0 --port 80"),
        (
            "uvicorn app.main:app --host 0.0.0.0 --port 8000 --proxy-headers --forwarded-allow-ips='*'",
            "app.main:app --host 0.0.0.0 --port 8000 --proxy-headers --forwarded-allow-ips '*'",
        ),
        (
            "uvicorn src.main:create_app --factory --workers 4 --loop uvloop --http httptools",
            "src.main:create_app --factory --workers 4 --loop uvloop",
        ),
        (
            "uvicorn --app-dir src main:app --env-file .env --log-level warning --no-access-log",
            "main:app --python-path src --env-files .env --log-level warning --no-access-log",
        ),
        (
            "uvicorn asgi:application --uds /run/app.sock --host 0.0.0.0",
            "asgi:application --uds /run/app.sock",
        ),
        ("uvicorn app:app --fd 3 --no-server-header", "app:app --bind fd://3"),
        (
            "uvicorn app:app --header X-Env:prod --header Server:shop",
            "app:app --response-header X-Env:prod --response-header Server:shop",
        ),
        (
            "uvicorn app:app --limit-max-requests 1000 --limit-max-requests-jitter 50 --limit-concurrency 20 --backlog 64",
            "app:app --max-requests 1050 --max-requests-jitter 50 --limit-concurrency 20 --limit-queue 0 --backlog 128",
        ),
        (
            "uvicorn app:app --timeout-keep-alive 65 --timeout-graceful-shutdown 10 --ws none --lifespan off",
            "app:app --keep-alive 65 --graceful-timeout 10 --no-ws --interface asginl",
        ),
        (
            "uvicorn app:app --ssl-keyfile key.pem --ssl-certfile cert.pem --ssl-ca-certs ca.pem --ssl-cert-reqs 2",
            "app:app --ssl-keyfile key.pem --ssl-certificate cert.pem --ssl-ca ca.pem --ssl-client-verify",
        ),
        (
            "uvicorn app:app --interface wsgi --log-level trace",
            "app:app --interface wsgi --blocking-threads 10 --log-level debug",
        ),
        // Granian
        (
            "granian --interface asgi --host 0.0.0.0 --port 8000 app.main:app",
            "app.main:app --interface asgi --host 0.0.0.0 --port 8000",
        ),
        (
            "granian --interface wsgi core.wsgi:application --workers 2 --blocking-threads 4 --backpressure 128 --respawn-failed-workers",
            "core.wsgi:application --interface wsgi --workers 2 --blocking-threads 4 --backpressure 128",
        ),
        (
            "granian --interface asginl proj.asgi --workers-lifetime 3h --workers-max-rss 512 --no-ws --log-level WARNING",
            "proj.asgi:app --interface asginl --workers-lifetime 3h --workers-max-rss 512 --no-ws --log-level warning",
        ),
        (
            "granian main:app --uds /tmp/g.sock --uds-permissions 432 --threads 2 --threading-mode workers --opt",
            "main:app --uds /tmp/g.sock --uds-permissions 0660",
        ),
        (
            "granian main:app --uds-permissions 0660 --http 2 --runtime-mode mt",
            "main:app --uds-permissions 0660 --http 2",
        ),
        // Hypercorn
        ("hypercorn main:app --bind 0.0.0.0:8000 --workers 2", "main:app --bind 0.0.0.0:8000 --workers 2"),
        (
            "hypercorn -b unix:/run/h.sock -m 7 -w 0 -k uvloop app",
            "app:app --bind unix:/run/h.sock --uds-permissions 0770 --workers 1 --loop uvloop",
        ),
        (
            "hypercorn wsgi:proj.wsgi:application --access-logfile - --error-logfile -",
            "proj.wsgi:application --interface wsgi --access-logfile -",
        ),
        (
            "hypercorn --certfile c.pem --keyfile k.pem --bind :443 --insecure-bind :80 quart_app:app",
            "quart_app:app --ssl-certificate c.pem --ssl-keyfile k.pem --ssl-bind :443 --bind :80",
        ),
        // Gunicorn
        ("gunicorn wsgi:app", "wsgi:app"),
        ("gunicorn proj.wsgi", "proj.wsgi:application"),
        ("gunicorn -w 4 -b 0.0.0.0:5000 app:app", "app:app --workers 4 --bind 0.0.0.0:5000"),
        ("gunicorn 'app:create_app()' -b :5000 --log-file=-", "'app:create_app()' --bind :5000"),
        (
            "gunicorn proj.wsgi:application --bind=unix:///run/g.sock --workers=3 --user www-data --group www-data --umask 007",
            "proj.wsgi:application --bind unix:/run/g.sock --workers 3 --user www-data --uds-owner www-data --group www-data --uds-group www-data --uds-permissions 0770",
        ),
        (
            "gunicorn app.main:app --worker-class uvicorn.workers.UvicornWorker --workers 4 --timeout 120 --keep-alive 5 --worker-tmp-dir /dev/shm",
            "app.main:app --interface asgi --workers 4 --stall-timeout 120 --keep-alive 5",
        ),
        (
            "gunicorn --worker-class=gthread --threads 8 --max-requests 1000 --max-requests-jitter 100 --access-logfile - config.wsgi",
            "config.wsgi:application --interface wsgi --blocking-threads 8 --max-requests 1100 --max-requests-jitter 100 --access-logfile -",
        ),
        (
            "gunicorn -w 10 -k gevent --worker-connections 1000 --timeout 0 --limit-request-line 0 --limit-request-field_size 0 'superset.app:create_app()'",
            "'superset.app:create_app()' --workers 10 --interface wsgi --blocking-threads 64 --backpressure 1000 --stall-timeout 0 --limit-request-line 0 --limit-request-field-size 0",
        ),
        (
            "gunicorn -k asgi --asgi-loop uvloop --asgi-lifespan off a:b",
            "a:b --interface asginl --loop uvloop",
        ),
        (
            "gunicorn --preload --chdir /srv --pythonpath lib,src -e A=1 -e B=2 -p /run/g.pid -n shop -t30 a:b",
            "a:b --preload=warn --working-dir /srv --python-path lib,src --env A=1 --env B=2 --pid-file /run/g.pid --process-name shop --stall-timeout 30",
        ),
        (
            "gunicorn a:b --log-syslog --log-syslog-to unix:///dev/log#dgram --log-syslog-prefix shop",
            "a:b --log-target 'unix:///dev/log#dgram' --log-syslog-prefix shop",
        ),
        ("uvicorn a:b --no-use-colors", "a:b --log-color never"),
        (
            "gunicorn a:b --threads 4 --proxy-protocol --reuse-port --capture-output -R",
            "a:b --blocking-threads 4 --proxy-protocol auto --accept per-worker",
        ),
        (
            "gunicorn --certfile c.pem --keyfile k.pem --cert-reqs 2 --ca-certs ca.pem -b 0.0.0.0:443 a:b --ssl-version TLSv1_2",
            "a:b --ssl-certificate c.pem --ssl-keyfile k.pem --ssl-client-verify --ssl-ca ca.pem --bind 0.0.0.0:443 --ssl-protocol-min tls1.2",
        ),
        (
            "gunicorn -b tcp://127.0.0.1:80 -b fd://3 -b '[::1]:81' a:b",
            "a:b --bind 127.0.0.1:80 --bind fd://3 --bind '[::1]:81'",
        ),
    ] {
        assert_eq!(own(line, &[]), expected, "{line}");
    }
}

#[test]
fn what_peers_do_by_themselves_is_done() {
    let uvicorn = all("uvicorn main:app --uds /run/u.sock", &[]);
    for (option, text) in [
        ("interface", "asgi"),
        ("access-log", "true"),
        ("ws-deflate", "true"),
        ("forwarded-headers", "x-forwarded-for,x-forwarded-proto"),
        ("uds-permissions", "0666"),
    ] {
        assert_eq!(uvicorn[option], text);
    }
    assert!(!all("uvicorn a:b --log-level error", &[]).contains_key("access-log"));
    let json = &[("HOSTLER_LOG_FORMAT", "json")];
    for line in ["uvicorn a:b", "granian a:b --access-log"] {
        assert!(
            all(line, &[]).contains_key("access-log-fmt") && !all(line, json).contains_key("access-log-fmt"),
            "{line}"
        );
    }
    let granian = all("granian main:app", &[]);
    assert_eq!((granian["interface"].as_str(), granian["workers"].as_str()), ("rsgi", "1"));
    assert_eq!(granian["proxy-headers"], "false");
    assert_eq!(all("granian --interface wsgi a:b", &[])["blocking-threads"], "64");
    assert_eq!(all("granian --interface wsgi a:b --blocking-threads 1", &[])["blocking-threads"], "1");
    assert_eq!(all("hypercorn a", &[])["app"], "a:app");
    let gunicorn = all(
        "gunicorn a:b",
        &[("PORT", "5000"), ("GUNICORN_CMD_ARGS", "--workers 3 --access-logformat '%(h)s x'")],
    );
    assert_eq!((gunicorn["bind"].as_str(), gunicorn["workers"].as_str()), ("0.0.0.0:5000", "3"));
    assert_eq!((gunicorn["access-log-fmt"].as_str(), gunicorn["interface"].as_str()), ("%(h)s x", "wsgi"));
    assert_eq!(all("gunicorn a:b -b :1", &[("PORT", "5000")])["bind"], ":1");
    let passed = all("gunicorn a:b -b :1", &[("PORT", "5000"), ("LISTEN_FDS", "1")]);
    assert!(!passed.contains_key("bind"), "{passed:?}");
    assert_eq!(all("hypercorn wsgi:a:b", &[]).get("header-map"), None);
    assert_eq!(all("gunicorn a:b -b unix:/a", &[])["uds-permissions"], "0777");
    assert_eq!(all("gunicorn a:b -k uvicorn_worker.UvicornWorker", &[])["ws-deflate"], "true");
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    for (line, words) in [
        ("uvicorn app:app --interface asgi2", "guarantee_single_callable"),
        ("uvicorn app:app --ws app.ws:Protocol", "leave the option out"),
        ("uvicorn app:app --ssl-version 3", "TLS 1.2 and 1.3 are served"),
        ("granian app:app --interface asgi --blocking-threads 8", "only WSGI applications"),
        ("gunicorn a:b -k aiohttp.GunicornWebWorker", "none of ASGI"),
        ("gunicorn a:b -k shop.workers.Worker", "derived from Uvicorn's, use asgi"),
        ("gunicorn a:b --daemon", "start hostler by systemd"),
        ("gunicorn a:b --statsd-host localhost:8125", "leave it out"),
        ("gunicorn a:b --protocol uwsgi", "proxy_pass"),
        ("gunicorn a:b --paste prod.ini", "paste.deploy.loadapp"),
        ("gunicorn a:b --ciphers ECDHE-RSA-AES256-SHA", "rustls' ciphers"),
        ("gunicorn a:b --max 5", "--max may be --max-requests or --max-requests-jitter"),
        ("hypercorn app:app --quic-bind :4433", "HTTP/3 is not served"),
        ("hypercorn app:app -k trio", "anyio run on asyncio"),
        ("hypercorn ftp:app:app", "asgi:, wsgi: or nothing"),
        ("hypercorn app:app --server-name a --statsd-host b", "2 options of hypercorn cannot be used"),
    ] {
        let text = refusal(line);
        assert!(text.contains(words), "{line}: {text}");
    }
}

#[test]
fn what_has_no_effect_says_why() {
    let reasons =
        reasons("uvicorn app:app --http h11 --ws-max-queue 64 --port 80 --uds /a --ssl-ca-certs ca.pem");
    assert_eq!(reasons.len(), 4, "{reasons:#?}");
    assert!(reasons.iter().any(|reason| reason == "--port 80: --uds says where to listen"), "{reasons:#?}");
    let explanation = translation("uvicorn app:app --http h11 --workers 2", &[]).explanation();
    assert!(explanation.contains("no effect: hostler has one parser of HTTP"), "{explanation}");
    assert!(explanation.contains("\n  hostler app:app --workers 2 --interface asgi"), "{explanation}");
}
