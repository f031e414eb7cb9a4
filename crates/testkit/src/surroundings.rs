//! A server's surroundings: directory, namespace, terminal, service manager.

use crate::{LIMIT, root};
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    pty::{OpenptyResult, openpty},
};
use std::{fs, os::unix::net::UnixDatagram, path::PathBuf, process::Command};

/// An empty directory of a test of this name.
#[must_use]
pub fn directory(name: &str) -> PathBuf {
    let dir = root().join("target/tmp").join(format!("{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("target is writable");
    dir
}

/// The number of the first line of a file of `tests/apps` that contains a text.
#[must_use]
pub fn line_of(file: &str, text: &str) -> usize {
    let source = fs::read_to_string(root().join("tests/apps").join(file)).expect("the application exists");
    1 + source.lines().position(|line| line.contains(text)).expect("it has this line")
}

/// Whether this machine lets us make namespaces, as root outside of a container does; says so if not.
#[must_use]
#[expect(clippy::print_stderr, reason = "a test that is left out should be noticed")]
pub fn can_make_namespaces() -> bool {
    let tried = Command::new("unshare").args(["--mount", "--pid", "--fork", "true"]).status();
    let can = tried.is_ok_and(|status| status.success());
    if !can {
        eprintln!("left out: it needs root and the right to make namespaces");
    }
    can
}

/// Starts a server as PID 1 of a namespace.
pub const AS_PID_1: &[&str] = &["unshare", "--pid", "--fork", "--mount-proc"];

/// A script for `sh -c` in a mount namespace, whose `$0` is a Python: makes it readable for every user, below a private
/// home too, where only the server sees it.
pub const READABLE_PYTHON: &str = r#"
home=$(dirname "$HOME/.")
if ! setpriv --reuid 65534 --clear-groups test -x "$0"; then
    mount --make-rprivate / && mkdir -p /mnt/home && mount --bind "$home" /mnt/home
    mount -t tmpfs -o mode=755 tmpfs "$home"
    for entry in $(ls -A /mnt/home); do
        [ -d "/mnt/home/$entry" ] && mkdir "$home/$entry" && mount --bind "/mnt/home/$entry" "$home/$entry"
    done
fi
exec "$@"
"#;

/// A pseudo terminal, whose descriptors are not inherited.
#[must_use]
pub fn open_terminal() -> OpenptyResult {
    let terminal = openpty(None, None).expect("there are pseudo terminals");
    for end in [&terminal.master, &terminal.slave] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("it is open");
    }
    terminal
}

/// A program for `python3 -c`: starts the server with descriptor 3 as its controlling terminal.
pub const IN_TERMINAL: &str = "import fcntl, os, sys, termios; fcntl.ioctl(3, termios.TIOCSCTTY, 0); os.close(3); \
                               os.execvp(sys.argv[1], sys.argv[1:])";

/// Receives as a service manager does (sd_notify(3)), until a message has `text`; all that came.
pub fn receive(manager: &UnixDatagram, text: &str) -> String {
    manager.set_read_timeout(Some(LIMIT)).expect("it is a socket");
    let mut all = String::new();
    while !all.contains(text) {
        let mut block = [0; 4096];
        let count =
            manager.recv(&mut block).unwrap_or_else(|error| panic!("no {text:?} in {all:?}: {error}"));
        all.push_str(&String::from_utf8_lossy(&block[..count]));
        all.push('\n');
    }
    all
}

/// All that a service manager has been sent by now.
#[must_use]
pub fn received(manager: &UnixDatagram) -> String {
    manager.set_nonblocking(true).expect("it is a socket");
    let mut all = String::new();
    let mut block = [0; 4096];
    while let Ok(count) = manager.recv(&mut block) {
        all.push_str(&String::from_utf8_lossy(&block[..count]));
        all.push('\n');
    }
    manager.set_nonblocking(false).expect("it is a socket");
    all
}
