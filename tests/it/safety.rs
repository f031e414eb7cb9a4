//! The master cannot be hurt: not by what its workers run, not by signals that were meant for others, not by files that
//! somebody else has put where it puts its own.

use hostler_testkit::{LIMIT, Server, root};
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    pty::{OpenptyResult, openpty},
    sys::signal::{Signal, kill},
    unistd::{Pid, ttyname},
};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    os::{
        fd::AsRawFd,
        unix::{
            fs::{MetadataExt, symlink},
            net::{UnixDatagram, UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

pub(crate) fn directory(name: &str) -> PathBuf {
    let dir = root().join("target/tmp").join(format!("safety-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// GET on a new connection to a Unix socket, and the body of its answer.
pub(crate) fn get(socket: &Path, path: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 200 "), "{text}");
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    body.ok_or_else(|| ErrorKind::UnexpectedEof.into())
}

/// Waits for something that no log line tells.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < limit, "not {what}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// poll(2) refuses to watch more descriptors than a process may open.
#[test]
fn a_master_that_may_open_fewer_files_than_it_has_goes_on() {
    let mut server = Server::app("supervised:app").option("workers", 2).start();
    let limit = |files: &str| {
        let master = server.master().to_string();
        let done = Command::new("prlimit").args(["--pid", &master, &format!("--nofile={files}:")]).status();
        assert!(done.unwrap().success());
    };
    limit("3");
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).unwrap();
    server.wait_for("cannot start a worker", 2);
    // Some attempts, and not one for each turn of a loop that cannot wait.
    assert!(server.log().lines().count() < 40, "{}", server.log());
    limit("1024");
    server.wait_for("worker ready", 3);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0));
}

#[test]
fn an_application_that_truncates_shared_memory_kills_nobody() {
    // Looked at often, so that a page that is missing is met at once.
    let server = Server::app("hostile:app").option("workers", 2).option("stall-timeout", "100ms").start();
    let own = server.connect().get("/truncate").text();
    // Nothing of it is left in a worker; what the master has is opened anew here, which only root or the same user may.
    assert_eq!(own, "", "{own}");
    let masters = server.connect().get(&format!("/truncate/{}", server.master())).text();
    assert!(masters.contains("hostler-scoreboard") && !masters.contains("truncated"), "{masters}");
    // Both kinds of readers go on: siblings that accept, and the master that starts and watches another worker.
    for _ in 0..20 {
        assert_eq!(server.connect().get("/pid").status, 200);
    }
    server.signal(Signal::SIGTTIN);
    server.wait_for("worker ready", 3);
    server.stop();
}

#[test]
fn a_worker_can_write_its_own_page_alone() {
    let server = Server::app("hostile:app").option("workers", 2).start();
    assert_eq!(server.connect().get("/overwrite").text(), "1");
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}

#[test]
fn signals_that_are_the_master_s_do_nothing_to_workers_and_mold() {
    let server = Server::app("hostile:app").option("workers", 2).start();
    let master = server.master();
    let children: Vec<i32> = server.processes().into_iter().filter(|pid| *pid != master).collect();
    assert_eq!(children.len(), 3, "mold and workers: {children:?}");
    let signals = [
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGWINCH,
        Signal::SIGHUP,
    ];
    for (child, signal) in children.iter().flat_map(|child| signals.map(|signal| (child, signal))) {
        kill(Pid::from_raw(*child), signal).unwrap();
    }
    for signal in signals {
        for _ in 0..2 {
            assert_eq!(server.connect().get(&format!("/kill/{signal}")).text(), "alive");
        }
    }
    // The mold forks, so it lives and is not stopped.
    server.signal(Signal::SIGTTIN);
    server.wait_for("worker ready", 3);
    let mut after: Vec<i32> = server.processes().into_iter().filter(|pid| children.contains(pid)).collect();
    after.sort_unstable();
    let mut before = children.clone();
    before.sort_unstable();
    assert_eq!(after, before, "{}", server.log());
    server.stop();
}

#[test]
fn programs_that_an_application_starts_ignore_no_signal() {
    let server = Server::app("hostile:app").option("workers", 1).start();
    let told = server.connect().get("/signals").text();
    let masks = told.lines().map(|line| u64::from_str_radix(line.split('\t').nth(1).unwrap(), 16).unwrap());
    // Real-time signals, which are beyond these, may be ignored by whoever runs the tests.
    assert_eq!(masks.map(|mask| mask & 0x7fff_ffff).collect::<Vec<_>>(), [0, 0], "{told}");
    server.stop();
}

#[test]
fn a_mold_that_is_signalled_while_python_starts_goes_on() {
    let dir = directory("early");
    fs::write(
        dir.join("sitecustomize.py"),
        "import os, signal, sys\nif sys.argv[:1] == ['-c']:\n    for s in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGHUP):\n        os.kill(os.getpid(), s)\n",
    )
    .unwrap();
    let server =
        Server::app("hostile:app").option("workers", 1).env("PYTHONPATH", dir.to_str().unwrap()).start();
    assert_eq!(server.connect().get("/pid").status, 200);
    assert!(!server.log().contains("mold ended"), "{}", server.log());
    server.stop();
}

/// A pseudo terminal, of which no program gets more than what it is given.
pub(crate) fn terminal() -> OpenptyResult {
    let terminal = openpty(None, None).unwrap();
    for end in [&terminal.master, &terminal.slave] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
    }
    terminal
}

/// Starts the server with descriptor 3 as its controlling terminal.
const IN_TERMINAL: &str = "import fcntl, os, sys, termios; fcntl.ioctl(3, termios.TIOCSCTTY, 0); os.close(3); \
                           os.execvp(sys.argv[1], sys.argv[1:])";

#[test]
fn a_terminal_that_changes_its_size_takes_no_workers_away() {
    let terminal = terminal();
    let name = ttyname(&terminal.slave).unwrap();
    let server = Server::app("hostile:app")
        .option("workers", 2)
        .option("port", 0)
        .wrapped(&["python3", "-c", IN_TERMINAL])
        .descriptor(terminal.slave)
        .start();
    let size = ["-F", name.to_str().unwrap(), "rows", "41", "cols", "101"];
    assert!(Command::new("stty").args(size).status().unwrap().success());
    // And as programs that pass signals on do it.
    server.signal(Signal::SIGWINCH);
    // Signals are heard in this order, or both at once with SIGWINCH last; the second round is after both.
    server.signal(Signal::SIGTTIN);
    server.wait_for("worker ready", 3);
    server.signal(Signal::SIGTTIN);
    server.wait_for("worker ready", 4);
    assert!(!server.log().contains("SIGWINCH"), "{}", server.log());
    assert_eq!(server.connect().get("/pid").status, 200);
    drop(terminal.master);
    server.stop();
}

#[test]
fn without_a_terminal_sigwinch_takes_the_workers_away() {
    let server = Server::app("hostile:app").option("workers", 1).start();
    server.signal(Signal::SIGWINCH);
    server.wait_for("signal=\"SIGWINCH\" from=1 to=0", 1);
    server.wait_for("worker ended", 1);
    server.stop();
}

#[test]
fn no_link_is_followed_and_nothing_emptied_for_the_pid_file() {
    let dir = directory("pid-links");
    let (file, precious) = (dir.join("pid"), dir.join("precious"));
    fs::write(&precious, "precious\n").unwrap();
    symlink(&precious, &file).unwrap();
    symlink(&precious, dir.join("pid.new")).unwrap();
    let server = Server::app("hostile:app").option("workers", 1).option("pid-file", file.display()).start();
    let number = format!("{}\n", server.master());
    wait_until("written", || fs::symlink_metadata(&file).is_ok_and(|found| found.is_file()));
    assert_eq!(fs::read_to_string(&file).unwrap(), number);
    server.stop();
    assert!(!file.exists());
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious\n");
    // A pipe would be waited for.
    let pipe = dir.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (code, log) = Server::app("hostile:app").option("port", 0).option("pid-file", pipe.display()).fail();
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("not a regular file"), "{log}");
}

#[test]
fn a_server_that_stops_removes_its_own_files_alone() {
    let dir = directory("own-files");
    let (socket, file) = (dir.join("socket"), dir.join("pid"));
    let server = Server::app("hostile:app")
        .option("workers", 1)
        .option("uds", socket.display())
        .option("pid-file", file.display())
        .start();
    server.wait_for_file(&file);
    // Another server takes the paths over, as one does that thinks the first is gone.
    fs::remove_file(&socket).unwrap();
    fs::remove_file(&file).unwrap();
    let others = UnixListener::bind(&socket).unwrap();
    // The same number on purpose: another process id namespace has the same numbers.
    fs::write(&file, format!("{}\n", server.master())).unwrap();
    let inode = fs::metadata(&socket).unwrap().ino();
    server.stop();
    assert_eq!(fs::metadata(&socket).unwrap().ino(), inode);
    assert!(file.exists());
    drop(others);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_socket_that_is_handed_on_by_an_upgrade_is_removed_by_the_last_server() {
    let dir = directory("upgraded-socket");
    let socket = dir.join("socket");
    let server = Server::app("hostile:app").option("workers", 1).option("uds", socket.display()).start();
    server.signal(Signal::SIGUSR2);
    server.wait_for("stopped", 1);
    let mut server = server;
    server.wait_exit_of_master();
    assert!(get(&socket, "/pid").is_ok());
    let successor = server.processes().into_iter().min().unwrap();
    kill(Pid::from_raw(successor), Signal::SIGTERM).unwrap();
    server.wait_empty();
    assert!(!socket.exists(), "{}", server.log());
}

#[test]
fn a_start_on_a_unix_socket_whose_queue_is_full_is_refused_at_once() {
    let dir = directory("full-queue");
    let socket = dir.join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    // The shortest queue there is (listen(2)); std asks for a long one.
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let mut waiting = Vec::new();
    loop {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket as make};
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let client = make(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
        match connect(client.as_raw_fd(), &UnixAddr::new(&socket).unwrap()) {
            Ok(()) => waiting.push(client),
            Err(error) => break assert_eq!(error, nix::Error::EAGAIN),
        }
    }
    let (code, log) = Server::app("hostile:app").option("uds", socket.display()).fail();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("cannot listen on unix:"), "{log}");
    assert!(socket.exists());
}

#[test]
fn a_worker_that_served_is_not_said_to_be_unable_to_boot() {
    let server = Server::app("hostile:app").option("workers", 1).start();
    assert_eq!(server.connect().get("/exit").text(), "exits");
    server.wait_for("worker ready", 2);
    let log = server.log();
    assert!(!log.contains("cannot boot"), "{log}");
    assert!(log.contains("SystemExit: 7"), "{log}");
    server.stop();
}

#[test]
fn a_reload_that_fails_shows_the_application_s_traceback_and_no_other() {
    let dir = directory("failed-reload");
    let broken = dir.join("broken");
    let server =
        Server::app("unimportable:app").option("workers", 6).env("BROKEN", broken.to_str().unwrap()).start();
    fs::write(&broken, "").unwrap();
    // Each time the mold is left while it forks: what it says then nobody hears.
    for round in 1..=5 {
        server.signal(Signal::SIGHUP);
        server.wait_for("not reloaded: the running workers serve on", round);
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

#[test]
fn a_worker_without_descriptors_neither_spins_nor_stays_deaf() {
    let server = Server::app("hostile:app").option("workers", 1).start();
    let mut kept = server.connect();
    let worker: i32 = kept.get("/pid").text().parse().unwrap();
    let open = fs::read_dir(format!("/proc/{worker}/fd")).unwrap().count();
    let limit = ["--pid", &worker.to_string(), &format!("--nofile={}", open + 2)];
    assert!(Command::new("prlimit").args(limit).status().unwrap().success());
    let crowd: Vec<_> = (0..8).map(|_| server.connect()).collect();
    server.wait_for("cannot accept", 1);
    // Serves on, and is at rest meanwhile: its time on the processor, in hundredths of a second.
    let used = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{worker}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let (began, before) = (Instant::now(), used());
    while began.elapsed().as_millis() < 1500 {
        assert_eq!(kept.get("/pid").status, 200);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(used() - before < 75, "{} ticks in 150", used() - before);
    assert_eq!(server.log().matches("cannot accept").count(), 1, "{}", server.log());
    drop(crowd);
    let mut later = server.connect();
    assert_eq!(later.get("/pid").text(), worker.to_string());
    server.stop();
}

#[test]
fn a_service_manager_that_does_not_read_is_not_waited_for() {
    let path = directory("notify").join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let other = UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    while other.send_to(b"another service", &path).is_ok() {}
    let server = Server::app("hostile:app")
        .option("workers", 1)
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", "200000")
        .start();
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    // Readable again, it is told what it must know, in order.
    manager.set_read_timeout(Some(LIMIT)).unwrap();
    let mut said = String::new();
    while said.matches("READY=1").count() < 2 {
        let mut block = [0; 4096];
        let count = manager.recv(&mut block).unwrap_or_else(|error| panic!("{said:?}: {error}"));
        said.push_str(&String::from_utf8_lossy(&block[..count]));
    }
    let order = ["READY=1", "RELOADING=1", "READY=1"];
    let places = order.iter().try_fold(0, |from, word| said[from..].find(word).map(|at| from + at + 1));
    assert!(places.is_some(), "{said}");
    while other.send_to(b"another service", &path).is_ok() {}
    server.stop();
}

#[test]
fn a_terminal_that_hangs_up_costs_no_worker_before_its_successor_serves() {
    let terminal = terminal();
    let server = Server::app("hostile:app")
        .option("workers", 2)
        .option("port", 0)
        .wrapped(&["python3", "-c", IN_TERMINAL])
        .descriptor(terminal.slave)
        .start();
    // The kernel sends SIGHUP to the whole foreground group (tty_ioctl(4)): for the master it is a reload.
    drop(terminal.master);
    server.wait_for(" reloaded generation=1", 1);
    server.wait_for("status=exited with code 0", 2);
    assert!(!server.log().contains("SIGHUP") && !server.log().contains("mold ended"), "{}", server.log());
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
}

#[test]
fn neither_tmp_nor_shm_is_needed() {
    if !crate::service::can_make_namespaces() {
        return;
    }
    let script =
        "mount -t tmpfs -o ro,size=4k none /tmp && mount -t tmpfs -o ro,size=4k none /dev/shm; exec \"$@\"";
    let server = Server::app("hostile:app")
        .option("workers", 2)
        .wrapped(&["unshare", "--mount", "sh", "-c", script, "sh"])
        .start();
    assert_eq!(server.connect().get("/pid").status, 200);
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    server.stop();
}
