//! Where the socket is: its default, paths that cannot be used, sockets of servers that were killed, and how `hostler ctl` finds it.

use super::{begin, controlled, ctl, done, end, socket, told};
use crate::support::{refused, slow_import};
use hostler_testkit::{Server, can_make_namespaces, directory, hostler, proc, wait_until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
};

/// The socket that the log names.
fn logged(server: &Server) -> PathBuf {
    server.wait_for("control socket path=", 1);
    let log = server.log();
    log.split("control socket path=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().into()
}

fn plain(line: &str, variable: Option<(&str, &str)>) -> Output {
    let mut command = Command::new(hostler());
    command
        .arg("ctl")
        .args(line.split_ascii_whitespace())
        .env_remove("HOSTLER_CONTROL_SOCKET")
        .envs(variable);
    command.output().unwrap()
}

#[test]
fn without_a_choice_the_server_is_found_by_its_process() {
    let servers = [(); 2].map(|()| Server::app("supervised:app").option("workers", 1).start());
    for server in &servers {
        let path = logged(server);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (code, text) = told(&plain(&format!("log-level --pid {}", server.master()), None));
        assert_eq!(code, Some(0), "{text}");
        let named = told(&plain("log-level", Some(("HOSTLER_CONTROL_SOCKET", path.to_str().unwrap()))));
        assert_eq!(named.0, Some(0), "{}", named.1);
    }
    let (code, text) = told(&plain("log-level", None));
    assert!(code == Some(5) && text.contains("several servers run"), "{text}");
    for server in &servers {
        let line =
            format!("{}  {}", server.master(), proc::title(server.master()).split(' ').next().unwrap());
        assert!(text.contains(&line), "{line} is missing in {text}");
    }
    let paths = servers.each_ref().map(logged);
    servers.into_iter().for_each(Server::stop);
    assert!(!paths.iter().any(|path| path.exists()));
    assert_eq!(plain("log-level --pid 1", None).status.code(), Some(5));
}

#[test]
fn a_socket_of_a_server_that_was_killed_is_removed_by_the_next_one() {
    let runtime = directory("ctl-runtime");
    let start = || {
        let app = Server::app("supervised:app").option("workers", 1);
        app.env("RUNTIME_DIRECTORY", runtime.to_str().unwrap()).start()
    };
    let mut server = start();
    let stale = logged(&server);
    assert_eq!(stale.parent(), Some(runtime.as_path()));
    server.signal(Signal::SIGKILL);
    server.wait_exit_of_master();
    server.wait_empty();
    assert!(stale.exists());
    let (code, text) = ctl(&stale, "reload");
    assert!(code == Some(5) && text.contains("no server listens there"), "{text}");
    let server = start();
    assert!(!stale.exists());
    server.stop();
    assert_eq!(fs::read_dir(&runtime).unwrap().count(), 0);
}

#[test]
fn a_named_socket_is_taken_over_from_the_dead_and_not_from_the_living() {
    let path = socket("ctl-in-use");
    let mut server = controlled(Server::app("supervised:app"), &path).start();
    let second = || controlled(Server::app("supervised:app"), &path);
    refused(second(), 1, &["cannot have the control socket at", "another server has it"]);
    done(&server, &path, "log-level");
    server.signal(Signal::SIGKILL);
    server.wait_exit_of_master();
    let server = second().start();
    done(&server, &path, "log-level");
    server.stop();
    fs::write(&path, "precious").unwrap();
    refused(second(), 1, &["cannot have the control socket at", "--control-socket names a file of its own"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn without_a_directory_for_it_there_is_a_warning_and_no_socket() {
    let missing = directory("ctl-missing").join("not/there.sock");
    refused(controlled(Server::app("supervised:app"), &missing), 1, &["cannot have the control socket at"]);
    if !can_make_namespaces() {
        return;
    }
    // As in a container whose root is read-only.
    let read_only = "mount --make-rprivate / && mount -t tmpfs -o ro tmpfs /run && mount -t tmpfs -o ro tmpfs /tmp && exec \"$@\"";
    let wrapper = ["unshare", "--mount", "sh", "-c", read_only, "sh"];
    let server = Server::app("supervised:app").env("TMPDIR", "/dev/shm").wrapped(&wrapper).start();
    server.wait_for("there is no control socket: `hostler ctl` cannot reach this server", 1);
    assert_eq!(server.connect().get("/pid").status, 200);
    server.stop();
    let server = Server::app("supervised:app").option("control-socket", "off").start();
    assert!(!server.log().contains("control socket"), "{}", server.log());
    let output = plain(&format!("reload --pid {}", server.master()), None);
    assert_eq!(output.status.code(), Some(5));
    server.stop();
}

#[test]
fn a_path_may_be_longer_than_the_kernel_takes() {
    let dir = directory("ctl-long").join("d".repeat(200));
    fs::create_dir(&dir).unwrap();
    let path = dir.join("control.sock");
    let mut server = controlled(Server::app("supervised:app"), &path).option("workers", 1).start();
    done(&server, &path, "upgrade");
    server.wait_exit_of_master();
    done(&server, &path, "stop");
    assert!(!path.exists());
    server.wait_empty();
}

#[test]
fn a_client_whose_server_is_killed_does_not_know_the_outcome() {
    let path = socket("ctl-killed");
    let mut server = controlled(slow_import(), &path).start();
    let waits = begin(&path, "reload");
    server.wait_for("reloading generation=1", 1);
    server.signal(Signal::SIGKILL);
    let (code, text) = end(waits);
    assert!(code == Some(7) && text.contains("closed the connection without an answer"), "{text}");
    server.wait_exit_of_master();
    server.wait_empty();
}

/// The new server is killed just after it has taken over: the old one has the socket again.
#[test]
fn a_server_that_takes_its_service_back_takes_the_socket_back() {
    let path = socket("ctl-back");
    let server = controlled(Server::app("supervised:app"), &path).option("workers", 1).start();
    let mut conn = server.connect();
    conn.send("GET /wait/5 HTTP/1.1\r\nhost: t\r\n\r\n");
    done(&server, &path, "upgrade");
    kill(Pid::from_raw(server.successor()), Signal::SIGKILL).unwrap();
    server.wait_for("the new server exited: this one serves again", 1);
    wait_until("the socket back", || ctl(&path, "log-level").0 == Some(0));
    assert_eq!(conn.reply().unwrap().status, 200);
    done(&server, &path, "stop");
}

#[test]
fn another_user_may_not_control_the_server() {
    if !geteuid().is_root() {
        return;
    }
    let dir = std::env::temp_dir().join(format!("ctl-user-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join("control.sock");
    let server = controlled(Server::app("supervised:app"), &path).start();
    let as_nobody = || {
        let program = dir.join("hostler");
        fs::copy(hostler(), &program).unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", "65534", "--clear-groups"])
            .arg(program)
            .args(["ctl", "stop", "--socket"])
            .arg(&path);
        told(&command.output().unwrap())
    };
    let (code, text) = as_nobody();
    assert!(code == Some(6) && text.contains("Permission denied"), "{text}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let (code, text) = as_nobody();
    assert!(code == Some(6) && text.contains("user 65534 may not control this server"), "{text}");
    server.stop();
    fs::remove_dir_all(&dir).unwrap();
}
