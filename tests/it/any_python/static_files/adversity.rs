//! Clients that are slow or leave, files that change, workers that are replaced in the middle of a file.

use super::{Site, pattern, serve};
use hostler_testkit::{Conn, Server, proc};
use nix::sys::signal::Signal;
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    process::Command,
};

const SIZE: usize = 30_000_000;

/// A request for a large file, of which the client has read the beginning of the body.
fn begun(server: &Server, site: &Site) -> Conn {
    site.write("large.bin", pattern(SIZE));
    let mut conn = server.connect();
    conn.send("GET /static/large.bin HTTP/1.1\r\nhost: test\r\n\r\n");
    while !conn.exactly(1).unwrap().starts_with(b"\n") || conn.exactly(2).unwrap() != b"\r\n" {}
    assert_eq!(conn.exactly(1000).unwrap(), pattern(1000));
    conn
}

#[test]
fn a_slow_client_gets_the_file_and_delays_no_other() {
    let site = Site::with(&[("a.txt", "a")]);
    let server = serve(&site).start();
    let mut conn = begun(&server, &site);
    // The rest waits for its reader, and nothing else does.
    for _ in 0..20 {
        assert_eq!(server.connect().get("/static/a.txt").text(), "a");
        assert_eq!(server.connect().get("/pid").status, 200);
    }
    assert!(conn.exactly(SIZE - 1000).unwrap() == pattern(SIZE)[1000..]);
    assert_eq!(conn.get("/static/a.txt").text(), "a");
    server.stop();
}

#[test]
fn a_file_that_is_cut_short_while_it_is_sent_ends_the_connection() {
    let site = Site::new();
    let server = serve(&site).start();
    let mut conn = begun(&server, &site);
    File::options().write(true).open(site.path().join("large.bin")).unwrap().set_len(2000).unwrap();
    let rest = conn.to_end().map_or(0, |rest| rest.len());
    assert!(rest < SIZE - 1000, "{rest}");
    server.wait_for("a file shrank while it was sent: the response is cut off", 1);
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}

/// What was opened is sent, whatever becomes of its name.
#[test]
fn a_file_that_is_replaced_or_removed_while_it_is_sent_is_sent_to_its_end() {
    let site = Site::new();
    let server = serve(&site).start();
    let mut conn = begun(&server, &site);
    fs::rename(site.path().join("large.bin"), site.path().join("moved.bin")).unwrap();
    site.write("large.bin", "new");
    fs::remove_file(site.path().join("moved.bin")).unwrap();
    assert!(conn.exactly(SIZE - 1000).unwrap() == pattern(SIZE)[1000..]);
    server.wait_until("the new file is served", || conn.get("/static/large.bin").text() == "new");
    server.stop();
}

#[test]
fn changes_of_files_are_seen() {
    let site = Site::with(&[("a.txt", "one")]);
    let server = serve(&site).start();
    let mut conn = server.connect();
    let first = conn.get("/static/a.txt");
    // In place: at once.
    File::options().write(true).open(site.path().join("a.txt")).unwrap().write_at(b"three", 0).unwrap();
    let second = conn.get("/static/a.txt");
    assert_eq!(second.text(), "three");
    assert_ne!(first.header("etag"), second.header("etag"));
    // By another file, a file where there was none, and none where there was one: within a second.
    site.write("new", "four");
    assert_eq!(conn.get("/static/later.txt").status, 404);
    fs::rename(site.path().join("new"), site.path().join("a.txt")).unwrap();
    site.write("later.txt", "later");
    let began = std::time::Instant::now();
    server.wait_until("both are seen", || {
        conn.get("/static/a.txt").text() == "four" && conn.get("/static/later.txt").text() == "later"
    });
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
    fs::remove_file(site.path().join("a.txt")).unwrap();
    server.wait_until("it is gone", || conn.get("/static/a.txt").status == 404);
    server.stop();
}

/// A deployment that switches a link.
#[test]
fn a_directory_that_is_replaced_is_seen() {
    let site = Site::with(&[("v1/a.txt", "one"), ("v2/a.txt", "two")]);
    let link = site.path().join("current");
    std::os::unix::fs::symlink("v1", &link).unwrap();
    let server =
        Server::app("asgi_app:app").option("workers", 1).option("static-path-mount", link.display()).start();
    assert_eq!(server.connect().get("/static/a.txt").text(), "one");
    std::os::unix::fs::symlink("v2", site.path().join("next")).unwrap();
    fs::rename(site.path().join("next"), &link).unwrap();
    server.wait_until("the other is served", || server.connect().get("/static/a.txt").text() == "two");
    fs::remove_file(&link).unwrap();
    server.wait_until("nothing is served", || server.connect().get("/static/a.txt").status != 200);
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}

#[test]
fn clients_that_leave_in_the_middle_leave_no_descriptor() {
    let site = Site::new();
    let server = serve(&site).start();
    let worker = server.workers()[0];
    assert_eq!(server.connect().get("/pid").status, 200);
    for _ in 0..20 {
        drop(begun(&server, &site));
    }
    let name = site.path().join("large.bin");
    server.wait_until("no file is open", || {
        let open = proc::descriptors(worker);
        !open.values().any(|path| path.starts_with(&name) || path.starts_with(site.path()))
            && proc::sockets(worker) < 20
    });
    server.stop();
}

#[test]
fn pipelined_files_arrive_in_order() {
    let site = Site::new();
    let sizes = [10, 70_000, 0, 300_000, 5, 65_536];
    sizes.iter().for_each(|size| site.write(&size.to_string(), pattern(*size)));
    let server = serve(&site).start();
    let mut conn = server.connect();
    let requests: String = sizes
        .iter()
        .cycle()
        .take(300)
        .map(|size| format!("GET /static/{size} HTTP/1.1\r\nhost: test\r\n\r\n"))
        .collect();
    conn.send(requests);
    for size in sizes.iter().cycle().take(300) {
        assert!(conn.reply().unwrap().body == pattern(*size), "{size}");
    }
    server.stop();
}

/// A worker that drains finishes what it sends.
#[test]
fn a_download_survives_a_reload_and_a_graceful_stop() {
    let site = Site::new();
    let mut server = serve(&site).start();
    let mut conn = begun(&server, &site);
    let worker = server.workers();
    server.signal(Signal::SIGHUP);
    server.wait_until("another worker serves", || server.workers().iter().any(|pid| !worker.contains(pid)));
    let mut other = begun(&server, &site);
    server.signal(Signal::SIGTERM);
    server.wait_for("draining", 2);
    for conn in [&mut conn, &mut other] {
        assert!(conn.exactly(SIZE - 1000).unwrap() == pattern(SIZE)[1000..]);
    }
    assert!(server.wait_exit().success());
}

/// A worker that is killed cannot be taken for one that has sent everything.
#[test]
fn a_download_is_visibly_cut_when_its_worker_is_killed() {
    let site = Site::new();
    let server = serve(&site).start();
    let mut conn = begun(&server, &site);
    let worker = server.workers()[0];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    assert!(conn.to_end().map_or(0, |rest| rest.len()) < SIZE - 1000);
    server.wait_until("another worker serves", || {
        server.address.is_some_and(|address| {
            Conn::try_to(address).is_ok_and(|mut conn| conn.try_get("/static/large.bin", false).is_ok())
        })
    });
    server.stop();
}

/// A client that reads nothing holds neither the worker nor the file for ever.
#[test]
fn a_client_that_reads_nothing_is_cut() {
    let site = Site::new();
    let server = serve(&site).option("write-timeout", 1).start();
    let conn = begun(&server, &site);
    let worker = server.workers()[0];
    let name = site.path().join("large.bin");
    server.wait_until("the file is closed", || !proc::descriptors(worker).values().any(|path| *path == name));
    drop(conn);
    server.stop();
}

/// Names that are asked for once must not fill memory or descriptors.
#[test]
fn many_names_take_few_descriptors() {
    let site = Site::new();
    (0..300).for_each(|number| site.write(&format!("{number}.txt"), number.to_string()));
    let server = serve(&site).start();
    let worker = server.workers()[0];
    let mut conn = server.connect();
    let before = proc::descriptors(worker).len();
    for number in 0..300 {
        assert_eq!(conn.get(&format!("/static/{number}.txt")).text(), number.to_string());
        assert_eq!(conn.get(&format!("/static/none-{number}.txt")).status, 404);
    }
    let open = proc::descriptors(worker).len();
    assert!(open <= before + 70, "{before} {open}");
    server.wait_until("they are closed", || proc::descriptors(worker).len() <= before + 1);
    server.stop();
}

#[test]
fn without_descriptors_a_file_is_unavailable_for_a_while() {
    let site = Site::with(&[("a.txt", "a")]);
    let server = serve(&site).start();
    let worker = server.workers()[0];
    let mut conn = server.connect();
    assert_eq!(conn.get("/pid").status, 200);
    let limit = |most: usize| {
        let status = Command::new("prlimit")
            .args(["--pid", &worker.to_string(), &format!("--nofile={most}:")])
            .status();
        assert!(status.unwrap().success());
    };
    limit(3);
    for _ in 0..5 {
        assert_eq!(conn.get("/static/a.txt").status, 503);
    }
    server.wait_for("a static file cannot be opened: responding with 503", 1);
    limit(1024);
    assert_eq!(conn.get("/static/a.txt").text(), "a");
    server.stop();
}
