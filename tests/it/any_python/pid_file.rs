//! `--pid-file`: written, respected and removed, and nothing else with it.

use hostler_testkit::{Server, directory, wait_until};
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, symlink},
        net::UnixListener,
    },
};

#[test]
fn a_pid_file_of_a_running_server_is_respected_and_a_stale_one_is_not() {
    let file = directory("pid").join("pid");
    fs::write(&file, "999999\n").unwrap();
    let server =
        Server::app("supervised:app").option("workers", 1).option("pid-file", file.display()).start();
    server.wait_until("the pid file replaced", || {
        fs::read_to_string(&file).unwrap().trim() == server.master().to_string()
    });
    let (code, log) =
        Server::app("supervised:app").option("port", 0).option("pid-file", file.display()).fail();
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("is running"), "{log}");
    server.stop();
    assert!(!file.exists());
    let (code, log) =
        Server::app("supervised:app").option("port", 0).option("pid-file", "/nowhere/pid").fail();
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("cannot use the pid file"), "{log}");
}

/// The pid file is retried until it can be written.
#[test]
fn a_pid_file_that_cannot_be_written_is_written_later() {
    let (dir, away) = (directory("late-pid"), directory("late-pid-away"));
    fs::remove_dir(&away).unwrap();
    let file = dir.join("pid");
    let server = Server::app("supervised:app")
        .option("workers", 1)
        .option("port", 0)
        .option("pid-file", file.display())
        .env("IMPORT_SECONDS", "1")
        .launch();
    server.wait_for("mold ready", 1);
    fs::rename(&dir, &away).unwrap();
    server.wait_for("cannot write the pid file: retrying", 1);
    fs::rename(&away, &dir).unwrap();
    server.wait_for("pid file written", 1);
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), server.master().to_string());
    server.stop();
    assert!(!file.exists());
}

#[test]
fn the_pid_file_follows_no_link_and_truncates_nothing() {
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
fn a_stop_removes_no_files_but_its_own() {
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
