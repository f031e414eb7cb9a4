//! What `/metrics` says: it is what clients saw, whatever becomes of workers, and what prometheus_client's own parsers read.

use hostler_testkit::{Conn, Load, Reply, Server, directory, proc, python, root, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::SocketAddr,
    process::{Command, Stdio},
};

/// Where the observer listens, from the log.
fn admin(server: &Server) -> SocketAddr {
    server.wait_for("observer listening", 1);
    let log = server.log();
    log.split("admin=").nth(1).unwrap().split_ascii_whitespace().next().unwrap().parse().unwrap()
}

fn scrape(address: SocketAddr, accept: &str) -> Reply {
    let mut conn = Conn::to(address);
    let headers = format!("accept: {accept}\r\nconnection: close\r\n");
    let reply = conn.request("GET", "/metrics", &headers, b"");
    assert_eq!(reply.status, 200);
    reply
}

/// Samples by name and labels, in the order of their names.
type Samples = BTreeMap<String, f64>;

/// As prometheus_client reads them.
fn parsed(text: &str, format: &str) -> Samples {
    let mut child = Command::new(python())
        .arg(root().join("tests/clients/read_metrics.py"))
        .arg(format)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "prometheus_client (tests/requirements.txt) cannot read this:\n{text}");
    let samples: Vec<(String, BTreeMap<String, String>, Value, String)> =
        serde_json::from_slice(&output.stdout).unwrap();
    let named = samples.into_iter().map(|(name, labels, value, _)| {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (format!("{name}{{{}}}", labels.join(",")), value.as_f64().unwrap_or(f64::NAN))
    });
    named.collect()
}

fn metrics(address: SocketAddr) -> Samples {
    parsed(&scrape(address, "text/plain").text(), "prometheus")
}

/// The sum of a metric over all labels that have this text.
fn sum(samples: &Samples, name: &str, label: &str) -> f64 {
    let begin = format!("{name}{{");
    samples
        .iter()
        .filter(|(key, _)| key.starts_with(&begin) && key.contains(label))
        .map(|(_, value)| value)
        .sum()
}

#[test]
fn both_formats_are_what_prometheus_client_reads_and_say_the_same() {
    let server = Server::app("observed:app").option("admin", "127.0.0.1:0").start();
    let address = admin(&server);
    let mut conn = server.connect();
    for (path, status) in [("/", 200), ("/fail", 500), ("/missing", 404), ("/slow?0.02", 200)] {
        assert_eq!(conn.get(path).status, status);
    }
    conn.request("POST", "/", "", b"body");
    conn.request("PROPFIND", "/", "", b"");
    wait_until("all have ended", || sum(&metrics(address), "hostler_requests_in_flight", "") == 0.0);
    let plain = scrape(address, "text/plain;version=0.0.4");
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let open = scrape(address, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), Some(kind));
    let (plain, open) = (parsed(&plain.text(), "prometheus"), parsed(&open.text(), "openmetrics"));
    assert_eq!(plain.keys().collect::<Vec<_>>(), open.keys().collect::<Vec<_>>());
    for (labels, count) in [
        ("method=GET,status=2xx", 2.0),
        ("method=GET,status=4xx", 1.0),
        ("method=GET,status=5xx", 1.0),
        ("method=POST,status=2xx", 1.0),
        ("method=other,status=2xx", 1.0),
    ] {
        for name in ["hostler_requests_total", "hostler_worker_requests_total"] {
            assert_eq!(sum(&open, name, labels), count, "{name} {labels}");
        }
    }
    assert_eq!(open["hostler_request_duration_seconds_count{}"], 6.0);
    assert_eq!(open["hostler_queue_duration_seconds_count{}"], 6.0);
    // One took longer than 20 ms, and none than 100 s.
    let within = |le: &str| open[&format!("hostler_request_duration_seconds_bucket{{le={le}}}")];
    assert!(within("0.01") <= 5.0 && within("100.0") == 6.0 && within("+Inf") == 6.0);
    assert!(open["hostler_request_duration_seconds_sum{}"] >= 0.02);
    assert!(open["hostler_received_bytes_total{}"] > 200.0 && open["hostler_sent_bytes_total{}"] > 200.0);
    for (name, least) in [
        ("hostler_worker_memory_bytes", 1e6),
        ("hostler_worker_cpu_seconds_total", 0.0),
        ("hostler_loop_lag_seconds_count", 1.0),
        ("hostler_accept_queue_limit", 1.0),
        ("hostler_worker_serving", 2.0),
    ] {
        assert!(sum(&open, name, "") >= least, "{name}: {open:?}");
    }
    server.stop();
}

#[test]
fn what_clients_saw_is_what_is_counted_though_workers_are_killed_under_load() {
    let server = Server::app("observed:app").option("admin", "127.0.0.1:0").option("workers", 3).start();
    let address = admin(&server);
    let load = Load::start(server.address.unwrap(), "/", 6);
    let mut last = 0.0;
    for round in 0..6 {
        load.wait_for(200);
        let workers = server.workers();
        kill(Pid::from_raw(workers[workers.len() - 1]), Signal::SIGKILL).unwrap();
        wait_until("another worker serves", || server.workers().len() > workers.len());
        let now = sum(&metrics(address), "hostler_requests_total", "");
        assert!(now >= last, "a counter has fallen in round {round}: {last} {now}");
        last = now;
    }
    let outcome = load.end();
    wait_until("all have ended", || sum(&metrics(address), "hostler_requests_in_flight", "") == 0.0);
    let found = metrics(address);
    let (answered, failed) = (outcome.answered as f64, outcome.failures.len() as f64);
    let (all, good) =
        (sum(&found, "hostler_requests_total", ""), sum(&found, "hostler_requests_total", "status=2xx"));
    // A client whose connection broke has sent a request, or not yet.
    assert!(good >= answered && all <= answered + failed, "{good} {all} {answered} {:?}", outcome.failures);
    assert_eq!(sum(&found, "hostler_worker_exits_total", "reason=signal"), 6.0);
    // A response that was in the kernel when its worker was killed was in flight still, and reached its client: at most one for
    // each client and kill.
    assert!(sum(&found, "hostler_requests_lost_total", "") <= failed + 6.0 * 6.0);
    assert_eq!(sum(&found, "hostler_worker_starts_total", ""), 9.0);
    server.stop();
}

#[test]
fn workers_that_end_say_why_and_keep_their_counts() {
    let server = Server::app("observed:app")
        .option("admin", "127.0.0.1:0")
        .option("workers", 1)
        .option("max-requests", 10)
        .option("max-requests-jitter", 0)
        .option("respawn-interval", 0)
        .start();
    let address = admin(&server);
    let ended =
        |reason: &str| sum(&metrics(address), "hostler_worker_exits_total", &format!("reason={reason}"));
    let mut asked = 0.0;
    while ended("max-requests") < 2.0 {
        assert_eq!(server.connect().get("/").status, 200);
        asked += 1.0;
    }
    let _ = server.connect().try_get("/crash", false);
    wait_until("it has exited", || ended("exit") == 1.0);
    let found = metrics(address);
    assert_eq!(sum(&found, "hostler_requests_total", "status=2xx"), asked);
    // The one that crashed its worker had no response.
    assert_eq!(sum(&found, "hostler_requests_total", "status=none"), 1.0);
    assert_eq!(sum(&found, "hostler_requests_lost_total", ""), 1.0);
    server.stop();
}

#[test]
fn requests_that_wait_for_a_thread_or_for_the_loop_are_in_the_queue_time() {
    for (target, options) in [
        ("observed:wsgi", &[("interface", "wsgi"), ("blocking-threads", "1")][..]),
        ("observed:wsgi", &[("interface", "wsgi"), ("blocking-threads", "2")]),
        ("observed:app", &[]),
        ("observed:app", &[("limit-concurrency", "1")]),
    ] {
        let app = Server::app(target).option("admin", "127.0.0.1:0").option("workers", 1);
        let server = options.iter().fold(app, |app, (name, value)| app.option(name, value)).start();
        let path = if options == [("limit-concurrency", "1")] { "/slow?0.4" } else { "/block?0.4" };
        let mut clients: Vec<Conn> = (0..3).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"));
        }
        clients.iter_mut().for_each(|client| assert_eq!(client.reply().unwrap().status, 200));
        let address = admin(&server);
        wait_until("all have ended", || sum(&metrics(address), "hostler_requests_in_flight", "") == 0.0);
        let waited = metrics(address)["hostler_queue_duration_seconds_sum{}"];
        // One of the three, or two one after the other; what the kernel knows of the second wait may be a part of it.
        let two = options.contains(&("blocking-threads", "2"));
        assert!(waited > if two { 0.3 } else { 0.6 }, "{target} {options:?}: {waited}");
        server.stop();
    }
}

#[test]
fn metrics_is_granians_name_for_an_address_of_the_observer() {
    let app = Server::app("observed:app").arg("--metrics").option("metrics-port", 0);
    let server = app.start();
    assert_eq!(metrics(admin(&server))["hostler_ready{}"], 1.0);
    server.stop();
}

/// Metrics that are the application's.
fn own(samples: Samples) -> Samples {
    samples.into_iter().filter(|(name, _)| !name.starts_with("hostler_")).collect()
}

#[test]
fn the_applications_metrics_are_merged_as_prometheus_client_merges_them() {
    let dir = directory("multiproc").join("metrics");
    std::fs::create_dir_all(&dir).unwrap();
    // Of an earlier server.
    std::fs::write(dir.join("counter_1.db"), [0; 64]).unwrap();
    let server = Server::app("observed:app")
        .option("admin", "127.0.0.1:0")
        .option("prometheus-multiproc-dir", dir.display())
        .start();
    let address = admin(&server);
    assert!(!dir.join("counter_1.db").exists());
    let mut pids = std::collections::BTreeSet::new();
    while pids.len() < 2 {
        pids.insert(server.connect().get("/pid-gauges").text());
    }
    for _ in 0..20 {
        server.connect().get("/");
    }
    let theirs = parsed(&server.connect().get("/generate").text(), "prometheus");
    let ours = own(metrics(address));
    assert_eq!(ours, theirs);
    assert!(sum(&ours, "calls_total", "path=/") >= 22.0 && sum(&ours, "size_bucket", "le=10.0") >= 22.0);
    let open = scrape(address, "application/openmetrics-text").text();
    assert_eq!(own(parsed(&open, "openmetrics")).len(), theirs.len());
    // A worker that is gone has no live gauges any more, and its counters stay.
    let gone: i32 = pids.first().unwrap().parse().unwrap();
    kill(Pid::from_raw(gone), Signal::SIGKILL).unwrap();
    wait_until("its live gauges are gone", || !dir.join(format!("gauge_liveall_{gone}.db")).exists());
    server.wait_for("worker ready", 3);
    let after = metrics(address);
    let of_gone = format!("pid={gone}");
    assert_eq!(sum(&after, "gauge_liveall", &of_gone), 0.0);
    assert_ne!(sum(&after, "gauge_all", &of_gone), 0.0);
    assert!(sum(&after, "calls_total", "path=/") >= sum(&ours, "calls_total", "path=/"));
    assert!(proc::state(server.master()).is_some());
    server.stop();
}

/// One request of the exporter: its head and its body.
fn exported(listener: &std::net::TcpListener, response: &str) -> (String, Value) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(hostler_testkit::LIMIT)).unwrap();
    let (mut text, mut block) = (Vec::new(), [0; 65536]);
    loop {
        let all = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = all.split_once("\r\n\r\n") {
            let length = head.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap();
            if body.len() >= length.parse().unwrap() {
                stream.write_all(response.as_bytes()).unwrap();
                return (head.to_owned(), serde_json::from_str(body).unwrap());
            }
        }
        match stream.read(&mut block).unwrap() {
            0 => panic!("a part of a request: {all}"),
            count => text.extend_from_slice(&block[..count]),
        }
    }
}

#[test]
fn metrics_are_sent_to_a_collector_that_may_be_away_for_a_while() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let app = Server::app("observed:app").option("otlp-endpoint", &endpoint).option("otlp-interval", 1);
    let server = app.option("process-name", "shop").start();
    const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    let (head, _) = exported(&listener, DONE);
    assert!(head.starts_with("POST /v1/metrics HTTP/1.1\r\n") && head.contains("application/json"), "{head}");
    let _ = exported(&listener, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    server.wait_for("cannot export metrics: trying again", 1);
    for _ in 0..3 {
        assert_eq!(server.connect().get("/").status, 200);
    }
    let body = loop {
        let (_, body) = exported(&listener, DONE);
        if body.to_string().contains("\"asDouble\":3.0") {
            break body;
        }
    };
    server.wait_for("metrics are exported again", 1);
    let resource = &body["resourceMetrics"][0];
    let service = serde_json::json!({"key": "service.name", "value": {"stringValue": "shop"}});
    assert_eq!(resource["resource"]["attributes"][0], service);
    let metrics = resource["scopeMetrics"][0]["metrics"].as_array().unwrap();
    let named = |name: &str| metrics.iter().find(|metric| metric["name"] == name).unwrap();
    let requests = &named("hostler_requests")["sum"];
    assert!(requests["isMonotonic"] == true && requests["aggregationTemporality"] == 2, "{requests}");
    let latency = &named("hostler_request_duration_seconds")["histogram"]["dataPoints"][0];
    let (bounds, counts) =
        (latency["explicitBounds"].as_array().unwrap(), latency["bucketCounts"].as_array().unwrap());
    assert_eq!((latency["count"].as_str(), counts.len()), (Some("3"), bounds.len() + 1));
    let sum: u64 = counts.iter().map(|count| count.as_str().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(sum, 3);
    let of_workers = &named("hostler_worker_request_duration_seconds")["histogram"]["dataPoints"];
    assert_eq!(of_workers.as_array().unwrap().len(), 2);
    assert_eq!(named("hostler_worker_memory_bytes")["unit"], "By");
    server.stop();
}
