//! The log on standard error: pipes, sockets and terminals.

use super::{app, everything_works, named_pipe, reader};
use hostler_testkit::{directory, get_unix, open_terminal, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, ttyname},
};
use std::{
    fs::{self, File},
    io::Read,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Command,
};

/// Starts the server with its standard error on descriptor 3.
const STDERR_IS_3: &[&str] = &["sh", "-c", "exec \"$@\" 2>&3 3>&-", "sh"];

#[test]
fn a_log_without_a_reader_does_no_harm() {
    let dir = directory("log-gone");
    let (reading, writing) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let (builder, socket) = app(&dir);
    let server = builder.wrapped(STDERR_IS_3).descriptor(writing).launch();
    wait_until("serving", || get_unix(&socket, "/pid").is_ok());
    drop(reading);
    everything_works(server, &socket);
}

#[test]
fn an_unread_log_does_no_harm_and_lost_lines_are_counted() {
    let dir = directory("log-stuck");
    let pipe = named_pipe(&dir);
    let mut reader = reader(&pipe);
    let (builder, socket) = app(&dir);
    let writing: OwnedFd = File::options().write(true).open(&pipe).unwrap().into();
    let mut server = builder.wrapped(STDERR_IS_3).descriptor(writing).launch();
    wait_until("serving", || get_unix(&socket, "/pid").is_ok());
    assert_eq!(get_unix(&socket, "/log/3000").unwrap(), "logged");
    let first: i32 = get_unix(&socket, "/pid").unwrap().parse().unwrap();
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    wait_until("replaced", || server.processes().len() == 4 && !server.processes().contains(&first));
    // The lines that the killed one lost are forgotten with it.
    assert_eq!(get_unix(&socket, "/log/3000").unwrap(), "logged");
    // The log is read again: each process reports once how many lines were lost, without another event.
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
fn an_unread_log_does_not_delay_a_stop() {
    let dir = directory("log-stop");
    let pipe = named_pipe(&dir);
    let _reader = reader(&pipe);
    let (builder, socket) = app(&dir);
    let writing: OwnedFd = File::options().write(true).open(&pipe).unwrap().into();
    everything_works(builder.wrapped(STDERR_IS_3).descriptor(writing).launch(), &socket);
}

#[test]
fn an_unread_log_socket_does_no_harm() {
    let dir = directory("log-socket");
    let (_reading, writing) = UnixStream::pair().unwrap();
    let (builder, socket) = app(&dir);
    everything_works(builder.wrapped(STDERR_IS_3).descriptor(writing).launch(), &socket);
}

#[test]
fn a_terminal_that_is_stopped_or_gone_does_no_harm() {
    for gone in [false, true] {
        let dir = directory(if gone { "log-hangup" } else { "log-terminal" });
        let terminal = open_terminal();
        let (builder, socket) = app(&dir);
        let server = builder.wrapped(STDERR_IS_3).descriptor(terminal.slave).launch();
        wait_until("serving", || get_unix(&socket, "/pid").is_ok());
        let master = if gone { None } else { Some(terminal.master) };
        everything_works(server, &socket);
        drop(master);
    }
}

#[test]
fn a_background_process_may_log_to_a_terminal_that_would_stop_it() {
    let dir = directory("log-background");
    let terminal = open_terminal();
    let name = ttyname(&terminal.slave).unwrap();
    let set = Command::new("stty").args(["-F", name.to_str().unwrap(), "tostop"]).status();
    assert!(set.unwrap().success());
    // The wrapper is the session leader in the foreground; the server is in the background.
    let code = "import fcntl, os, sys, termios\n\
                fcntl.ioctl(3, termios.TIOCSCTTY, 0)\n\
                group = os.getpgrp()\n\
                child = os.fork()\n\
                if child == 0:\n    signal = __import__('signal'); signal.signal(signal.SIGTTOU, signal.SIG_IGN)\n    \
                # PR_SET_PDEATHSIG: it ends with the server, which the wrapper becomes.\n    \
                __import__('ctypes').CDLL(None).prctl(1, signal.SIGKILL)\n    \
                os.setpgid(0, 0); os.tcsetpgrp(3, os.getpid()); signal.pause()\n\
                os.waitid(os.P_PID, child, os.WNOHANG | os.WEXITED)\n\
                while os.tcgetpgrp(3) == group: pass\n\
                os.dup2(3, 2); os.close(3); os.execvp(sys.argv[1], sys.argv[1:])";
    let (builder, socket) = app(&dir);
    let mut server = builder.wrapped(&["python3", "-c", code]).descriptor(terminal.slave).launch();
    wait_until("serving", || get_unix(&socket, "/pid").is_ok());
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    drop(terminal.master);
}

#[test]
fn a_log_pipe_that_cannot_be_reopened_blocks_nothing() {
    if nix::unistd::getuid().as_raw() != 0 {
        return;
    }
    let dir = directory("log-refused");
    let pipe = named_pipe(&dir);
    let _reader = reader(&pipe);
    let writing: OwnedFd = File::options().write(true).open(&pipe).unwrap().into();
    // Owned by another user, and root without CAP_DAC_OVERRIDE: as after `sudo -u` in a pipeline.
    nix::unistd::chown(&pipe, Some(65534.into()), Some(65534.into())).unwrap();
    fs::set_permissions(&pipe, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (builder, socket) = app(&dir);
    let weak = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    let wrapper: Vec<&str> = weak.into_iter().chain(STDERR_IS_3.iter().copied()).collect();
    everything_works(builder.wrapped(&wrapper).descriptor(writing).launch(), &socket);
}

#[test]
fn log_lines_never_reach_a_client_whose_socket_reuses_the_logs_descriptor() {
    let dir = directory("log-closed");
    let pipe = named_pipe(&dir);
    let _reader = reader(&pipe);
    let (builder, socket) = app(&dir);
    let writing: OwnedFd = File::options().write(true).open(&pipe).unwrap().into();
    let mut server = builder.option("workers", 1).wrapped(STDERR_IS_3).descriptor(writing).launch();
    wait_until("serving", || get_unix(&socket, "/pid").is_ok());
    assert_eq!(get_unix(&socket, "/close").unwrap(), "closed");
    // Connections reuse the freed descriptor numbers; each handler logs, and its client gets the response only.
    for _ in 0..8 {
        assert_eq!(get_unix(&socket, "/log/1").unwrap(), "logged");
    }
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
}

#[test]
fn sockets_do_not_take_the_numbers_of_closed_standard_descriptors() {
    let dir = directory("log-none");
    let (builder, socket) = app(&dir);
    let server = builder.wrapped(&["sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"]).launch();
    everything_works(server, &socket);
}
