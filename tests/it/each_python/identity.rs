//! The user that application code runs as, from its first instruction on.

use hostler_testkit::{Builder, READABLE_PYTHON, Server, can_make_namespaces, directory, python};
use nix::sys::signal::Signal;
use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

/// Written at each start of a Python, before anything of ours runs.
const START_UP: &str = "import os\n\
                        with open(os.environ['STARTED'], 'a') as file:\n    \
                        mask = os.umask(0); os.umask(mask)\n    \
                        print(os.getuid(), os.getgid(), sorted(os.getgroups()), oct(mask), file=file)\n";

/// The server in a namespace in which everybody may read the Python that the tests use.
fn app(dir: &Path) -> Builder {
    let base = fs::canonicalize(python()).unwrap();
    fs::write(dir.join("sitecustomize.py"), START_UP).unwrap();
    fs::set_permissions(dir, Permissions::from_mode(0o777)).unwrap();
    Server::app("hostile:app")
        .option("workers", 1)
        .env("PYTHONPATH", dir.to_str().unwrap())
        .env("STARTED", dir.join("started").to_str().unwrap())
        .env("HOME", "/root")
        .env("USER", "root")
        .env("LOGNAME", "root")
        .wrapped(&["unshare", "--mount", "sh", "-c", READABLE_PYTHON, base.to_str().unwrap()])
}

#[test]
fn workers_run_as_another_user_and_the_master_does_not() {
    if !can_make_namespaces() {
        return;
    }
    let base = fs::canonicalize(python()).unwrap();
    let dir = directory("user");
    let server = Server::app("supervised:app")
        .option("workers", 1)
        .option("user", 65534)
        .option("umask", "027")
        .wrapped(&["unshare", "--mount", "sh", "-c", READABLE_PYTHON, base.to_str().unwrap()])
        .start();
    let who = server.connect().get("/who").text();
    assert!(who.ends_with(" 65534"), "{who}");
    assert_eq!(fs::metadata(format!("/proc/{}", server.master())).unwrap().uid(), 0);
    fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let written = dir.join("file");
    assert_eq!(server.connect().get(&format!("/write{}", written.display())).text(), "written");
    let file = fs::metadata(&written).unwrap();
    assert_eq!((file.uid(), file.mode() & 0o777), (65534, 0o640));
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    server.stop();
}

#[test]
fn start_up_files_of_python_run_as_the_user() {
    if !can_make_namespaces() {
        return;
    }
    let dir = directory("start-up");
    let server = app(&dir).option("user", "nobody").option("umask", "027").start();
    let who = server.connect().get("/identity").text();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let (user, group, home) = (nobody.uid, nobody.gid, nobody.dir.display());
    assert_eq!(
        who,
        format!("uid={user} gid={group} groups=[{group}] umask=27 HOME={home} USER=nobody LOGNAME=nobody")
    );
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.wait_for(" reloaded generation=1", 1);
    server.stop();
    let started = fs::read_to_string(dir.join("started")).unwrap();
    let expected = format!("{user} {group} [{group}] 0o27");
    assert!(started.lines().count() >= 2 && started.lines().all(|line| line == expected), "{started}");
}

/// Gunicorn's file, too, which is executed before there are workers; its sockets belong to that user.
#[test]
fn files_of_settings_run_as_the_user() {
    if !can_make_namespaces() {
        return;
    }
    let dir = directory("gunicorn-user");
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    let (conf, socket) = (dir.join("conf.py"), dir.join("g.sock"));
    fs::write(&conf, "import os\nprint('the file runs as', os.getuid(), os.getgid())\nworkers = 1\n")
        .unwrap();
    let base = fs::canonicalize(python()).unwrap();
    let line = format!("gunicorn -u nobody -c {} -b unix:{} wsgi_app:app", conf.display(), socket.display());
    let server = Server::peer(&line).wrapped(&[
        "unshare",
        "--mount",
        "sh",
        "-c",
        READABLE_PYTHON,
        base.to_str().unwrap(),
    ]);
    let server = server.launch();
    server.wait_for("worker ready", 1);
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    server.wait_for(&format!("the file runs as {} {}", nobody.uid, nobody.gid), 1);
    assert_eq!(fs::metadata(&socket).unwrap().uid(), nobody.uid.as_raw());
    server.stop();
}

#[test]
fn a_user_without_a_name_has_no_name_of_another() {
    if !can_make_namespaces() {
        return;
    }
    let dir = directory("nameless");
    let server = app(&dir).option("user", 54_321).option("group", 54_322).start();
    let who = server.connect().get("/identity").text();
    let expected = "uid=54321 gid=54322 groups=[54322] umask=22 HOME=/ USER=None LOGNAME=None";
    assert_eq!(who, expected);
    server.stop();
}

#[test]
fn a_python_that_the_user_may_not_run_is_named_with_the_user() {
    if nix::unistd::getuid().as_raw() != 0 {
        return;
    }
    let dir = directory("unreadable");
    let program = dir.join("python");
    std::os::unix::fs::symlink(fs::canonicalize(python()).unwrap(), &program).unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
    let (code, log) = Server::app("hostile:app")
        .option("port", 0)
        .option("user", 54_321)
        .arg(&format!("--python={}", program.display()))
        .fail();
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("user 54321 may not run it"), "{log}");
}
