//! No process waits for the log or fails with it: a reader that is gone or does not read, a full disk, a stopped
//! terminal hold up neither a stop, nor a reload, nor the replacement of a dead worker.

use crate::safety::{directory, get, terminal, wait_until};
use hostler_testkit::{Builder, Server};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, ttyname},
};
use std::{
    fs::{self, File},
    io::Read,
    os::{
        fd::OwnedFd,
        unix::{fs::OpenOptionsExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::Command,
};

/// Starts the server with its standard error on descriptor 3.
const STDERR_IS_3: &[&str] = &["sh", "-c", "exec \"$@\" 2>&3 3>&-", "sh"];

fn app(dir: &Path) -> (Builder, PathBuf) {
    let socket = dir.join("socket");
    let app = Server::app("hostile:app").option("workers", 2).option("uds", socket.display());
    (app, socket)
}

fn named_pipe(dir: &Path) -> PathBuf {
    let path = dir.join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    path
}

/// A reader of a named pipe that is there and reads nothing.
fn reader(pipe: &Path) -> File {
    let flags = nix::libc::O_NONBLOCK;
    File::options().read(true).custom_flags(flags).open(pipe).unwrap()
}

/// Writing without a log: workers answer and log, dead ones are replaced, a reload and a stop succeed.
fn everything_works(mut server: Server, socket: &Path) {
    wait_until("serving", || get(socket, "/pid").is_ok());
    assert_eq!(get(socket, "/log/3000").unwrap(), "logged");
    for _ in 0..3 {
        let first: i32 = get(socket, "/pid").unwrap().parse().unwrap();
        kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
        wait_until("replaced", || server.processes().len() == 4 && !server.processes().contains(&first));
    }
    let before = server.processes();
    server.signal(Signal::SIGHUP);
    let is_new = |pid: &i32| !before.contains(pid);
    wait_until("reloaded", || {
        let now = server.processes();
        now.len() == 4 && now.iter().filter(|pid| is_new(pid)).count() == 3
    });
    assert!(get(socket, "/pid").is_ok());
    server.signal(Signal::SIGUSR1);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    server.wait_empty();
}

#[test]
fn a_log_whose_reader_is_gone_hurts_nobody() {
    let dir = directory("log-gone");
    let (reading, writing) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let (builder, socket) = app(&dir);
    let server = builder.wrapped(STDERR_IS_3).descriptor(writing).launch();
    wait_until("serving", || get(&socket, "/pid").is_ok());
    drop(reading);
    everything_works(server, &socket);
}

#[test]
fn a_log_that_nobody_reads_hurts_nobody_and_tells_how_much_was_lost() {
    let dir = directory("log-stuck");
    let pipe = named_pipe(&dir);
    let mut reader = reader(&pipe);
    let (builder, socket) = app(&dir);
    let writing: OwnedFd = File::options().write(true).open(&pipe).unwrap().into();
    let mut server = builder.wrapped(STDERR_IS_3).descriptor(writing).launch();
    wait_until("serving", || get(&socket, "/pid").is_ok());
    assert_eq!(get(&socket, "/log/3000").unwrap(), "logged");
    let first: i32 = get(&socket, "/pid").unwrap().parse().unwrap();
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    wait_until("replaced", || server.processes().len() == 4 && !server.processes().contains(&first));
    // The reader comes back to life: what was lost is told without anything else happening, once by each process.
    let mut text = String::new();
    let mut read = |text: &mut String| {
        let mut block = vec![0; 1 << 16];
        while let Ok(count @ 1..) = reader.read(&mut block) {
            text.push_str(&String::from_utf8_lossy(&block[..count]));
        }
    };
    wait_until("told", || {
        read(&mut text);
        text.contains("log lines were lost: the log could not be written lines=")
    });
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    read(&mut text);
    assert!(text.contains("stopped requests="), "{text}");
    for line in text.lines() {
        assert!(line.starts_with("20") || line.starts_with("line ") || line.is_empty(), "{line}");
    }
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_up_a_stop() {
    let dir = directory("log-stop");
    let pipe = named_pipe(&dir);
    let _reader = reader(&pipe);
    let (builder, socket) = app(&dir);
    let writing: OwnedFd = File::options().write(true).open(&pipe).unwrap().into();
    everything_works(builder.wrapped(STDERR_IS_3).descriptor(writing).launch(), &socket);
}

#[test]
fn a_log_socket_that_nobody_reads_hurts_nobody() {
    let dir = directory("log-socket");
    let (_reading, writing) = UnixStream::pair().unwrap();
    let (builder, socket) = app(&dir);
    everything_works(builder.wrapped(STDERR_IS_3).descriptor(writing).launch(), &socket);
}

#[test]
fn a_terminal_that_is_stopped_or_gone_hurts_nobody() {
    for gone in [false, true] {
        let dir = directory(if gone { "log-hangup" } else { "log-terminal" });
        let terminal = terminal();
        let (builder, socket) = app(&dir);
        let server = builder.wrapped(STDERR_IS_3).descriptor(terminal.slave).launch();
        wait_until("serving", || get(&socket, "/pid").is_ok());
        let master = if gone { None } else { Some(terminal.master) };
        everything_works(server, &socket);
        drop(master);
    }
}

#[test]
fn a_background_process_may_log_to_a_terminal_that_would_stop_it() {
    let dir = directory("log-background");
    let terminal = terminal();
    let name = ttyname(&terminal.slave).unwrap();
    let set = Command::new("stty").args(["-F", name.to_str().unwrap(), "tostop"]).status();
    assert!(set.unwrap().success());
    // The wrapper leads the session and is in the foreground; the server is in the background.
    let code = "import fcntl, os, sys, termios\n\
                fcntl.ioctl(3, termios.TIOCSCTTY, 0)\n\
                group = os.getpgrp()\n\
                child = os.fork()\n\
                if child == 0:\n    signal = __import__('signal'); signal.signal(signal.SIGTTOU, signal.SIG_IGN)\n    \
                os.setpgid(0, 0); os.tcsetpgrp(3, os.getpid()); signal.pause()\n\
                os.waitid(os.P_PID, child, os.WNOHANG | os.WEXITED)\n\
                while os.tcgetpgrp(3) == group: pass\n\
                os.dup2(3, 2); os.close(3); os.execvp(sys.argv[1], sys.argv[1:])";
    let (builder, socket) = app(&dir);
    let mut server = builder.wrapped(&["python3", "-c", code]).descriptor(terminal.slave).launch();
    wait_until("serving", || get(&socket, "/pid").is_ok());
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    drop(terminal.master);
}

#[test]
fn a_full_disk_hurts_nobody() {
    let dir = directory("log-full");
    let (builder, socket) = app(&dir);
    everything_works(builder.option("log-file", "/dev/full").launch(), &socket);
}

#[test]
fn a_log_file_that_may_not_grow_hurts_nobody() {
    let dir = directory("log-limit");
    let file = dir.join("log");
    let (builder, socket) = app(&dir);
    let server = builder.option("log-file", file.display()).launch();
    wait_until("serving", || get(&socket, "/pid").is_ok());
    // A process that writes beyond it is ended by SIGXFSZ unless it asks otherwise.
    for pid in server.processes() {
        let limit = ["--pid", &pid.to_string(), "--fsize=8192"];
        let limited = Command::new("prlimit").args(limit).status().unwrap().success();
        // Who lives between two forks has left by then, maybe.
        assert!(limited || !fs::exists(format!("/proc/{pid}")).unwrap(), "{pid}");
    }
    everything_works(server, &socket);
    assert!(fs::metadata(&file).unwrap().len() <= 8192);
}

#[test]
fn a_log_file_whose_directory_is_gone_hurts_nobody() {
    let dir = directory("log-directory");
    let logs = dir.join("logs");
    fs::create_dir(&logs).unwrap();
    let (builder, socket) = app(&dir);
    let server = builder.option("log-file", logs.join("log").display()).launch();
    wait_until("serving", || get(&socket, "/pid").is_ok());
    fs::remove_dir_all(&logs).unwrap();
    everything_works(server, &socket);
}

#[test]
fn a_named_pipe_as_log_file_needs_no_reader() {
    let dir = directory("log-fifo");
    let pipe = named_pipe(&dir);
    let (builder, socket) = app(&dir);
    let server = builder.option("log-file", pipe.display()).launch();
    wait_until("serving", || get(&socket, "/pid").is_ok());
    let mut reader = reader(&pipe);
    let (mut text, mut block) = (String::new(), vec![0; 1 << 16]);
    wait_until("told", || {
        let count = reader.read(&mut block).unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(&block[..count]));
        text.contains("worker ready")
    });
    everything_works(server, &socket);
}

#[test]
fn a_pipe_that_may_not_be_opened_again_is_not_waited_for_either() {
    if nix::unistd::getuid().as_raw() != 0 {
        return;
    }
    let dir = directory("log-refused");
    let pipe = named_pipe(&dir);
    let _reader = reader(&pipe);
    let writing: OwnedFd = File::options().write(true).open(&pipe).unwrap().into();
    // Another user's, and root without the right to open everything: as after `sudo -u` in a pipeline.
    nix::unistd::chown(&pipe, Some(65534.into()), Some(65534.into())).unwrap();
    fs::set_permissions(&pipe, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (builder, socket) = app(&dir);
    let weak = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    let wrapper: Vec<&str> = weak.into_iter().chain(STDERR_IS_3.iter().copied()).collect();
    everything_works(builder.wrapped(&wrapper).descriptor(writing).launch(), &socket);
}

#[test]
fn log_lines_never_go_to_a_client_whose_connection_has_the_log_s_number() {
    let dir = directory("log-closed");
    let pipe = named_pipe(&dir);
    let _reader = reader(&pipe);
    let (builder, socket) = app(&dir);
    let writing: OwnedFd = File::options().write(true).open(&pipe).unwrap().into();
    let mut server = builder.option("workers", 1).wrapped(STDERR_IS_3).descriptor(writing).launch();
    wait_until("serving", || get(&socket, "/pid").is_ok());
    assert_eq!(get(&socket, "/close").unwrap(), "closed");
    // Connections get the numbers that have become free; each logs, and gets its answer and nothing else.
    for _ in 0..8 {
        assert_eq!(get(&socket, "/log/1").unwrap(), "logged");
    }
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
}

#[test]
fn closed_standard_descriptors_are_none_that_sockets_get() {
    let dir = directory("log-none");
    let (builder, socket) = app(&dir);
    let server = builder.wrapped(&["sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"]).launch();
    everything_works(server, &socket);
}

#[test]
fn a_listing_may_be_read_by_somebody_who_has_seen_enough() {
    let output = Command::new("sh")
        .args([
            "-c",
            "\"$0\" --print-reference | true; exec 2>&1; \"$0\" --print-reference >/dev/null && echo whole",
        ])
        .arg(hostler_testkit::hostler())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "whole\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
